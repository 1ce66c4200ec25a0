// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';

import { normalEmail } from './bookings.js';
import type { Database } from './db.js';
import type { Prisma, Role } from './generated/prisma/client.js';
import { sealOf, type Links } from './links.js';
import type { Mail } from './mail.js';
import { passwordProblem, type Passwords } from './passwords.js';
import { Problem } from './problem.js';
import type { Sessions } from './sessions.js';

export interface Profile {
  membershipNumber: string;
  city: string;
  headline: string;
  hourlyRateMinor: number;
  currency: string;
}

interface Parts {
  db: Database;
  links: Links;
  mail: Mail;
  passwords: Passwords;
  sessions: Sessions;
}

/**
 * Accounts: who may sign in. An address proves itself by a link that is mailed to it; the same link registers, takes over what
 * was booked with the address before, and replaces a forgotten password. So no answer says whether an address is known.
 */
export class Accounts {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Mail a link to set a password, to whomever the address belongs to. */
  async sendLink(address: string): Promise<void> {
    const email = normalEmail(address);
    const token = await this.link(email);
    await this.#parts.mail.send({
      to: email,
      subject: 'Your marketplace account',
      text: `Choose a password with this code, within 30 minutes:\n${token}`,
    });
  }

  async link(email: string, lifetime?: string): Promise<string> {
    const user = await this.#parts.db.user.findUnique({ where: { email }, select: { passwordHash: true } });
    return this.#parts.links.issue({ email, seal: sealOf(user?.passwordHash) }, lifetime);
  }

  /**
   * Set the password of the address in a link; whoever was signed in with the old one is no longer.
   * @throws Problem 400 (the link is no longer good), 422 (the password is not).
   */
  async setPassword(token: string, name: string, password: string): Promise<void> {
    const { db, links, passwords } = this.#parts;
    const link = await links.read(token);
    if (!link) throw badLink();
    const { email, seal } = link;
    mustBeGood(password, email);
    const passwordHash = await passwords.hash(password);
    await db.$transaction(async (tx) => {
      // Two uses of one link come one after the other, and the second finds the seal broken.
      await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${email}, 0))`;
      const user = await tx.user.findUnique({ where: { email } });
      if (user?.disabled || sealOf(user?.passwordHash) !== seal) throw badLink();
      if (user) {
        await tx.user.update({ where: { email }, data: { passwordHash } });
        await tx.session.deleteMany({ where: { userId: user.id } });
      } else {
        await createUser(tx, { email, name, role: 'CLIENT' }, passwordHash);
      }
    });
  }

  /** @throws Problem 401, the same for an unknown address, a wrong password and a disabled account. */
  async signIn(address: string, password: string): Promise<string> {
    const { db, passwords, sessions } = this.#parts;
    const user = await db.user.findUnique({ where: { email: normalEmail(address) } });
    const fits = await passwords.fits(password, user?.passwordHash ?? null);
    if (!fits || !user || user.disabled) throw new Problem(401, 'wrong_credentials', 'The email or the password is wrong.');
    return sessions.begin(user.id);
  }

  /** A new password for who knows the old one; all sessions end. */
  async changePassword(userId: string, current: string, next: string): Promise<void> {
    const { db, passwords } = this.#parts;
    const user = await db.user.findUniqueOrThrow({ where: { id: userId } });
    if (!(await passwords.fits(current, user.passwordHash))) throw new Problem(403, 'wrong_password', 'The current password is wrong.');
    mustBeGood(next, user.email);
    const passwordHash = await passwords.hash(next);
    await db.$transaction([
      db.user.update({ where: { id: userId }, data: { passwordHash } }),
      db.session.deleteMany({ where: { userId } }),
    ]);
  }

  /** @throws Problem 409 when the address or the membership number is taken. */
  async addAccountant(address: string, name: string, profile: Profile): Promise<string> {
    const email = normalEmail(address);
    const { db } = this.#parts;
    const taken = { OR: [{ email }, { accountant: { membershipNumber: profile.membershipNumber } }] };
    const id = await db.$transaction(async (tx) => {
      if (await tx.user.count({ where: taken })) throw new Problem(409, 'account_exists', 'The email or the membership number is taken.');
      const userId = await createUser(tx, { email, name, role: 'ACCOUNTANT' }, null);
      const accountant = await tx.charteredAccountant.create({ data: { id: randomUUID(), userId, ...profile } });
      return accountant.id;
    });
    await this.sendLink(email);
    return id;
  }

  /** A disabled account cannot sign in, and is signed out. */
  async setDisabled(userId: string, disabled: boolean): Promise<void> {
    await this.#parts.db.$transaction(async (tx) => {
      const { count } = await tx.user.updateMany({ where: { id: userId }, data: { disabled } });
      if (count === 0) throw new Problem(404, 'user_not_found', `No user ${userId}.`);
      if (disabled) await tx.session.deleteMany({ where: { userId } });
    });
  }
}

export async function createUser(
  tx: Prisma.TransactionClient,
  user: { email: string; name: string; role: Role },
  passwordHash: string | null,
): Promise<string> {
  const id = randomUUID();
  await tx.user.create({ data: { id, ...user, passwordHash } });
  if (user.role === 'CLIENT') await tx.client.create({ data: { id: randomUUID(), userId: id } });
  return id;
}

function mustBeGood(password: string, email: string): void {
  const problem = passwordProblem(password, email);
  if (problem) throw new Problem(422, 'weak_password', `Choose another password: ${problem}.`);
}

const badLink = (): Problem => new Problem(400, 'link_invalid', 'This code was used already or is too old; ask for a new one.');
