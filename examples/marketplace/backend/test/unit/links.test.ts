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
