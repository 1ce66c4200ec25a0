// SPDX-License-Identifier: Apache-2.0
import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { SignedInServices } from '../app.js';
import { normalEmail } from '../bookings.js';
import { countAttempt } from '../rate-limit.js';
import { cookieOf, tokenOf } from '../sessions.js';
import { fromOurPage } from '../who.js';
import { Email, Text } from './schemas.js';

/** The rules are in src/passwords.ts; this only bounds what is read. */
const Password = Type.String({ minLength: 1, maxLength: 1000 });
const strict = { additionalProperties: false };

const LinkFor = Type.Object({ email: Email }, strict);
const NewPassword = Type.Object({ token: Type.String({ maxLength: 2000 }), name: Text(100), password: Password }, strict);
const SignIn = Type.Object({ email: Email, password: Password }, strict);
const Change = Type.Object({ current: Password, next: Password }, strict);

/** Registering, signing in and out, and one's own account. */
export const accountRoutes: FastifyPluginAsyncTypebox<SignedInServices> = async (app, { config, cache, accounts, sessions, allow }) => {
  app.post('/api/account/link', { schema: { body: LinkFor } }, async (request, reply) => {
    const { email } = request.body;
    await countBoth('link', email, request);
    await accounts.sendLink(email);
    return reply.code(202).send({ status: 'sent' });
  });

  app.post('/api/account/password', { schema: { body: NewPassword } }, async (request, reply) => {
    const { token, name, password } = request.body;
    await accounts.setPassword(token, name.trim(), password);
    return reply.code(204).send();
  });

  app.post('/api/session', { onRequest: async (request) => fromOurPage(request), schema: { body: SignIn } }, async (request, reply) => {
    const { email, password } = request.body;
    await countBoth('sign-in', email, request);
    const token = await accounts.signIn(email, password);
    // A new token each time: one that somebody planted in the browser leads nowhere.
    const earlier = tokenOf(request.headers.cookie);
    if (earlier) await sessions.end(earlier);
    const person = await sessions.find(token);
    return reply.header('set-cookie', cookieOf(token, request.protocol === 'https')).send({ person });
  });

  app.get('/api/session', { onRequest: allow() }, async ({ person }) => ({ person }));

  app.delete('/api/session', { onRequest: allow() }, async (request, reply) => {
    await sessions.end(tokenOf(request.headers.cookie)!);
    return reply
      .header('set-cookie', cookieOf(undefined, request.protocol === 'https'))
      .code(204)
      .send();
  });

  app.put('/api/account/password', { onRequest: allow(), schema: { body: Change } }, async (request, reply) => {
    const { person, body } = request;
    await countBoth('change', person.email, request);
    await accounts.changePassword(person.id, body.current, body.next);
    const token = await sessions.begin(person.id);
    return reply
      .header('set-cookie', cookieOf(token, request.protocol === 'https'))
      .code(204)
      .send();
  });

  /** Attempts at one account, from wherever; and from one address, at whichever account. */
  async function countBoth(what: string, email: string, { ip, log }: { ip: string; log: typeof app.log }): Promise<void> {
    await countAttempt(cache, `${what} from ${ip}`, config.signInsPerMinute * 10, log);
    await countAttempt(cache, `${what} ${normalEmail(email)}`, config.signInsPerMinute, log);
  }
};
