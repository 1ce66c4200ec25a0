// SPDX-License-Identifier: Apache-2.0
// Signing in: what a guesser, a thief and a neighbour get.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { IDLE_MILLISECONDS, LONGEST_MILLISECONDS, tokenHash } from '../../src/sessions.js';
import { openWorld, PASSWORD, type World } from '../support/world.js';

let world: World;
before(async () => (world = await openWorld()));
after(() => world.close());

const cookieIn = (answer: { headers: Record<string, unknown> }) => String(answer.headers['set-cookie']).split(';')[0]!;
const link = (email: string) => world.ask(null, 'POST', '/api/account/link', { email });
const choose = (token: string, password: string) => world.ask(null, 'POST', '/api/account/password', { token, name: 'Zoe', password });

test('an unknown address, a wrong password, one without a password and a disabled account get one answer', async () => {
  const [client, disabled, guest] = [await world.actor('CLIENT'), await world.actor('CLIENT'), await world.actor('CLIENT')];
  await world.db.user.update({ where: { id: disabled.id }, data: { disabled: true } });
  await world.db.user.update({ where: { id: guest.id }, data: { passwordHash: null } });
  const answers = [
    await world.signIn(world.unused.email('nobody'), PASSWORD),
    await world.signIn(client.email, 'wrong horse battery'),
    await world.signIn(guest.email, PASSWORD),
    await world.signIn(disabled.email, PASSWORD),
  ];
  for (const answer of answers) {
    assert.equal(answer.statusCode, 401);
    assert.equal(answer.body, answers[0]!.body);
    assert.equal(answer.headers['set-cookie'], undefined);
  }
});

test('an unknown address costs as much work as a known one', async () => {
  let derived = 0;
  const { fits } = world.passwords;
  world.passwords.fits = (...args) => {
    derived += 1;
    return fits.apply(world.passwords, args);
  };
  await world.signIn(world.unused.email('nobody'), PASSWORD);
  world.passwords.fits = fits;
  assert.equal(derived, 1);
});

test('asking for a link says nothing of the address', async () => {
  const client = await world.actor('CLIENT');
  const [known, unknown] = [await link(client.email), await link(world.unused.email())];
  assert.deepEqual([known.statusCode, known.body], [unknown.statusCode, unknown.body]);
});

test('guesses at one account are counted, from wherever they come', async () => {
  await world.withinAMinute();
  const client = await world.actor('CLIENT');
  for (let i = 0; i < 5; i += 1) await world.signIn(client.email, 'a wrong password', { 'x-forwarded-for': `192.0.2.${i}` });
  const answer = await world.signIn(client.email, PASSWORD);
  assert.deepEqual([answer.statusCode, answer.json().error], [429, 'too_many_attempts']);
});

test('other spellings of an address are the same account', async () => {
  await world.withinAMinute();
  const client = await world.actor('CLIENT');
  for (let i = 0; i < 5; i += 1) await world.signIn(i % 2 ? client.email : client.email.toUpperCase(), 'a wrong password');
  assert.equal((await world.signIn(client.email, PASSWORD)).statusCode, 429);
});

test('guesses from one address are counted, at whichever account', async () => {
  await world.withinAMinute();
  const ip = world.unused.ip();
  const from = (i: number) => world.signIn(world.unused.email(`sprayed-${i}`), PASSWORD, { 'x-forwarded-for': ip });
  const statuses = [];
  for (let i = 0; i < 52; i += 1) statuses.push((await from(i)).statusCode);
  assert.equal(statuses[0], 401);
  assert.equal(statuses.at(-1), 429);
});

test('what a client claims in X-Forwarded-For does not count, only what the proxy adds', async () => {
  await world.withinAMinute();
  const [statuses, ip] = [new Set<number>(), world.unused.ip()];
  for (let i = 0; i < 52; i += 1) {
    const headers = { 'x-forwarded-for': `203.0.113.${i}, ${ip}` };
    statuses.add((await world.signIn(world.unused.email(`forged-${i}`), PASSWORD, headers)).statusCode);
  }
  assert.ok(statuses.has(429));
});

test('links are not sent without end', async () => {
  await world.withinAMinute();
  const [statuses, email] = [[] as number[], world.unused.email('flooded')];
  for (let i = 0; i < 6; i += 1) statuses.push((await link(email)).statusCode);
  assert.deepEqual(statuses, [202, 202, 202, 202, 202, 429]);
});

test('without Redis nobody guesses uncounted', async () => {
  const away = await openWorld();
  try {
    const client = await away.actor('CLIENT');
    away.cache.disconnect();
    const answer = await away.signIn(client.email, PASSWORD);
    assert.deepEqual([answer.statusCode, answer.json().error], [503, 'try_later']);
    assert.equal((await away.ask(client, 'GET', '/api/session')).statusCode, 200, 'who is signed in stays so');
  } finally {
    await away.close();
  }
});

test('the cookie is out of reach of scripts and other sites', async () => {
  const client = await world.actor('CLIENT');
  const header = String((await world.signIn(client.email, PASSWORD)).headers['set-cookie']);
  for (const part of ['HttpOnly', 'SameSite=Strict', 'Path=/api']) assert.ok(header.includes(part), part);
  assert.ok(!header.includes('Domain='));
});

test('over TLS the cookie stays on TLS', async () => {
  const client = await world.actor('CLIENT');
  const answer = await world.signIn(client.email, PASSWORD, { 'x-forwarded-proto': 'https' });
  assert.match(String(answer.headers['set-cookie']), /; Secure$/);
});

test('the token is in no answer and not in the database', async () => {
  const client = await world.actor('CLIENT');
  const answer = await world.signIn(client.email, PASSWORD);
  const token = cookieIn(answer).split('=')[1]!;
  assert.ok(!answer.body.includes(token));
  const rows = JSON.stringify(await world.db.session.findMany());
  assert.ok(rows.includes(tokenHash(token)) && !rows.includes(token));
});

test('what is in the database is no token', async () => {
  const client = await world.actor('CLIENT');
  const { tokenHash: stolen } = await world.db.session.findFirstOrThrow({ where: { userId: client.id } });
  for (const value of [stolen, stolen.slice(0, 43)]) {
    assert.equal((await world.ask(null, 'GET', '/api/session', undefined, { cookie: `session=${value}` })).statusCode, 401);
  }
});

test('signing in gives a new token and ends the one before: none can be planted', async () => {
  const client = await world.actor('CLIENT');
  const answer = await world.signIn(client.email, PASSWORD, { cookie: client.cookie });
  assert.notEqual(cookieIn(answer), client.cookie);
  assert.equal((await world.ask(client, 'GET', '/api/session')).statusCode, 401);
});

test('two sign-ins have two tokens', async () => {
  const client = await world.actor('CLIENT');
  assert.notEqual(cookieIn(await world.signIn(client.email, PASSWORD)), cookieIn(await world.signIn(client.email, PASSWORD)));
});

test('signing out ends the session at the server, and only this one', async () => {
  const client = await world.actor('CLIENT');
  const other = cookieIn(await world.signIn(client.email, PASSWORD));
  await world.ask(client, 'DELETE', '/api/session');
  assert.equal((await world.ask(client, 'GET', '/api/session')).statusCode, 401);
  assert.equal((await world.ask(null, 'GET', '/api/session', undefined, { cookie: other })).statusCode, 200);
});

for (const [why, age] of [
  ['idle for too long', { lastUsedAt: new Date(Date.now() - IDLE_MILLISECONDS) }],
  ['too old, however busy', { createdAt: new Date(Date.now() - LONGEST_MILLISECONDS) }],
] as const) {
  test(`a session is refused: ${why}`, async () => {
    const client = await world.actor('CLIENT');
    await world.db.session.updateMany({ where: { userId: client.id }, data: age });
    assert.equal((await world.ask(client, 'GET', '/api/session')).statusCode, 401);
  });
}

test('a new password ends every session of the account', async () => {
  const client = await world.actor('CLIENT');
  const other = cookieIn(await world.signIn(client.email, PASSWORD));
  await world.ask(client, 'PUT', '/api/account/password', { current: PASSWORD, next: 'a quite different one' });
  for (const cookie of [client.cookie, other]) {
    assert.equal((await world.ask(null, 'GET', '/api/session', undefined, { cookie })).statusCode, 401);
  }
});

test('the password is not changed by who does not know it', async () => {
  const client = await world.actor('CLIENT');
  const answer = await world.ask(client, 'PUT', '/api/account/password', { current: 'a wrong password', next: 'a quite different one' });
  assert.deepEqual([answer.statusCode, answer.json().error], [403, 'wrong_password']);
  assert.equal((await world.signIn(client.email, PASSWORD)).statusCode, 200);
});

for (const weak of ['short', 'password1234', 'aaaaaaaaaaaaaaaa', `weak-zoe.miller-1`]) {
  test(`a weak password is refused everywhere: ${weak}`, async () => {
    const client = await world.actor('CLIENT');
    const change = await world.ask(client, 'PUT', '/api/account/password', {
      current: PASSWORD,
      next: weak.replace('zoe.miller', client.email.split('@')[0]!),
    });
    assert.deepEqual([change.statusCode, change.json().error], [422, 'weak_password']);
    await link(`zoe.miller+${weak.length}@example.com`);
    const answer = await choose(world.code(), weak.replace('zoe.miller', `zoe.miller+${weak.length}`));
    assert.deepEqual([answer.statusCode, answer.json().error], [422, 'weak_password']);
  });
}

test('a code works once', async () => {
  const email = world.unused.email('once');
  await link(email);
  const token = world.code();
  assert.equal((await choose(token, PASSWORD)).statusCode, 204);
  assert.equal((await choose(token, 'a thief would choose this')).json().error, 'link_invalid');
  assert.equal((await world.signIn(email, PASSWORD)).statusCode, 200);
});

test('of two uses of one code at once, one works', async () => {
  await link(world.unused.email('race'));
  const token = world.code();
  const answers = await Promise.all([choose(token, PASSWORD), choose(token, PASSWORD)]);
  assert.deepEqual(answers.map((answer) => answer.statusCode).sort(), [204, 400]);
});

test('a code that is old, forged or of another kind is refused', async () => {
  const email = 'old@example.com';
  const old = await world.links.issue({ email, seal: 'x' }, '-1s');
  const none = [Buffer.from('{"alg":"none"}'), Buffer.from(JSON.stringify({ sub: email, aud: 'password', iss: 'marketplace', exp: 9e9 }))];
  const accountant = await world.actor('ACCOUNTANT');
  const order = { slotId: await world.slot(accountant), name: 'Vera', email };
  const { receipt } = (await world.ask(null, 'POST', '/api/bookings', order)).json();
  for (const token of [old, `${none.map((part) => part.toString('base64url')).join('.')}.`, receipt, 'nonsense']) {
    assert.equal((await choose(token, PASSWORD)).statusCode, 400);
  }
});

test('a code does not bring a disabled account back', async () => {
  const client = await world.actor('CLIENT');
  await link(client.email);
  const token = world.code();
  await world.db.user.update({ where: { id: client.id }, data: { disabled: true } });
  assert.equal((await choose(token, 'a quite different one')).statusCode, 400);
});
