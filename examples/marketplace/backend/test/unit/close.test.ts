// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createServer } from '../../src/app.js';

async function fetchWith(agent: Agent, port: number, path: string): Promise<IncomingMessage> {
  const [response] = (await once(get({ agent, port, path }), 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response;
}

test('closing finishes what is in flight, refuses the rest, and leaves no connection', async () => {
  const app = createServer({ logLevel: 'silent' });
  app.get('/now', async () => 'now');
  app.get('/slow', async () => {
    await sleep(300);
    return 'slow';
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;

  const agent = new Agent({ keepAlive: true });
  assert.equal((await fetchWith(agent, port, '/now')).headers.connection, 'keep-alive');
  const neverUsed = connect(port, '127.0.0.1');
  await once(neverUsed, 'connect');
  const cut = once(neverUsed, 'close');

  const inFlight = fetchWith(new Agent({ keepAlive: true }), port, '/slow');
  await sleep(100);
  const closed = app.close();
  await sleep(50);
  await assert.rejects(fetchWith(new Agent(), port, '/now'), { code: 'ECONNREFUSED' });

  const response = await inFlight;
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers.connection, 'close');
  await Promise.all([closed, cut]);
});
