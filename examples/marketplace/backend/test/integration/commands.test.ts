// SPDX-License-Identifier: Apache-2.0
// The commands of the image, each on an empty database of its own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { openDatabase, type Database } from '../../src/db.js';

const name = `market_test_${randomBytes(6).toString('hex')}`;
const url = new URL(process.env['DATABASE_URL']!);
url.pathname = `/${name}`;
const ENV = { ...process.env, DATABASE_URL: url.href, JWT_SECRET: 'a secret of enough length', CHECKPOINT_DISABLE: '1' };
const run = promisify(execFile);
const command = async (program: string, ...args: string[]) => {
  try {
    return { code: 0, ...(await run(program, args, { env: ENV })) };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
};
const node = (script: string, ...args: string[]) => command(process.execPath, `.test-build/src/${script}.js`, ...args);
const prisma = (...args: string[]) => command('node_modules/.bin/prisma', ...args);

let server: Database;
let db: Database;
before(async () => {
  server = openDatabase(process.env['DATABASE_URL']!);
  await server.$executeRawUnsafe(`CREATE DATABASE ${name}`);
  db = openDatabase(url.href);
});
after(async () => {
  await db.$disconnect();
  await server.$executeRawUnsafe(`DROP DATABASE ${name} WITH (FORCE)`);
  await server.$disconnect();
});

test('migrate status says what is pending, migrate deploy applies it, once', async () => {
  assert.equal((await prisma('migrate', 'status')).code, 1);
  const deployed = await prisma('migrate', 'deploy');
  assert.equal(deployed.code, 0, deployed.stderr);
  assert.equal((await prisma('migrate', 'status')).code, 0);
  assert.match((await prisma('migrate', 'deploy')).stdout, /No pending migrations/);
});

test('every column of the schema is in the migrations', async () => {
  for (const table of [
    'user',
    'session',
    'charteredAccountant',
    'client',
    'availabilitySlot',
    'serviceRequest',
    'payment',
    'review',
    'message',
  ] as const) {
    await (db[table] as Database['user']).findMany({ take: 1 });
  }
});

test('the seed can be run again, and leaves bookings alone', async () => {
  assert.equal((await node('seed')).stdout.trim(), 'seeded 8 accountants, 160 slots');
  const { id } = await db.availabilitySlot.findFirstOrThrow();
  await db.availabilitySlot.update({ where: { id }, data: { status: 'BOOKED' } });
  assert.equal((await node('seed')).code, 0);
  assert.equal((await db.availabilitySlot.findUniqueOrThrow({ where: { id } })).status, 'BOOKED');
  assert.equal(await db.review.count(), 16);
});

test('the smoke check reads, writes and takes back', async () => {
  assert.equal((await node('smoke')).stdout.trim(), 'works: 5 accountants, 5 slots read');
  assert.equal(await db.message.count(), 0);
});

test('an invitation makes the account and prints one code', async () => {
  const { stdout, code } = await node('invite', 'Root@Example.com', 'ADMIN', 'Root');
  assert.equal(code, 0);
  assert.match(stdout.trim(), /^[\w-]+\.[\w-]+\.[\w-]+$/);
  const user = await db.user.findUniqueOrThrow({ where: { email: 'root@example.com' } });
  assert.deepEqual([user.role, user.passwordHash], ['ADMIN', null]);
});

test('an invitation that says too little is a usage error', async () => {
  assert.equal((await node('invite', 'root@example.com', 'KING', 'Root')).code, 64);
});
