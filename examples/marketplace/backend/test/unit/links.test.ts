// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Links, sealOf } from '../../src/links.js';
import { Receipts } from '../../src/receipt.js';

const SECRET = 'a secret of enough length';
const LINK = { email: 'zoe@example.com', seal: sealOf(null) };

test('a link says whose it is', async () => {
  const links = new Links(SECRET);
  assert.deepEqual(await links.read(await links.issue(LINK)), LINK);
});

test('a link that is old, changed or signed by somebody else says nothing', async () => {
  const links = new Links(SECRET);
  const token = await links.issue(LINK);
  assert.equal(await links.read(await links.issue(LINK, '-1s')), undefined);
  assert.equal(await links.read(token.slice(0, -4) + 'AAAA'), undefined);
  assert.equal(await new Links('another secret, as long').read(token), undefined);
});

test('a receipt is no link, and a link is no receipt', async () => {
  const [links, receipts] = [new Links(SECRET), new Receipts(SECRET)];
  assert.equal(await links.read(await receipts.issue('zoe@example.com')), undefined);
  assert.equal(await receipts.proves('zoe@example.com', `Bearer ${await links.issue(LINK)}`), false);
});

test('a seal tells passwords apart and holds nothing of them', () => {
  assert.equal(sealOf(undefined), sealOf(null));
  assert.notEqual(sealOf('scrypt$a'), sealOf('scrypt$b'));
  assert.doesNotMatch(sealOf('scrypt$a'), /scrypt/);
});

test('what the previous key signed is good until that is taken away, and it signs nothing', async () => {
  const next = 'the next secret, as long';
  const [old, both, after] = [[SECRET], [next, SECRET], [next]].map(([key = '', previous]) => ({
    links: new Links(key, previous),
    receipts: new Receipts(key, previous),
  }));
  assert.ok(old && both && after);
  const [token, receipt] = [await old.links.issue(LINK), `Bearer ${await old.receipts.issue('one')}`];
  assert.deepEqual(await both.links.read(token), LINK);
  assert.equal(await both.receipts.proves('one', receipt), true);
  assert.equal(await after.links.read(token), undefined);
  assert.equal(await after.receipts.proves('one', receipt), false);
  assert.equal(await old.links.read(await both.links.issue(LINK)), undefined);
  assert.equal(await both.links.read(await both.links.issue(LINK, '-1s')), undefined);
});
