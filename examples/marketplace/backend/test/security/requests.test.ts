// SPDX-License-Identifier: Apache-2.0
// What comes over the wire: injection, forged pages, oversized and odd input, headers, and what answers give away.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createServer } from '../../src/app.js';
import { openWorld, PASSWORD, type Actor, type World } from '../support/world.js';

let world: World;
let client: Actor;
let accountant: Actor;
before(async () => {
  world = await openWorld({ BOOKINGS_PER_MINUTE: '1000', SIGN_INS_PER_MINUTE: '1000' });
  [client, accountant] = [await world.actor('CLIENT'), await world.actor('ACCOUNTANT')];
});
after(() => world.close());

const SQL = ["' OR '1'='1", '\'; DROP TABLE "User"; --', 'x\' UNION SELECT "passwordHash" FROM "User" --', "\\'; SELECT pg_sleep(10); --"];

for (const text of SQL) {
  test(`SQL is text: ${text}`, async () => {
    const slotId = await world.slot(accountant, 50);
    const { request } = (await world.ask(client, 'POST', '/api/requests', { slotId, note: text })).json();
    assert.equal(request.note, text);
    await world.ask(client, 'POST', `/api/requests/${request.id}/messages`, { body: text });
    const { messages } = (await world.ask(client, 'GET', `/api/requests/${request.id}/messages`)).json();
    assert.equal(messages[0].body, text);
  });

  test(`SQL is no address, no id and no cookie: ${text}`, async () => {
    const inUrl = encodeURIComponent(text);
    assert.equal((await world.signIn(text, PASSWORD)).statusCode, 400);
    assert.equal((await world.signIn(client.email, text)).statusCode, 401);
    assert.equal((await world.ask(client, 'GET', `/api/requests/${inUrl}`)).statusCode, 400);
    assert.equal((await world.ask(null, 'GET', `/api/bookings?client=${inUrl}`)).statusCode, 400);
    assert.equal(
      (await world.ask(null, 'GET', '/api/session', undefined, { cookie: `session=${text.replaceAll(';', '')}` })).statusCode,
      401,
    );
    assert.ok((await world.db.user.count()) > 0);
  });
}

test('an operator in place of a value is refused', async () => {
  const body = { email: client.email, password: { not: '' } };
  assert.equal((await world.ask(null, 'POST', '/api/session', body)).statusCode, 400);
  assert.equal((await world.ask(client, 'POST', '/api/requests', { slotId: { not: '' } })).statusCode, 400);
  assert.equal((await world.ask(client, 'GET', '/api/requests?limit[gt]=0')).statusCode, 400);
});

test('a prototype is not polluted', async () => {
  for (const text of ['{"__proto__":{"role":"ADMIN"}}', '{"constructor":{"prototype":{"role":"ADMIN"}}}']) {
    const answer = await world.ask(client, 'POST', '/api/requests', text, { 'content-type': 'application/json' });
    assert.equal(answer.statusCode, 400);
  }
  assert.equal(({} as { role?: string }).role, undefined);
});

test('a script in a review is text in JSON that no browser takes for a page', async () => {
  const id = await world.completed(client, accountant);
  const text = '<script>alert(1)</script>';
  await world.ask(client, 'POST', `/api/requests/${id}/review`, { rating: 5, text });
  const answer = await world.ask(null, 'GET', `/api/accountants/${accountant.accountantId}/reviews`);
  assert.equal(answer.json().reviews[0].text, text);
  assert.match(String(answer.headers['content-type']), /^application\/json/);
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
});

test('a byte that Postgres cannot store is an answer, not a crash', async () => {
  const id = await world.request(client, accountant);
  const [slotId, text] = [await world.slot(accountant), 'a\u0000b'];
  const order = { slotId, name: 'Vera', email: 'nul@example.com' };
  const question = { accountantId: accountant.accountantId, senderEmail: 'nul@example.com', body: text };
  for (const answer of [
    await world.ask(client, 'POST', `/api/requests/${id}/messages`, { body: text }),
    await world.ask(client, 'POST', '/api/requests', { slotId, note: text }),
    await world.ask(null, 'POST', '/api/bookings', { ...order, note: text }),
    await world.ask(null, 'POST', '/api/bookings', { ...order, name: text }),
    await world.ask(null, 'POST', '/api/messages', question),
  ]) {
    assert.equal(answer.statusCode, 400);
  }
});

for (const [what, url, body] of [
  ['a field more', '/api/requests', { slotId: '00000000-0000-4000-8000-000000000000', clientId: 'x' }],
  ['a price', '/api/requests', { slotId: '00000000-0000-4000-8000-000000000000', amountMinor: 1 }],
  ['a long note', '/api/requests', { slotId: '00000000-0000-4000-8000-000000000000', note: 'x'.repeat(1001) }],
  ['six stars', '/api/requests/00000000-0000-4000-8000-000000000000/review', { rating: 6, text: 'x' }],
  ['half a star', '/api/requests/00000000-0000-4000-8000-000000000000/review', { rating: 1.5, text: 'x' }],
] as const) {
  test(`what does not fit the form is refused: ${what}`, async () => {
    const answer = await world.ask(client, 'POST', url, body);
    assert.deepEqual([answer.statusCode, answer.json().error], [400, 'invalid_request']);
  });
}

test('a body of more than 64 KiB is not read', async () => {
  const answer = await world.ask(client, 'POST', '/api/requests', { slotId: 'x'.repeat(70_000) });
  assert.equal(answer.statusCode, 413);
});

test('a form of another site, which can only send text, changes nothing', async () => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
    const answer = await world.ask(client, 'POST', '/api/requests', JSON.stringify({ slotId: await world.slot(accountant, 70) }), {
      'content-type': type,
    });
    assert.ok([400, 415].includes(answer.statusCode), `${type}: ${answer.statusCode}`);
  }
});

for (const site of ['cross-site', 'same-site']) {
  test(`a page that is ${site} changes nothing with the visitor's cookie`, async () => {
    const headers = { 'sec-fetch-site': site };
    const id = await world.request(client, accountant);
    assert.equal((await world.ask(client, 'POST', `/api/requests/${id}/cancel`, undefined, headers)).json().error, 'cross_site');
    assert.equal((await world.signIn(client.email, PASSWORD, headers)).json().error, 'cross_site');
  });
}

test('no other site may read answers', async () => {
  const answer = await world.ask(client, 'GET', '/api/session', undefined, { origin: 'https://evil.example' });
  assert.equal(answer.headers['access-control-allow-origin'], undefined);
  assert.equal(
    (
      await world.ask(null, 'OPTIONS', '/api/session', undefined, {
        origin: 'https://evil.example',
        'access-control-request-method': 'POST',
      })
    ).statusCode,
    404,
  );
});

const HEADERS: Record<string, RegExp> = {
  'cache-control': /^no-store$/,
  'content-security-policy': /^default-src 'none'; frame-ancestors 'none'$/,
  'cross-origin-resource-policy': /^same-origin$/,
  'referrer-policy': /^no-referrer$/,
  'x-content-type-options': /^nosniff$/,
  'x-frame-options': /^DENY$/,
};
for (const [name, value] of Object.entries(HEADERS)) {
  test(`every answer has ${name}, errors too`, async () => {
    for (const url of ['/health', '/api/accountants', '/api/session', '/api/nothing', '/api/slow?ms=x']) {
      assert.match(String((await world.ask(null, 'GET', url)).headers[name]), value, url);
    }
  });
}

test('nothing says what the server is made of', async () => {
  const { headers } = await world.ask(null, 'GET', '/api/accountants');
  assert.equal(headers['server'] ?? headers['x-powered-by'], undefined);
});

test('an unforeseen error says nothing of the inside', async () => {
  const app = createServer({ logLevel: 'silent' });
  app.get('/broken', async () => {
    throw new Error('relation "User" at postgresql://market:hunter2@db');
  });
  const answer = await app.inject('/broken');
  assert.equal(answer.statusCode, 500);
  assert.doesNotMatch(answer.body, /User|hunter2|stack/);
});

test('no answer holds a password hash or a token', async () => {
  const admin = await world.actor('ADMIN');
  const id = await world.request(client, accountant);
  const answers = await Promise.all([
    world.ask(admin, 'GET', '/api/admin/users'),
    world.ask(client, 'GET', '/api/session'),
    world.ask(accountant, 'GET', `/api/requests/${id}`),
    world.ask(null, 'GET', '/api/accountants'),
  ]);
  for (const { body } of answers) assert.doesNotMatch(body, /scrypt|passwordHash|tokenHash/);
});

test('visitors do not learn the address of a client', async () => {
  const slotId = await world.slot(accountant, 90);
  const order = { slotId, name: 'Vera', email: 'private@example.com' };
  await world.ask(null, 'POST', '/api/bookings', order);
  for (const url of ['/api/bookings', '/api/accountants', `/api/accountants/${accountant.accountantId}/reviews`]) {
    assert.doesNotMatch((await world.ask(null, 'GET', url)).body, /private@/);
  }
});

test("a receipt of one booking does not cancel another's", async () => {
  const book = async (email: string, hours: number) =>
    (await world.ask(null, 'POST', '/api/bookings', { slotId: await world.slot(accountant, hours), name: 'V', email })).json();
  const [mine, theirs] = [await book('mine@example.com', 91), await book('theirs@example.com', 93)];
  const answer = await world.ask(
    null,
    'POST',
    `/api/bookings/${theirs.booking.id}/cancel`,
    {},
    { authorization: `Bearer ${mine.receipt}` },
  );
  assert.equal(answer.statusCode, 403);
});

test('the log has neither addresses, nor cookies, nor passwords', async () => {
  const lines: string[] = [];
  const app = createServer({ logLevel: 'info' });
  app.log.info = ((...words: unknown[]) => void lines.push(JSON.stringify(words))) as typeof app.log.info;
  app.get('/api/bookings', async () => ({}));
  await app.inject({ url: `/api/bookings?client=${client.email}`, headers: { cookie: client.cookie } });
  assert.doesNotMatch(lines.join('\n'), /example\.com|session=/);
});
