// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';

import { openCache } from '../../src/cache.js';
import { openWorld, type Actor, type World } from '../support/world.js';

let world: World;
let accountant: Actor;
before(async () => {
  world = await openWorld({ BOOKINGS_PER_MINUTE: '3' });
  accountant = await world.actor('ACCOUNTANT');
});
after(() => world.close());

let visitors = 0;
const order = async (changes: object = {}) => ({
  slotId: await world.slot(accountant, 24 + ++visitors),
  name: 'Vera',
  email: world.unused.email('v'),
  ...changes,
});
const book = (payload: object, headers = {}) => world.ask(null, 'POST', '/api/bookings', payload, headers);
const statusOf = async (slotId: string) => (await world.db.availabilitySlot.findUniqueOrThrow({ where: { id: slotId } })).status;

test('a booking takes the slot and opens a payment of the hourly rate', async () => {
  const body = await order();
  const answer = await book(body);
  assert.equal(answer.statusCode, 201);
  assert.deepEqual(answer.json().booking.payment, { amountMinor: 280_000, currency: 'INR', status: 'PENDING' });
  assert.equal(await statusOf(body.slotId), 'BOOKED');
});

test('of two who want one slot at once, one gets it', async () => {
  const first = await order();
  const answers = await Promise.all([book(first), book({ ...first, email: world.unused.email('rival') })]);
  assert.deepEqual(answers.map((answer) => answer.statusCode).sort(), [201, 409]);
});

test('a retry with the same key is the same booking', async () => {
  const body = await order();
  const [one, two] = [await book(body, { 'idempotency-key': 'k1' }), await book(body, { 'idempotency-key': 'k1' })];
  assert.equal(two.statusCode, 201);
  assert.equal(two.headers['idempotent-replayed'], 'true');
  assert.equal(two.json().booking.id, one.json().booking.id);
});

test('a key that was used for another order is refused', async () => {
  const body = await order();
  await book(body, { 'idempotency-key': 'k2' });
  const answer = await book({ ...body, note: 'changed' }, { 'idempotency-key': 'k2' });
  assert.deepEqual([answer.statusCode, answer.json().error], [422, 'idempotency_key_reused']);
});

test('a slot that is not there, and one that has passed', async () => {
  assert.equal((await book(await order({ slotId: '00000000-0000-4000-8000-000000000000' }))).statusCode, 404);
  assert.equal((await book(await order({ slotId: await world.slot(accountant, -2) }))).statusCode, 409);
});

test('more bookings in a minute than allowed', async () => {
  await world.withinAMinute();
  const email = world.unused.email('eager');
  const statuses = [];
  for (let i = 0; i < 4; i += 1) statuses.push((await book(await order({ email }))).statusCode);
  assert.deepEqual(statuses, [201, 201, 201, 429]);
});

test('a cancelled booking frees the slot and voids the payment; twice is the same as once', async () => {
  const body = await order();
  const { booking, receipt } = (await book(body)).json();
  const cancel = () => world.ask(null, 'POST', `/api/bookings/${booking.id}/cancel`, {}, { authorization: `Bearer ${receipt}` });
  const cancelled = (await cancel()).json().booking;
  assert.deepEqual([cancelled.status, cancelled.payment], ['CANCELLED', { amountMinor: 280_000, currency: 'INR', status: 'VOID' }]);
  assert.equal(await statusOf(body.slotId), 'OPEN');
  assert.equal((await cancel()).statusCode, 200);
});

test('cancelling again does not free the slot of who booked it since', async () => {
  const body = await order();
  const { booking, receipt } = (await book(body)).json();
  const cancel = () => world.ask(null, 'POST', `/api/bookings/${booking.id}/cancel`, {}, { authorization: `Bearer ${receipt}` });
  await cancel();
  await book({ ...body, email: world.unused.email('next') });
  await cancel();
  assert.equal(await statusOf(body.slotId), 'BOOKED');
});

test('bookings are listed newest first, those of one client on request', async () => {
  const body = await order();
  const { booking } = (await book(body)).json();
  const list = async (query: string) =>
    (await world.ask(null, 'GET', `/api/bookings${query}`)).json().bookings.map((one: { id: string }) => one.id);
  assert.deepEqual(await list('?limit=1'), [booking.id]);
  assert.deepEqual(await list(`?client=${body.email.toUpperCase()}`), [booking.id]);
});

test('other processes hear of it', async () => {
  const ears = openCache(process.env['REDIS_URL']!, world.app.log);
  await once(ears, 'ready');
  await ears.subscribe('marketplace:live');
  const body = await order();
  const heard = new Promise<string>((resolve) =>
    ears.on('message', (_channel, text: string) => text.includes(body.slotId) && resolve(text)),
  );
  await book(body);
  assert.deepEqual(JSON.parse(await heard), { type: 'slot', accountantId: accountant.accountantId, slotId: body.slotId, status: 'BOOKED' });
  ears.disconnect();
});

test('slots are of the future, in order, and of one accountant', async () => {
  const other = await world.actor('ACCOUNTANT');
  const [late, soon] = [await world.slot(other, 30), await world.slot(other, 5)];
  await world.slot(other, -5);
  const { slots } = (await world.ask(null, 'GET', `/api/accountants/${other.accountantId}/slots`)).json();
  assert.deepEqual(
    slots.map((slot: { id: string }) => slot.id),
    [soon, late],
  );
});

test('an accountant that is not there has neither slots, nor reviews, nor a mailbox', async () => {
  const nobody = '00000000-0000-4000-8000-000000000000';
  for (const part of ['slots', 'reviews'])
    assert.equal((await world.ask(null, 'GET', `/api/accountants/${nobody}/${part}`)).statusCode, 404);
  const question = { accountantId: nobody, senderEmail: 'q@example.com', body: 'Hello?' };
  assert.equal((await world.ask(null, 'POST', '/api/messages', question)).statusCode, 404);
});

test('ready, with database and cache', async () => {
  const answer = await world.ask(null, 'GET', '/ready');
  assert.deepEqual([answer.statusCode, answer.json()], [200, { status: 'ready', failed: [] }]);
});
