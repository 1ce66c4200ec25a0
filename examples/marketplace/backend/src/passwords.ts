// SPDX-License-Identifier: Apache-2.0
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

/** What scrypt may spend: N and r take memory (128 * N * r bytes), p takes time. */
export interface Cost {
  N: number;
  r: number;
  p: number;
}

/** One of the settings of the OWASP password storage cheat sheet: 32 MiB. */
export const COST: Cost = { N: 2 ** 15, r: 8, p: 3 };
const KEY_BYTES = 32;
const LONGEST = 128;
const SHORTEST = 12;

/** The head of every list of leaked passwords, as far as it is long enough to be chosen here. */
const COMMON = new Set(
  'password1234 123456789012 qwertyuiop12 passwordpassword administrator iloveyou1234 letmein12345 welcome12345'.split(' '),
);

/** Hashes that say how they were made, so that a higher cost does not lock anybody out. */
export class Passwords {
  readonly #cost: Cost;
  /** What is compared against when there is no such user: it takes as long, and never fits. */
  readonly #nobody: Promise<string>;

  constructor(cost: Cost = COST) {
    this.#cost = cost;
    this.#nobody = this.hash(randomBytes(16).toString('hex'));
  }

  async hash(password: string): Promise<string> {
    const { N, r, p } = this.#cost;
    const salt = randomBytes(16);
    const key = await derive(password, salt, this.#cost);
    return ['scrypt', N, r, p, salt.toString('base64url'), key.toString('base64url')].join('$');
  }

  /** Whether it is the password. Without a hash it is not, which takes just as long to find out. */
  async fits(password: string, hash: string | null): Promise<boolean> {
    const [scheme, N, r, p, salt = '', key = ''] = (hash ?? (await this.#nobody)).split('$');
    if (scheme !== 'scrypt') throw new Error(`a password hash of the unknown scheme '${scheme}'`);
    const found = await derive(password, Buffer.from(salt, 'base64url'), { N: Number(N), r: Number(r), p: Number(p) });
    return timingSafeEqual(found, Buffer.from(key, 'base64url')) && hash !== null;
  }
}

function derive(password: string, salt: Buffer, { N, r, p }: Cost): Promise<Buffer> {
  // The same letters can be typed in more than one way; NFKC makes them one.
  const text = password.normalize('NFKC');
  return new Promise((resolve, reject) => {
    scrypt(text, salt, KEY_BYTES, { N, r, p, maxmem: 256 * N * r }, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

/** Why a password cannot be taken, or undefined. Length counts, kinds of characters do not (NIST SP 800-63B). */
export function passwordProblem(password: string, email: string): string | undefined {
  const folded = password.toLowerCase();
  if ([...password].length < SHORTEST) return `it needs ${SHORTEST} characters or more`;
  if ([...password].length > LONGEST) return `it may have ${LONGEST} characters at most`;
  if (new Set(folded).size < 5) return 'it has fewer than five different characters';
  if (COMMON.has(folded)) return 'it is one of the first that anybody tries';
  const mailbox = email.split('@', 1)[0]!.toLowerCase();
  if (mailbox.length >= 4 && folded.includes(mailbox)) return 'it holds the name of the mailbox';
  return undefined;
}
