// SPDX-License-Identifier: Apache-2.0
import { SignJWT } from 'jose';

import { SigningKeys } from './keys.js';

const ISSUER = 'marketplace';

/** Signs and checks receipts: whoever holds a booking's receipt may cancel it. */
export class Receipts {
  readonly #keys: SigningKeys;

  constructor(secret: string, previous = '') {
    this.#keys = new SigningKeys(secret, previous);
  }

  issue(bookingId: string): Promise<string> {
    return this.#keys.sign(new SignJWT().setIssuer(ISSUER).setSubject(bookingId).setIssuedAt());
  }

  /** Whether an Authorization header carries the receipt of this booking. */
  async proves(bookingId: string, authorization: string | undefined): Promise<boolean> {
    const token = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1];
    if (token === undefined) return false;
    const payload = await this.#keys.verify(token, { issuer: ISSUER, subject: bookingId });
    // The same secret signs the links to set a password; these name an audience.
    return payload !== undefined && payload.aud === undefined;
  }
}
