// SPDX-License-Identifier: Apache-2.0
// Who may do what: every route by every role, and one person's things by another person of the same role.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openWorld, type Actor, type World } from '../support/world.js';

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';
type Name = 'client' | 'accountant' | 'admin';

let world: World;
let people: Record<Name, Actor>;
let stranger: Record<'client' | 'accountant', Actor>;
before(async () => {
  world = await openWorld({ BOOKINGS_PER_MINUTE: '1000' });
  people = { client: await world.actor('CLIENT'), accountant: await world.actor('ACCOUNTANT'), admin: await world.actor('ADMIN') };
  stranger = { client: await world.actor('CLIENT'), accountant: await world.actor('ACCOUNTANT') };
});
after(() => world.close());

const SOME = '00000000-0000-4000-8000-000000000000';
const everyone: Name[] = ['client', 'accountant', 'admin'];

/** All routes that are not public, and who may use them. */
const ROUTES: { method: Method; url: string; roles: Name[] }[] = [
  { method: 'GET', url: '/api/session', roles: everyone },
  { method: 'PUT', url: '/api/account/password', roles: everyone },
  { method: 'GET', url: '/api/availability', roles: ['accountant'] },
  { method: 'POST', url: '/api/availability', roles: ['accountant'] },
  { method: 'DELETE', url: `/api/availability/${SOME}`, roles: ['accountant'] },
  { method: 'GET', url: '/api/requests', roles: everyone },
  { method: 'POST', url: '/api/requests', roles: ['client'] },
  { method: 'GET', url: `/api/requests/${SOME}`, roles: everyone },
  { method: 'POST', url: `/api/requests/${SOME}/cancel`, roles: ['client', 'accountant'] },
  { method: 'POST', url: `/api/requests/${SOME}/pay`, roles: ['client'] },
  { method: 'POST', url: `/api/requests/${SOME}/complete`, roles: ['accountant'] },
  { method: 'POST', url: `/api/requests/${SOME}/review`, roles: ['client'] },
  { method: 'GET', url: `/api/requests/${SOME}/messages`, roles: ['client', 'accountant'] },
  { method: 'POST', url: `/api/requests/${SOME}/messages`, roles: ['client', 'accountant'] },
  { method: 'GET', url: '/api/questions', roles: ['accountant'] },
  { method: 'GET', url: '/api/admin/users', roles: ['admin'] },
  { method: 'POST', url: `/api/admin/users/${SOME}/disable`, roles: ['admin'] },
  { method: 'POST', url: `/api/admin/users/${SOME}/enable`, roles: ['admin'] },
  { method: 'POST', url: '/api/admin/accountants', roles: ['admin'] },
  { method: 'POST', url: `/api/admin/payments/${SOME}/refund`, roles: ['admin'] },
  // The last one: it signs everybody out.
  { method: 'DELETE', url: '/api/session', roles: everyone },
];
const PUBLIC = [
  '/health',
  '/ready',
  '/version',
  '/api/version',
  '/api/accountants',
  '/api/bookings',
  '/api/flags',
  '/api/messages',
  '/api/slow',
  '/api/account/link',
];

for (const { method, url, roles } of ROUTES.slice(0, -1)) {
  test(`${method} ${url.replace(SOME, ':id')} is for ${roles.join(', ')}`, async () => {
    const nobody = await world.ask(null, method, url);
    assert.deepEqual([nobody.statusCode, nobody.json().error], [401, 'not_signed_in']);
    for (const name of everyone) {
      const { statusCode } = await world.ask(people[name], method, url);
      // Without a body, and of something that is not there: 400 or 404 is what comes after the door.
      if (roles.includes(name)) assert.ok([200, 204, 400, 404].includes(statusCode), `${name}: ${statusCode}`);
      else assert.equal(statusCode, 403, name);
    }
  });
}

test('no route was forgotten above', () => {
  const known = new Set([...ROUTES.map(({ url }) => url.replace(SOME, ':id')), ...PUBLIC]);
  const lines = world.app.printRoutes({ commonPrefix: false, includeMeta: false }).split('\n');
  const path: string[] = [];
  const found: string[] = [];
  for (const line of lines) {
    const [, indent = '', part = '', methods] = /^([│ ]*)[├└]── (\S+)(?: \((.*)\))?$/.exec(line) ?? [];
    if (!part) continue;
    path.length = indent.length / 4;
    path.push(part);
    if (methods) found.push(path.join(''));
  }
  assert.ok(found.length > 20, lines.join('\n'));
  const others = ['/api/session', '/api/accountants/:id/slots', '/api/accountants/:id/reviews', '/api/bookings/:id/cancel'];
  assert.deepEqual(
    found.filter((url) => !known.has(url) && !others.includes(url)),
    [],
  );
});

const OTHERS: { what: string; verb: string; method: Method; body?: object; by: 'client' | 'accountant' }[] = [
  { what: 'see', verb: '', method: 'GET', by: 'client' },
  { what: 'cancel', verb: '/cancel', method: 'POST', by: 'client' },
  { what: 'pay', verb: '/pay', method: 'POST', body: { method: 'card' }, by: 'client' },
  { what: 'review', verb: '/review', method: 'POST', body: { rating: 1, text: 'x' }, by: 'client' },
  { what: 'read the messages of', verb: '/messages', method: 'GET', by: 'client' },
  { what: 'write into', verb: '/messages', method: 'POST', body: { body: 'x' }, by: 'client' },
  { what: 'see', verb: '', method: 'GET', by: 'accountant' },
  { what: 'complete', verb: '/complete', method: 'POST', by: 'accountant' },
  { what: 'cancel', verb: '/cancel', method: 'POST', by: 'accountant' },
  { what: 'read the messages of', verb: '/messages', method: 'GET', by: 'accountant' },
];
for (const { what, verb, method, body, by } of OTHERS) {
  test(`another ${by} cannot ${what} a request, which is not even there`, async () => {
    const id = await world.completed(people.client, people.accountant);
    const answer = await world.ask(stranger[by], method, `/api/requests/${id}${verb}`, body);
    assert.deepEqual([answer.statusCode, answer.json().error], [404, 'request_not_found']);
    const { status } = await world.db.serviceRequest.findUniqueOrThrow({ where: { id } });
    assert.equal(status, 'COMPLETED');
    assert.equal(await world.db.message.count({ where: { requestId: id } }), 0);
  });
}

test("lists hold nobody else's requests", async () => {
  await world.request(people.client, people.accountant);
  for (const who of Object.values(stranger)) {
    assert.deepEqual((await world.ask(who, 'GET', '/api/requests')).json().requests, []);
  }
});

test("an accountant cannot withdraw another's hour", async () => {
  const slot = await world.slot(people.accountant, 500);
  assert.equal((await world.ask(stranger.accountant, 'DELETE', `/api/availability/${slot}`)).statusCode, 404);
  assert.equal(await world.db.availabilitySlot.count({ where: { id: slot } }), 1);
});

test('an administrator sees requests, and not what the two sides write', async () => {
  const id = await world.request(people.client, people.accountant);
  assert.equal((await world.ask(people.admin, 'GET', `/api/requests/${id}`)).statusCode, 200);
  assert.equal((await world.ask(people.admin, 'GET', `/api/requests/${id}/messages`)).statusCode, 403);
});

test('an administrator cannot be locked out by the own hand', async () => {
  const answer = await world.ask(people.admin, 'POST', `/api/admin/users/${people.admin.id}/disable`);
  assert.equal(answer.json().error, 'own_account');
});

test('nobody gives themselves a role', async () => {
  await world.ask(null, 'POST', '/api/account/link', { email: 'king@example.com' });
  const body = { token: world.code(), name: 'King', password: 'correct horse battery', role: 'ADMIN' };
  assert.equal((await world.ask(null, 'POST', '/api/account/password', body)).statusCode, 400);
  const { role: _, ...plain } = body;
  assert.equal((await world.ask(null, 'POST', '/api/account/password', plain)).statusCode, 204);
  assert.equal((await world.db.user.findUniqueOrThrow({ where: { email: 'king@example.com' } })).role, 'CLIENT');
});

test('a role that is taken away is gone with the next request', async () => {
  const admin = await world.actor('ADMIN');
  await world.db.user.update({ where: { id: admin.id }, data: { role: 'CLIENT' } });
  assert.equal((await world.ask(admin, 'GET', '/api/admin/users')).statusCode, 403);
});
