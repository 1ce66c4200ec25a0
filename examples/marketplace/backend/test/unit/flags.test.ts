// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createServer as createApp } from '../../src/app.js';
import { LiveFlags } from '../../src/flags.js';

const { log } = createApp({ logLevel: 'silent' });
const TOKEN = 'default:development.secret';

/** What Unleash answers: a gradual rollout by user, and two variants. */
const features = (rollout: number) => ({
  version: 2,
  features: [
    { name: 'new-payment-flow', type: 'release', enabled: true, strategies: [gradual('new-payment-flow', rollout)] },
    {
      name: 'booking-button',
      type: 'experiment',
      enabled: true,
      strategies: [
        {
          ...gradual('booking-button', 100),
          variants: ['book', 'reserve'].map((name) => ({ name, weight: 500, weightType: 'variable', stickiness: 'userId' })),
        },
      ],
    },
  ],
});

function gradual(groupId: string, rollout: number) {
  return { name: 'flexibleRollout', constraints: [], parameters: { rollout: String(rollout), stickiness: 'userId', groupId } };
}

let folder: string;
let server: Server | undefined;
let open: LiveFlags | undefined;
let url: string;
let answer: object;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flags-'));
  answer = features(50);
  server = createServer((request, response) => {
    response.statusCode = request.headers.authorization === TOKEN ? 200 : 401;
    response.setHeader('content-type', 'application/json').end(JSON.stringify(response.statusCode === 200 ? answer : { message: 'no' }));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/`;
});

afterEach(() => {
  open?.close();
  stop();
  rmSync(folder, { recursive: true });
});

function stop(): void {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
}

async function start(token = TOKEN, changed: () => void = () => {}): Promise<LiveFlags> {
  open = new LiveFlags({ url, token, folder }, log, changed);
  await open.ready();
  return open;
}

function put(name: string, content: unknown): void {
  writeFileSync(join(folder, `.${name}`), typeof content === 'string' ? content : JSON.stringify(content));
  renameSync(join(folder, `.${name}`), join(folder, name));
}

async function until(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 5_000; !what(); await sleep(20)) assert.ok(Date.now() < end, 'it did not come true in time');
}

const people = Array.from({ length: 400 }, (_, index) => `person-${index}`);

test('on for everybody, for nobody, and for the same ones every time', async () => {
  answer = features(100);
  let flags = await start();
  assert.ok(people.every((id) => flags.isOn('new-payment-flow', id)));
  flags.close();
  answer = features(0);
  flags = await start();
  assert.ok(!people.some((id) => flags.isOn('new-payment-flow', id)));
  flags.close();
  answer = features(50);
  flags = await start();
  const half = people.filter((id) => flags.isOn('new-payment-flow', id));
  assert.ok(half.length > 140 && half.length < 260, `${half.length} of 400`);
  assert.deepEqual(people.filter((id) => flags.isOn('new-payment-flow', id)), half);
});

test('two variants, each person always with one of them', async () => {
  const flags = await start();
  const variants = people.map((id) => flags.variant('booking-button', id, 'book'));
  assert.deepEqual([...new Set(variants)].sort(), ['book', 'reserve']);
  assert.deepEqual(people.map((id) => flags.variant('booking-button', id, 'book')), variants);
});

test('a flag that nobody made is off, and has the variant of before', async () => {
  const flags = await start();
  assert.equal(flags.isOn('debug-panel', 'anyone'), false);
  assert.equal(flags.variant('debug-panel', 'anyone', 'classic'), 'classic');
});

for (const [why, breakIt] of [
  ['is away', () => stop()],
  ['does not accept the token', () => {}],
] as const) {
  test(`when Unleash ${why}, a start has the flags that the host kept`, async () => {
    breakIt();
    assert.equal((await start('wrong')).isOn('new-payment-flow', 'anna'), false, 'nothing is kept: off, and no error');
    open!.close();
    put('features.json', features(100));
    const flags = await start('wrong');
    assert.equal(flags.isOn('new-payment-flow', 'anna'), true);
  });
}

test('a killed flag is off within the blink of an eye, and stays so after a start; revived, Unleash decides again', async () => {
  answer = features(100);
  let told = 0;
  let flags = await start(TOKEN, () => (told += 1));
  assert.equal(flags.isOn('new-payment-flow', 'anna'), true);
  const before = told;
  put('killed.json', { killed: ['new-payment-flow', 'booking-button'] });
  await until(() => !flags.isOn('new-payment-flow', 'anna'));
  assert.ok(told > before, 'pages are told');
  assert.ok(people.every((id) => flags.variant('booking-button', id, 'book') === 'book'));
  flags.close();
  flags = await start();
  assert.equal(flags.isOn('new-payment-flow', 'anna'), false);
  put('killed.json', 'half a fi');
  await sleep(400);
  assert.equal(flags.isOn('new-payment-flow', 'anna'), false, 'a file that cannot be read brings nothing back');
  put('killed.json', { killed: [] });
  await until(() => flags.isOn('new-payment-flow', 'anna'));
});
