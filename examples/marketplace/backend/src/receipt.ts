// SPDX-License-Identifier: Apache-2.0
import { SignJWT, jwtVerify } from 'jose';

const ISSUER = 'marketplace';

/** Signs and checks receipts: whoever holds a booking's receipt may cancel it. */
export class Receipts {
  readonly #key: Uint8Array;

  constructor(secret: string) {
    this.#key = new TextEncoder().encode(secret);
  }

  issue(bookingId: string): Promise<string> {
    return new SignJWT().setProtectedHeader({ alg: 'HS256' }).setIssuer(ISSUER).setSubject(bookingId).setIssuedAt().sign(this.#key);
  }

  /** Whether an Authorization header carries the receipt of this booking. */
  async proves(bookingId: string, authorization: string | undefined): Promise<boolean> {
    const token = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1];
    if (token === undefined) return false;
    try {
      const options = { algorithms: ['HS256'], issuer: ISSUER, subject: bookingId };
      const { payload } = await jwtVerify(token, this.#key, options);
      // The same secret signs the links to set a password; these name an audience.
      return payload.aud === undefined;
    } catch {
      return false;
    }
  }
}
