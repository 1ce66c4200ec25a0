// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openWorld, PASSWORD, type World } from '../support/world.js';

let world: World;
before(async () => (world = await openWorld()));
after(() => world.close());

const link = (email: string) => world.ask(null, 'POST', '/api/account/link', { email });
const choose = (token: string, password = PASSWORD, name = 'Zoe') =>
  world.ask(null, 'POST', '/api/account/password', { token, name, password });

test('an address registers by the link that is mailed to it', async () => {
  assert.equal((await link('New@Example.com')).statusCode, 202);
  assert.equal(world.mail.letters.at(-1)!.to, 'new@example.com');
  assert.equal((await choose(world.code())).statusCode, 204);
  const answer = await world.signIn('new@example.com', PASSWORD);
  assert.equal(answer.statusCode, 200);
  const { id, ...person } = answer.json().person;
  assert.deepEqual(person, { email: 'new@example.com', name: 'Zoe', role: 'CLIENT' });
});

test('nothing is there before the link was used', async () => {
  await link('waiting@example.com');
  assert.equal(await world.db.user.count({ where: { email: 'waiting@example.com' } }), 0);
});

test('who has booked without an account takes the bookings over', async () => {
  const accountant = await world.actor('ACCOUNTANT');
  const order = { slotId: await world.slot(accountant), name: 'Gina Guest', email: 'guest@example.com' };
  assert.equal((await world.ask(null, 'POST', '/api/bookings', order)).statusCode, 201);
  await link('guest@example.com');
  await choose(world.code(), PASSWORD, 'Somebody Else');
  const signedIn = await world.signIn('guest@example.com', PASSWORD);
  assert.equal(signedIn.json().person.name, 'Gina Guest', 'the name on file stays');
  const cookie = String(signedIn.headers['set-cookie']).split(';')[0]!;
  const { requests } = (await world.ask(null, 'GET', '/api/requests', undefined, { cookie })).json();
  assert.equal(requests[0].slot.id, order.slotId);
});

test('a forgotten password is replaced, and whoever was signed in is no longer', async () => {
  const client = await world.actor('CLIENT');
  await link(client.email);
  assert.equal((await choose(world.code(), 'another long password')).statusCode, 204);
  assert.equal((await world.ask(client, 'GET', '/api/session')).statusCode, 401);
  assert.equal((await world.signIn(client.email, PASSWORD)).statusCode, 401);
  assert.equal((await world.signIn(client.email, 'another long password')).statusCode, 200);
});

test('the session says who one is, and ends', async () => {
  const client = await world.actor('CLIENT');
  const { person } = (await world.ask(client, 'GET', '/api/session')).json();
  assert.deepEqual(person, { id: client.id, email: client.email, name: client.name, role: 'CLIENT' });
  const out = await world.ask(client, 'DELETE', '/api/session');
  assert.equal(out.statusCode, 204);
  assert.match(String(out.headers['set-cookie']), /Max-Age=0/);
  assert.equal((await world.ask(client, 'GET', '/api/session')).statusCode, 401);
});

test('the own password is changed by who knows it, and the browser stays signed in', async () => {
  const client = await world.actor('CLIENT');
  const answer = await world.ask(client, 'PUT', '/api/account/password', { current: PASSWORD, next: 'a quite different one' });
  assert.equal(answer.statusCode, 204);
  const cookie = String(answer.headers['set-cookie']).split(';')[0]!;
  assert.equal((await world.ask(null, 'GET', '/api/session', undefined, { cookie })).statusCode, 200);
  assert.equal((await world.signIn(client.email, 'a quite different one')).statusCode, 200);
});

test('a session that is used stays, and its use is noted once a minute', async () => {
  const client = await world.actor('CLIENT');
  const minutesAgo = new Date(Date.now() - 5 * 60_000);
  await world.db.session.updateMany({ where: { userId: client.id }, data: { lastUsedAt: minutesAgo } });
  await world.ask(client, 'GET', '/api/session');
  const session = await world.db.session.findFirstOrThrow({ where: { userId: client.id } });
  assert.ok(session.lastUsedAt > minutesAgo);
});

test('signing in clears away sessions that are over', async () => {
  const client = await world.actor('CLIENT');
  await world.db.session.updateMany({ where: { userId: client.id }, data: { lastUsedAt: new Date(0) } });
  await world.signIn(client.email, PASSWORD);
  assert.equal(await world.db.session.count({ where: { userId: client.id } }), 1);
});

const PROFILE = { membershipNumber: '555001', city: 'Surat', headline: 'Textiles: duties and refunds', hourlyRateMinor: 300_000 };

test('an administrator adds an accountant, who then chooses a password', async () => {
  const admin = await world.actor('ADMIN');
  const answer = await world.ask(admin, 'POST', '/api/admin/accountants', { email: 'ca@example.com', name: 'Usha Shah', ...PROFILE });
  assert.equal(answer.statusCode, 201);
  assert.equal((await choose(world.code())).statusCode, 204);
  assert.equal((await world.signIn('ca@example.com', PASSWORD)).json().person.role, 'ACCOUNTANT');
  const { accountants } = (await world.ask(null, 'GET', '/api/accountants')).json();
  assert.ok(accountants.some((one: { id: string; name: string }) => one.id === answer.json().accountant.id && one.name === 'Usha Shah'));
});

test('one membership number is one accountant', async () => {
  const admin = await world.actor('ADMIN');
  const body = { email: 'twice@example.com', name: 'Twice', ...PROFILE, membershipNumber: '555002' };
  assert.equal((await world.ask(admin, 'POST', '/api/admin/accountants', body)).statusCode, 201);
  const again = await world.ask(admin, 'POST', '/api/admin/accountants', { ...body, email: 'thrice@example.com' });
  assert.deepEqual([again.statusCode, again.json().error], [409, 'account_exists']);
  assert.equal(await world.db.user.count({ where: { email: 'thrice@example.com' } }), 0);
});

test('an administrator lists the users, newest first', async () => {
  const admin = await world.actor('ADMIN');
  const { users } = (await world.ask(admin, 'GET', '/api/admin/users?limit=1')).json();
  assert.deepEqual(
    users.map((user: { id: string }) => user.id),
    [admin.id],
  );
});

test('a disabled account is signed out, and back once it is enabled', async () => {
  const [admin, client] = [await world.actor('ADMIN'), await world.actor('CLIENT')];
  assert.equal((await world.ask(admin, 'POST', `/api/admin/users/${client.id}/disable`)).statusCode, 204);
  assert.equal((await world.ask(client, 'GET', '/api/session')).statusCode, 401);
  assert.equal((await world.signIn(client.email, PASSWORD)).statusCode, 401);
  assert.equal((await world.ask(admin, 'POST', `/api/admin/users/${client.id}/enable`)).statusCode, 204);
  assert.equal((await world.ask(client, 'GET', '/api/session')).statusCode, 401, 'the old session stays over');
  assert.equal((await world.signIn(client.email, PASSWORD)).statusCode, 200);
});

test('a user that is not there is not disabled', async () => {
  const admin = await world.actor('ADMIN');
  const answer = await world.ask(admin, 'POST', '/api/admin/users/00000000-0000-4000-8000-000000000000/disable');
  assert.equal(answer.statusCode, 404);
});
