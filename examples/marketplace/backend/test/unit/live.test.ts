// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { test } from 'node:test';

import { WebSocket } from 'ws';

import { createServer } from '../../src/app.js';
import { openLive } from '../../src/live.js';

async function listening(pingMilliseconds?: number) {
  const app = createServer({ logLevel: 'silent' });
  app.get('/now', async () => 'now');
  const tell = openLive(app, { version: 'v1.2.3' }, pingMilliseconds);
  await app.listen({ port: 0, host: '127.0.0.1' });
  return { app, tell, port: (app.server.address() as AddressInfo).port };
}

const heard = async (socket: WebSocket) => JSON.parse(String(((await once(socket, 'message')) as [Buffer])[0]));

test('a page is greeted with the version, then told what changes', async () => {
  const { app, tell, port } = await listening();
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api/live`);
  const hello = await heard(socket);
  assert.deepEqual([hello.type, hello.version], ['hello', 'v1.2.3']);
  const notice = heard(socket);
  tell('{"type":"slot"}');
  assert.deepEqual(await notice, { type: 'slot' });
  socket.close();
  await once(socket, 'close');
  await app.close();
});

test('closing says "going away" to every socket, and cuts off the one that does not answer', async () => {
  const { app, port } = await listening();
  const sockets = [1, 2, 3].map(() => new WebSocket(`ws://127.0.0.1:${port}/api/live`));
  await Promise.all(sockets.map(heard));
  const codes = Promise.all(sockets.map(async (socket) => ((await once(socket, 'close')) as [number])[0]));
  const deaf = connect(port, '127.0.0.1');
  deaf.write('GET /api/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n');
  deaf.write('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'); // The key of RFC 6455's example. gitleaks:allow
  await once(deaf, 'data');
  const cut = once(deaf, 'close');
  const begin = Date.now();
  await app.close();
  assert.ok(Date.now() - begin < 5_000);
  assert.deepEqual(await codes, [1001, 1001, 1001]);
  await cut;
});

test('a socket that does not answer pings is cut off, one that does stays', async () => {
  const { app, port } = await listening(50);
  const deaf = new WebSocket(`ws://127.0.0.1:${port}/api/live`, { autoPong: false });
  const well = new WebSocket(`ws://127.0.0.1:${port}/api/live`);
  await Promise.all([heard(well), heard(deaf)]);
  assert.deepEqual(((await once(deaf, 'close')) as [number])[0], 1006);
  await once(well, 'ping');
  assert.equal(well.readyState, WebSocket.OPEN);
  await app.close();
});

test('other paths are not upgraded, and HTTP goes on beside it', async () => {
  const { app, port } = await listening();
  const refused = new WebSocket(`ws://127.0.0.1:${port}/api/else`);
  const [, response] = (await once(refused, 'unexpected-response')) as [unknown, IncomingMessage];
  assert.equal(response.statusCode, 404);
  const [plain] = (await once(get({ port, path: '/now' }), 'response')) as [IncomingMessage];
  assert.equal(plain.statusCode, 200);
  plain.resume();
  await app.close();
});
