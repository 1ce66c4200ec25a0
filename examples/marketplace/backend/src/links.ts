// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';

import { SignJWT, jwtVerify } from 'jose';

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
  readonly #key: Uint8Array;

  constructor(secret: string) {
    this.#key = new TextEncoder().encode(secret);
  }

  issue(link: Link, lifetime = '30m'): Promise<string> {
    return new SignJWT({ seal: link.seal })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(link.email)
      .setIssuedAt()
      .setExpirationTime(lifetime)
      .sign(this.#key);
  }

  async read(token: string): Promise<Link | undefined> {
    try {
      const options = { algorithms: ['HS256'], issuer: ISSUER, audience: AUDIENCE, requiredClaims: ['sub', 'exp'] };
      const { payload } = await jwtVerify(token, this.#key, options);
      return { email: String(payload.sub), seal: String(payload['seal']) };
    } catch {
      return undefined;
    }
  }
}
