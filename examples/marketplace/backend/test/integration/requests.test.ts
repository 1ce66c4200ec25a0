// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openWorld, type Actor, type World } from '../support/world.js';

let world: World;
let client: Actor;
let accountant: Actor;
before(async () => {
  world = await openWorld({ BOOKINGS_PER_MINUTE: '1000' });
  [client, accountant] = [await world.actor('CLIENT'), await world.actor('ACCOUNTANT')];
});
after(() => world.close());

const step = (who: Actor, id: string, verb: string, body?: object) => world.ask(who, 'POST', `/api/requests/${id}/${verb}`, body);
const payment = async (id: string) => (await world.ask(client, 'GET', `/api/requests/${id}`)).json().request.payment;

test('a client asks for an hour; both sides see it', async () => {
  const slotId = await world.slot(accountant, 100);
  const answer = await world.ask(client, 'POST', '/api/requests', { slotId, note: 'GST' });
  assert.equal(answer.statusCode, 201);
  const { request } = answer.json();
  assert.deepEqual([request.status, request.note, request.slot.id], ['BOOKED', 'GST', slotId]);
  assert.deepEqual(request.client, { name: client.name, email: client.email });
  for (const side of [client, accountant]) {
    const { requests } = (await world.ask(side, 'GET', '/api/requests?limit=1')).json();
    assert.equal(requests[0].id, request.id);
  }
});

test('a slot is asked for once', async () => {
  const slotId = await world.slot(accountant, 101);
  await world.ask(client, 'POST', '/api/requests', { slotId });
  assert.equal((await world.ask(client, 'POST', '/api/requests', { slotId })).statusCode, 409);
});

test('an accountant offers an hour, which visitors see', async () => {
  const startsAt = new Date(Date.now() + 2_000 * 3_600_000).toISOString();
  const answer = await world.ask(accountant, 'POST', '/api/availability', { startsAt });
  assert.equal(answer.statusCode, 201);
  assert.equal(answer.json().slot.startsAt, startsAt);
  const { slots } = (await world.ask(null, 'GET', `/api/accountants/${accountant.accountantId}/slots`)).json();
  assert.ok(slots.some((slot: { id: string }) => slot.id === answer.json().slot.id));
});

test('hours do not overlap, even when they are offered at once', async () => {
  const offer = (minutes: number) =>
    world.ask(accountant, 'POST', '/api/availability', { startsAt: new Date(Date.now() + (3_000 * 60 + minutes) * 60_000).toISOString() });
  const answers = await Promise.all([offer(0), offer(59), offer(30)]);
  assert.deepEqual(answers.map((answer) => answer.statusCode).sort(), [201, 409, 409]);
  const first = await world.actor('ACCOUNTANT');
  const startsAt = new Date(Date.now() + 3_000 * 3_600_000).toISOString();
  assert.equal(
    (await world.ask(first, 'POST', '/api/availability', { startsAt })).statusCode,
    201,
    "another accountant's hours are no matter",
  );
});

test('an hour in the past is not offered', async () => {
  const answer = await world.ask(accountant, 'POST', '/api/availability', { startsAt: '2020-01-01T10:00:00Z' });
  assert.deepEqual([answer.statusCode, answer.json().error], [422, 'slot_passed']);
});

test('an offer is withdrawn while nobody has taken it', async () => {
  const free = await world.slot(accountant, 200);
  assert.equal((await world.ask(accountant, 'DELETE', `/api/availability/${free}`)).statusCode, 204);
  assert.equal((await world.ask(accountant, 'DELETE', `/api/availability/${free}`)).statusCode, 404);
});

test('an hour that was booked stays, also when the booking was cancelled', async () => {
  const id = await world.request(client, accountant);
  const { slot } = (await world.ask(client, 'GET', `/api/requests/${id}`)).json().request;
  assert.equal((await world.ask(accountant, 'DELETE', `/api/availability/${slot.id}`)).statusCode, 409);
  await step(client, id, 'cancel');
  assert.equal((await world.ask(accountant, 'DELETE', `/api/availability/${slot.id}`)).statusCode, 409);
});

test('an accountant sees all of the own hours', async () => {
  const other = await world.actor('ACCOUNTANT');
  const [past, next] = [await world.slot(other, -3), await world.slot(other, 3)];
  const { slots } = (await world.ask(other, 'GET', '/api/availability')).json();
  assert.deepEqual(
    slots.map((slot: { id: string }) => slot.id),
    [past, next],
  );
});

test('money is reserved by the client and taken when the service was given', async () => {
  const id = await world.request(client, accountant);
  assert.equal((await step(client, id, 'pay', { method: 'card' })).json().request.payment.status, 'AUTHORIZED');
  await world.begin(id);
  const { request } = (await step(accountant, id, 'complete')).json();
  assert.deepEqual([request.status, request.payment.status], ['COMPLETED', 'CAPTURED']);
  assert.ok(world.payments.asked.includes(`capture fake-${request.payment.id}`));
});

test('a declined payment can be tried again', async () => {
  const id = await world.request(client, accountant);
  const declined = await step(client, id, 'pay', { method: 'declined' });
  assert.deepEqual([declined.statusCode, declined.json().error], [402, 'payment_declined']);
  assert.equal((await payment(id)).status, 'FAILED');
  assert.equal((await step(client, id, 'pay', { method: 'card' })).statusCode, 200);
});

test('a request is paid once, however often the button is pressed', async () => {
  const id = await world.request(client, accountant);
  const answers = await Promise.all([1, 2, 3].map(() => step(client, id, 'pay', { method: 'card' })));
  assert.deepEqual(answers.map((answer) => answer.statusCode).sort(), [200, 409, 409]);
  const { id: paymentId, status } = await payment(id);
  assert.equal(status, 'AUTHORIZED');
  assert.ok(!world.payments.asked.includes(`release fake-${paymentId}`), 'what is reserved stays');
});

test('cancelling gives up what was reserved', async () => {
  const id = await world.request(client, accountant);
  await step(client, id, 'pay', { method: 'card' });
  const { request } = (await step(accountant, id, 'cancel')).json();
  assert.deepEqual([request.status, request.payment.status], ['CANCELLED', 'VOID']);
  assert.ok(world.payments.asked.includes(`release fake-${request.payment.id}`));
});

test('a cancelled request is not paid', async () => {
  const id = await world.request(client, accountant);
  await step(client, id, 'cancel');
  assert.equal((await step(client, id, 'pay', { method: 'card' })).json().error, 'payment_state');
});

test('a cancellation while the provider works leaves nothing reserved', async () => {
  const id = await world.request(client, accountant);
  const { authorize } = world.payments;
  world.payments.authorize = async (...order) => {
    await step(client, id, 'cancel');
    return authorize.apply(world.payments, order);
  };
  try {
    assert.equal((await step(client, id, 'pay', { method: 'card' })).statusCode, 409);
  } finally {
    world.payments.authorize = authorize;
  }
  const { id: paymentId, status } = await payment(id);
  assert.equal(status, 'VOID');
  assert.ok(world.payments.asked.includes(`release fake-${paymentId}`));
});

test('an hour that has not begun is not completed', async () => {
  const id = await world.request(client, accountant);
  assert.equal((await step(accountant, id, 'complete')).json().error, 'not_begun');
});

test('a cancelled request is not completed, a completed one not cancelled', async () => {
  const cancelled = await world.request(client, accountant);
  await step(client, cancelled, 'cancel');
  assert.equal((await step(accountant, cancelled, 'complete')).json().error, 'request_cancelled');
  const completed = await world.completed(client, accountant);
  assert.equal((await step(client, completed, 'cancel')).json().error, 'booking_completed');
});

test('completing twice is once, and takes the money that the first time could not', async () => {
  const id = await world.request(client, accountant);
  await step(client, id, 'pay', { method: 'card' });
  await world.begin(id);
  const { capture } = world.payments;
  world.payments.capture = () => Promise.reject(new Error('the provider is away'));
  assert.equal((await step(accountant, id, 'complete')).statusCode, 500);
  world.payments.capture = capture;
  assert.equal((await step(accountant, id, 'complete')).json().request.payment.status, 'CAPTURED');
});

test('a refund is for what was captured, once', async () => {
  const admin = await world.actor('ADMIN');
  const id = await world.request(client, accountant);
  await step(client, id, 'pay', { method: 'card' });
  const refund = async () => world.ask(admin, 'POST', `/api/admin/payments/${(await payment(id)).id}/refund`);
  assert.equal((await refund()).statusCode, 409);
  await world.begin(id);
  await step(accountant, id, 'complete');
  assert.deepEqual([(await refund()).statusCode, (await payment(id)).status], [200, 'REFUNDED']);
  assert.equal((await refund()).statusCode, 409);
});

test('a review comes after the service, and visitors read it', async () => {
  const other = await world.actor('ACCOUNTANT');
  const id = await world.request(client, other);
  const words = { rating: 4, text: 'Kept to the hour.' };
  assert.equal((await step(client, id, 'review', words)).json().error, 'not_completed');
  await world.begin(id);
  await step(other, id, 'complete');
  assert.equal((await step(client, id, 'review', words)).statusCode, 201);
  const { reviews } = (await world.ask(null, 'GET', `/api/accountants/${other.accountantId}/reviews`)).json();
  assert.deepEqual([reviews[0].rating, reviews[0].text, reviews[0].author], [4, words.text, client.name]);
});

test('one client reviews one accountant once', async () => {
  const other = await world.actor('ACCOUNTANT');
  const [one, two] = [await world.completed(client, other), await world.completed(client, other)];
  await step(client, one, 'review', { rating: 5, text: 'Good.' });
  const again = await step(client, two, 'review', { rating: 1, text: 'Bad.' });
  assert.deepEqual([again.statusCode, again.json().error], [409, 'reviewed']);
});

test('the two sides talk, in order', async () => {
  const id = await world.request(client, accountant);
  await step(client, id, 'messages', { body: 'Shall I bring the ledger?' });
  await step(accountant, id, 'messages', { body: 'Please do.' });
  const { messages } = (await world.ask(accountant, 'GET', `/api/requests/${id}/messages`)).json();
  assert.deepEqual(
    messages.map(({ body, mine }: { body: string; mine: boolean }) => [body, mine]),
    [
      ['Shall I bring the ledger?', false],
      ['Please do.', true],
    ],
  );
});

test('an accountant reads the questions of visitors, and no talk about a request among them', async () => {
  const other = await world.actor('ACCOUNTANT');
  const question = { accountantId: other.accountantId, senderEmail: 'Ask@Example.com', body: 'Do you do GST?' };
  assert.equal((await world.ask(null, 'POST', '/api/messages', question)).statusCode, 201);
  await step(client, await world.request(client, other), 'messages', { body: 'Between us.' });
  const { questions } = (await world.ask(other, 'GET', '/api/questions')).json();
  assert.deepEqual(
    questions.map(({ senderEmail, body }: { senderEmail: string; body: string }) => [senderEmail, body]),
    [['ask@example.com', 'Do you do GST?']],
  );
});
