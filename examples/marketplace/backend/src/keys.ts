// SPDX-License-Identifier: Apache-2.0
import { type JWTPayload, type JWTVerifyOptions, type SignJWT, jwtVerify } from 'jose';

/** The key that signs, and one that is believed as well: the one before it, or the next. So a key can be changed and nobody notices. */
export class SigningKeys {
  readonly #signs: Uint8Array;
  readonly #believed: Uint8Array[];

  constructor(secret: string, previous = '') {
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    this.#signs = bytes(secret);
    this.#believed = previous === '' || previous === secret ? [this.#signs] : [this.#signs, bytes(previous)];
  }

  sign(token: SignJWT): Promise<string> {
    return token.setProtectedHeader({ alg: 'HS256' }).sign(this.#signs);
  }

  /** What a token says, if it is good. */
  async verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload | undefined> {
    for (const key of this.#believed) {
      try {
        return (await jwtVerify(token, key, { ...options, algorithms: ['HS256'] })).payload;
      } catch {
        // Perhaps the other one.
      }
    }
    return undefined;
  }
}
