// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import type { FastifyBaseLogger } from 'fastify';

import { FileMail, NoMail } from '../../src/mail.js';

const LETTER = { to: 'zoe@example.com', subject: 'Your account', text: 'the code' };

test('letters are lines of a file that only its owner reads', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mail-'));
  try {
    const path = join(folder, 'letters');
    const mail = new FileMail(path);
    await mail.send(LETTER);
    await mail.send(LETTER);
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      [LETTER, LETTER],
    );
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('without mail the log says so, and neither to whom nor what', async () => {
  const said: unknown[] = [];
  await new NoMail({ warn: (...words: unknown[]) => said.push(...words) } as unknown as FastifyBaseLogger).send(LETTER);
  assert.match(JSON.stringify(said), /no mail is set up/);
  assert.doesNotMatch(JSON.stringify(said), /zoe|the code/);
});
