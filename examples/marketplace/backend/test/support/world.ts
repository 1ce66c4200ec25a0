// SPDX-License-Identifier: Apache-2.0
// The application as it is, on a database of its own that is dropped afterwards, with people to act.
import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import type { Redis } from 'ioredis';

import { addRoutes, createServer } from '../../src/app.js';
import { openCache } from '../../src/cache.js';
import { readConfig } from '../../src/config.js';
import { openDatabase, type Database } from '../../src/db.js';
import type { Role } from '../../src/generated/prisma/client.js';
import { NoFlags, type Flags } from '../../src/flags.js';
import { Links } from '../../src/links.js';
import type { Letter, Mail } from '../../src/mail.js';
import { Passwords, type Cost } from '../../src/passwords.js';
import { FakePayments } from '../../src/payments.js';
import { Receipts } from '../../src/receipt.js';
import { Sessions } from '../../src/sessions.js';

export const HOUR = 3_600_000;
/** As the real one in everything but the time it takes. */
export const CHEAP: Cost = { N: 2 ** 4, r: 8, p: 1 };
export const PASSWORD = 'correct horse battery';

export interface Actor {
  id: string;
  email: string;
  name: string;
  cookie: string;
  /** Of an accountant: the profile's id. */
  accountantId: string;
}

class Postbox implements Mail {
  readonly letters: Letter[] = [];

  async send(letter: Letter): Promise<void> {
    this.letters.push(letter);
  }
}

export type Answer = LightMyRequestResponse;
type Method = 'GET' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS';

export class World {
  readonly payments = new FakePayments();
  readonly mail = new Postbox();
  readonly passwords = new Passwords(CHEAP);
  #slots = 0;
  /** Nobody else's: attempts are counted by address, in a Redis that all tests share. */
  readonly address = `10.${[...randomBytes(3)].join('.')}`;

  constructor(
    readonly app: FastifyInstance,
    readonly db: Database,
    readonly cache: Redis,
    readonly links: Links,
    readonly close: () => Promise<void>,
  ) {}

  /** A person who is signed in. */
  async actor(role: Role): Promise<Actor> {
    const id = randomUUID();
    const email = `${role.toLowerCase()}-${id}@example.com`;
    const name = `${role} ${id.slice(0, 8)}`;
    const accountantId = randomUUID();
    await this.db.user.create({ data: { id, email, name, role, passwordHash: await this.passwords.hash(PASSWORD) } });
    if (role === 'CLIENT') await this.db.client.create({ data: { id: randomUUID(), userId: id } });
    if (role === 'ACCOUNTANT') {
      const profile = {
        membershipNumber: id.slice(0, 12),
        city: 'Pune',
        headline: 'Payroll: on time',
        hourlyRateMinor: 280_000,
        currency: 'INR',
      };
      await this.db.charteredAccountant.create({ data: { id: accountantId, userId: id, ...profile } });
    }
    return { id, email, name, accountantId, cookie: `session=${await new Sessions(this.db).begin(id)}` };
  }

  /** An hour of an accountant, so many hours from now. */
  async slot(accountant: Actor, inHours = 24): Promise<string> {
    const id = randomUUID();
    // No two begin at the same time.
    const startsAt = new Date(Date.now() + inHours * HOUR + (this.#slots += 1) * 1000);
    await this.db.availabilitySlot.create({
      data: { id, accountantId: accountant.accountantId, startsAt, endsAt: new Date(Number(startsAt) + HOUR) },
    });
    return id;
  }

  /** A service request for an hour that is still to come. */
  async request(client: Actor, accountant: Actor): Promise<string> {
    const answer = await this.ask(client, 'POST', '/api/requests', { slotId: await this.slot(accountant) });
    return answer.json().request.id;
  }

  /** Its hour has begun. */
  async begin(requestId: string): Promise<void> {
    const startsAt = new Date(Date.now() - HOUR / 2 - Math.floor(Math.random() * 1_000_000));
    await this.db.availabilitySlot.updateMany({
      where: { requests: { some: { id: requestId } } },
      data: { startsAt, endsAt: new Date(Number(startsAt) + HOUR) },
    });
  }

  async completed(client: Actor, accountant: Actor): Promise<string> {
    const id = await this.request(client, accountant);
    await this.begin(id);
    await this.ask(accountant, 'POST', `/api/requests/${id}/complete`);
    return id;
  }

  ask(who: Actor | null, method: Method, url: string, payload?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const options: InjectOptions = {
      method,
      url,
      remoteAddress: this.address,
      headers: { ...(who ? { cookie: who.cookie } : {}), ...headers },
    };
    if (payload !== undefined) options.payload = payload as object;
    return this.app.inject(options);
  }

  signIn(email: string, password: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.ask(null, 'POST', '/api/session', { email, password }, headers);
  }

  /** An address of the mail or the network that no other test, and no other run, has used. */
  readonly unused = {
    email: (name = 'someone') => `${name}-${randomUUID()}@example.com`,
    ip: () => `fd00:${randomBytes(2).toString('hex')}:${randomBytes(2).toString('hex')}::1`,
  };

  /** Attempts are counted by the minute: have enough of this one left to count to the limit. */
  async withinAMinute(): Promise<void> {
    const left = 60_000 - (Date.now() % 60_000);
    if (left < 10_000) await sleep(left);
  }

  /** The code in the letter that came last. */
  code(): string {
    return this.mail.letters.at(-1)!.text.split('\n')[1]!;
  }
}

export async function openWorld(env: Record<string, string> = {}, flags: Flags = new NoFlags()): Promise<World> {
  const config = readConfig({
    JWT_SECRET: 'a secret of enough length',
    LOG_LEVEL: 'silent',
    SIGN_INS_PER_MINUTE: '5',
    ...process.env,
    ...env,
  });
  const name = `market_test_${randomBytes(6).toString('hex')}`;
  const server = openDatabase(config.databaseUrl);
  await server.$executeRawUnsafe(`CREATE DATABASE ${name}`);
  const url = new URL(config.databaseUrl);
  url.pathname = `/${name}`;
  const db = openDatabase(url.href);
  for (const script of await migrations()) await db.$executeRawUnsafe(script);

  const app = createServer(config);
  const cache = openCache(config.redisUrl, app.log);
  await new Promise((resolve) => cache.once('ready', resolve));
  const links = new Links(config.jwtSecret);
  const close = async () => {
    await app.close();
    cache.disconnect();
    await db.$disconnect();
    await server.$executeRawUnsafe(`DROP DATABASE ${name} WITH (FORCE)`);
    await server.$disconnect();
  };
  const world = new World(app, db, cache, links, close);
  addRoutes(app, {
    config,
    db,
    cache,
    flags,
    links,
    receipts: new Receipts(config.jwtSecret),
    mail: world.mail,
    passwords: world.passwords,
    payments: world.payments,
  });
  await app.ready();
  return world;
}

/** The scripts of prisma/migrations, in their order. */
export async function migrations(): Promise<string[]> {
  const folders = (await readdir('prisma/migrations', { withFileTypes: true })).filter((entry) => entry.isDirectory());
  return Promise.all(
    folders
      .map((folder) => folder.name)
      .sort()
      .map((name) => readFile(join('prisma/migrations', name, 'migration.sql'), 'utf8')),
  );
}
