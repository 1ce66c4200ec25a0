// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { PaymentStatus } from '../../src/generated/prisma/client.js';
import { before, FakePayments, mayBecome, NoPayments } from '../../src/payments.js';

const ALL: PaymentStatus[] = ['PENDING', 'FAILED', 'AUTHORIZED', 'CAPTURED', 'REFUNDED', 'VOID'];

test('money is reserved, taken, and given back, in this order', () => {
  assert.ok(mayBecome('PENDING', 'AUTHORIZED') && mayBecome('AUTHORIZED', 'CAPTURED') && mayBecome('CAPTURED', 'REFUNDED'));
  assert.ok(!mayBecome('PENDING', 'CAPTURED') && !mayBecome('AUTHORIZED', 'REFUNDED') && !mayBecome('CAPTURED', 'AUTHORIZED'));
});

test('what is declined can be tried again', () => {
  assert.deepEqual(before('AUTHORIZED'), ['PENDING', 'FAILED']);
});

test('captured money cannot become void', () => {
  assert.deepEqual(before('VOID'), ['PENDING', 'FAILED', 'AUTHORIZED']);
});

for (const last of ['REFUNDED', 'VOID'] as const) {
  test(`${last} is final`, () => assert.ok(ALL.every((to) => !mayBecome(last, to))));
}

test('nothing becomes pending again', () => assert.deepEqual(before('PENDING'), []));

test('the fake says what it is, and the same payment has the same reference', async () => {
  const fake = new FakePayments();
  assert.equal(await fake.authorize({ id: 'p' }, 'card'), 'fake-p');
  assert.equal(await fake.authorize({ id: 'p' }, 'card'), 'fake-p');
  assert.equal(await fake.authorize({ id: 'p' }, 'declined'), undefined);
});

test('without a provider nothing is pretended', async () => {
  const none = new NoPayments();
  for (const call of [none.authorize(), none.capture(), none.release(), none.refund()]) {
    await assert.rejects(call, { statusCode: 501, code: 'no_payments' });
  }
});
