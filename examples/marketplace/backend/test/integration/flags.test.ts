// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import type { Flag, Flags } from '../../src/flags.js';
import { openWorld, type World } from '../support/world.js';

/** On for whom a test says. */
class ChosenFlags implements Flags {
  readonly on = new Map<Flag, (userId: string) => boolean>();
  readonly asked: string[] = [];

  isOn(flag: Flag, userId: string): boolean {
    this.asked.push(userId);
    return this.on.get(flag)?.(userId) ?? false;
  }

  variant(flag: Flag, userId: string, fallback: string): string {
    return this.isOn(flag, userId) ? 'reserve' : fallback;
  }

  close(): void {}
}

const flags = new ChosenFlags();
let world: World;
before(async () => void (world = await openWorld({}, flags)));
after(() => world.close());
beforeEach(() => {
  flags.on.clear();
  flags.asked.length = 0;
});

test('the page gets answers, and no name of a strategy, person or token', async () => {
  flags.on.set('booking-button', () => true);
  const answer = await world.ask(null, 'GET', '/api/flags');
  assert.deepEqual(answer.json(), { newPaymentFlow: false, bookingButton: 'reserve', debugPanel: false });
});

test('the response says for the log which side of each flag it was', async () => {
  const asked = await world.ask(null, 'GET', '/api/flags');
  assert.equal(asked.headers['feature-flags'], 'new-payment-flow=off, booking-button=off, debug-panel=off');
  flags.on.set('booking-button', () => true);
  flags.on.set('new-payment-flow', () => true);
  const again = await world.ask(null, 'GET', '/api/flags');
  assert.equal(again.headers['feature-flags'], 'new-payment-flow=on, booking-button=reserve, debug-panel=off');
  // One that asks for no flag says nothing.
  assert.equal((await world.ask(null, 'GET', '/api/version')).headers['feature-flags'], undefined);
});

test('a browser is known again, and a person on any browser', async () => {
  const first = await world.ask(null, 'GET', '/api/flags');
  const cookie = String(first.headers['set-cookie']);
  assert.match(cookie, /^visitor=[0-9a-f-]{36}; Path=\/api; HttpOnly; SameSite=Lax; Max-Age=\d+$/);
  const visitor = cookie.split(';')[0]!;
  flags.asked.length = 0;
  const again = await world.ask(null, 'GET', '/api/flags', undefined, { cookie: visitor });
  assert.equal(again.headers['set-cookie'], undefined);
  assert.deepEqual(new Set(flags.asked), new Set([visitor.split('=')[1]]));

  const client = await world.actor('CLIENT');
  flags.asked.length = 0;
  await world.ask(null, 'GET', '/api/flags', undefined, { cookie: `${visitor}; ${client.cookie}` });
  assert.deepEqual(new Set(flags.asked), new Set([client.id]));
});

test('what is no id of ours is replaced', async () => {
  const answer = await world.ask(null, 'GET', '/api/flags', undefined, { cookie: 'visitor=<script>' });
  assert.match(String(answer.headers['set-cookie']), /^visitor=[0-9a-f-]{36};/);
});

test('a payment goes the new way for those who have the flag, and the classic way for everybody else', async () => {
  const [accountant, anna, ben] = [await world.actor('ACCOUNTANT'), await world.actor('CLIENT'), await world.actor('CLIENT')];
  flags.on.set('new-payment-flow', (userId) => userId === anna.id);
  for (const client of [anna, ben]) {
    const id = await world.request(client, accountant);
    assert.equal((await world.ask(client, 'POST', `/api/requests/${id}/pay`, { method: 'card' })).statusCode, 200);
  }
  const asked = world.payments.asked.filter((one) => one.startsWith('authorize'));
  assert.deepEqual(asked.map((one) => one.endsWith(' by the new flow')), [true, false]);
});
