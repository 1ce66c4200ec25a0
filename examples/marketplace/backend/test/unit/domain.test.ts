// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { orderHash } from '../../src/bookings.js';
import { windowKey } from '../../src/rate-limit.js';
import { Receipts } from '../../src/receipt.js';
import { accountants, slotStarts, stableId } from '../../src/seed-data.js';

const ORDER = { slotId: stableId('slot'), name: 'Zoe', email: 'zoe@example.com', note: '' };

test('a retry has the same hash, another order has not', () => {
  assert.equal(orderHash(ORDER), orderHash({ ...ORDER, email: ' Zoe@Example.COM ' }));
  assert.notEqual(orderHash(ORDER), orderHash({ ...ORDER, note: 'hello' }));
  // Fields must not run into each other.
  assert.notEqual(orderHash({ ...ORDER, name: 'a', note: 'bc' }), orderHash({ ...ORDER, name: 'ab', note: 'c' }));
});

test('a receipt proves its own booking only', async () => {
  const receipts = new Receipts('a secret of enough length');
  const header = `Bearer ${await receipts.issue('one')}`;
  assert.equal(await receipts.proves('one', header), true);
  assert.equal(await receipts.proves('two', header), false);
  assert.equal(await receipts.proves('one', undefined), false);
  assert.equal(await new Receipts('another secret, as long').proves('one', header), false);
});

test('the rate limit has a new counter each minute, and holds no address', () => {
  const minute = 60_000;
  assert.equal(windowKey('zoe@example.com', 5 * minute), windowKey('zoe@example.com', 6 * minute - 1));
  assert.notEqual(windowKey('zoe@example.com', 5 * minute), windowKey('zoe@example.com', 6 * minute));
  assert.doesNotMatch(windowKey('zoe@example.com', 0), /zoe/);
});

test('the seed is the same everywhere', () => {
  assert.equal(stableId('slot/Aarav Mehta'), stableId('slot/Aarav Mehta'));
  assert.match(stableId('x'), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(accountants.length >= 6);
  assert.equal(slotStarts()[0]?.toISOString(), '2036-01-07T04:00:00.000Z');
  assert.equal(new Set(slotStarts().map(Number)).size, 20);
});
