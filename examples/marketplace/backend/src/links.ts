// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';

import { SignJWT } from 'jose';

import { SigningKeys } from './keys.js';

const ISSUER = 'marketplace';
const AUDIENCE = 'password';

/** What a link says: whose mailbox it was sent to, and the password it is to replace, as a seal. */
export interface Link {
  email: string;
  seal: string;
}

/** A link is good once: using it changes the hash, and with it the seal. */
export const sealOf = (passwordHash: string | null | undefined): string =>
  createHash('sha256')
    .update(passwordHash ?? '')
    .digest('base64url')
    .slice(0, 22);

/** Signs and checks the tokens by which somebody sets a password: the first one, or a new one. Nothing of them is stored. */
export class Links {
  readonly #keys: SigningKeys;

  constructor(secret: string, previous = '') {
    this.#keys = new SigningKeys(secret, previous);
  }

  issue(link: Link, lifetime = '30m'): Promise<string> {
    const token = new SignJWT({ seal: link.seal }).setIssuer(ISSUER).setAudience(AUDIENCE).setSubject(link.email);
    return this.#keys.sign(token.setIssuedAt().setExpirationTime(lifetime));
  }

  async read(token: string): Promise<Link | undefined> {
    const payload = await this.#keys.verify(token, { issuer: ISSUER, audience: AUDIENCE, requiredClaims: ['sub', 'exp'] });
    return payload && { email: String(payload.sub), seal: String(payload['seal']) };
  }
}
