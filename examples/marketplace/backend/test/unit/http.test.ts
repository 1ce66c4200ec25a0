// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { addRoutes, createServer, type Services } from '../../src/app.js';
import { readConfig } from '../../src/config.js';
import { NoFlags } from '../../src/flags.js';
import { Links } from '../../src/links.js';
import { NoMail } from '../../src/mail.js';
import { Passwords } from '../../src/passwords.js';
import { NoPayments } from '../../src/payments.js';
import { Receipts } from '../../src/receipt.js';
import { stableId } from '../../src/seed-data.js';

const config = readConfig({
  DATABASE_URL: 'postgresql://db/market',
  REDIS_URL: 'redis://cache',
  JWT_SECRET: 'a secret of enough length',
  LOG_LEVEL: 'silent',
  APP_VERSION: 'v1.2.3',
  BANNER: 'hello',
});

/** The application with a database that is away and a cache that answers. */
function application() {
  const app = createServer(config);
  const db = { $queryRaw: () => Promise.reject(new Error('away')) } as unknown as Services['db'];
  const cache = { ping: () => Promise.resolve('PONG') } as unknown as Services['cache'];
  addRoutes(app, {
    config,
    db,
    cache,
    flags: new NoFlags(),
    receipts: new Receipts(config.jwtSecret),
    links: new Links(config.jwtSecret),
    mail: new NoMail(app.log),
    passwords: new Passwords(),
    payments: new NoPayments(),
  });
  return app;
}

test('health is about the process; readiness names what failed', async () => {
  const app = application();
  assert.equal((await app.inject('/health')).statusCode, 200);
  const ready = await app.inject('/ready');
  assert.equal(ready.statusCode, 503);
  assert.deepEqual(ready.json(), { status: 'not_ready', failed: ['database'] });
});

test('the version comes with the banner', async () => {
  const { version, banner } = (await application().inject('/api/version')).json();
  assert.deepEqual({ version, banner }, { version: 'v1.2.3', banner: 'hello' });
});

const BOOKING = { slotId: stableId('slot'), name: 'Zoe', email: 'zoe@example.com' };
const REFUSED = [
  { why: 'missing field', url: '/api/bookings', payload: { slotId: BOOKING.slotId, name: 'Zoe' }, says: /required property 'email'/ },
  { why: 'not a UUID', url: '/api/bookings', payload: { ...BOOKING, slotId: '7' }, says: /slotId must match format "uuid"/ },
  { why: 'blank name', url: '/api/bookings', payload: { ...BOOKING, name: ' ' }, says: /name must match pattern/ },
  { why: 'unknown field', url: '/api/bookings', payload: { ...BOOKING, price: 1 }, says: /additional properties/ },
  { why: 'empty message', url: '/api/messages', payload: { accountantId: stableId('a'), senderEmail: 'z@example.com', body: '' }, says: /body/ },
];
for (const { why, url, payload, says } of REFUSED) {
  test(`400 before anything is touched: ${why}`, async () => {
    const reply = await application().inject({ method: 'POST', url, payload });
    assert.equal(reply.statusCode, 400);
    assert.equal(reply.json().error, 'invalid_request');
    assert.match(reply.json().message, says);
  });
}

test('400 for an idempotency key with a space in it', async () => {
  const headers = { 'idempotency-key': 'a b' };
  const reply = await application().inject({ method: 'POST', url: '/api/bookings', payload: BOOKING, headers });
  assert.equal(reply.statusCode, 400);
});

test('the slow answer is bounded', async () => {
  assert.equal((await application().inject('/api/slow?ms=30001')).statusCode, 400);
  assert.equal((await application().inject('/api/slow?ms=1')).statusCode, 200);
});

test('a booking is not cancelled without its receipt', async () => {
  const reply = await application().inject({ method: 'POST', url: `/api/bookings/${stableId('b')}/cancel` });
  assert.equal(reply.statusCode, 403);
});
