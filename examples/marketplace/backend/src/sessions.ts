// SPDX-License-Identifier: Apache-2.0
import { createHash, randomBytes } from 'node:crypto';

import type { Database } from './db.js';
import type { Role } from './generated/prisma/client.js';

/** Who is signed in. */
export interface Person {
  id: string;
  email: string;
  name: string;
  role: Role;
}

const MINUTE = 60_000;
/** Unused for so long, a session is over; */
export const IDLE_MILLISECONDS = 60 * MINUTE;
/** and used or not, after so long. */
export const LONGEST_MILLISECONDS = 12 * 60 * MINUTE;
const NAME = 'session';

/** What the database knows of a token: enough to find it again, not enough to use it. */
export const tokenHash = (token: string): string => createHash('sha256').update(token).digest('hex');

export function isOver(session: { createdAt: Date; lastUsedAt: Date }, now: number): boolean {
  return now - Number(session.lastUsedAt) >= IDLE_MILLISECONDS || now - Number(session.createdAt) >= LONGEST_MILLISECONDS;
}

/** The Set-Cookie header of a token; of none, to remove it. Out of reach of scripts and of other sites. */
export function cookieOf(token: string | undefined, secure: boolean): string {
  const age = token === undefined ? 0 : LONGEST_MILLISECONDS / 1000;
  return `${NAME}=${token ?? ''}; Path=/api; HttpOnly; SameSite=Strict; Max-Age=${age}${secure ? '; Secure' : ''}`;
}

/** The token in a Cookie header. */
export function tokenOf(cookies: string | undefined): string | undefined {
  const found = (cookies ?? '').split(';').map((one) => one.trim().split('='));
  return found.find(([name, value]) => name === NAME && /^[\w-]{43}$/.test(value ?? ''))?.[1];
}

/** Sessions in the database: a cache that restarts signs nobody out. */
export class Sessions {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** A new session; the token is told once. What is over is forgotten on this occasion. */
  async begin(userId: string): Promise<string> {
    const token = randomBytes(32).toString('base64url');
    const now = Date.now();
    await this.#db.session.deleteMany({
      where: {
        OR: [{ lastUsedAt: { lte: new Date(now - IDLE_MILLISECONDS) } }, { createdAt: { lte: new Date(now - LONGEST_MILLISECONDS) } }],
      },
    });
    await this.#db.session.create({ data: { tokenHash: tokenHash(token), userId } });
    return token;
  }

  async find(token: string): Promise<Person | undefined> {
    const where = { tokenHash: tokenHash(token) };
    const session = await this.#db.session.findUnique({ where, include: { user: true } });
    if (!session || session.user.disabled || isOver(session, Date.now())) return undefined;
    // Once a minute is precise enough, and spares a write on every request.
    if (Date.now() - Number(session.lastUsedAt) > MINUTE) await this.#db.session.updateMany({ where, data: { lastUsedAt: new Date() } });
    const { id, email, name, role } = session.user;
    return { id, email, name, role };
  }

  async end(token: string): Promise<void> {
    await this.#db.session.deleteMany({ where: { tokenHash: tokenHash(token) } });
  }
}
