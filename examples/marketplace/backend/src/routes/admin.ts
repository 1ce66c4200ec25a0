// SPDX-License-Identifier: Apache-2.0
import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { SignedInServices } from '../app.js';
import { refund } from '../payments.js';
import { Problem } from '../problem.js';
import { CURRENCY } from '../seed-data.js';
import { ById, Email, Page, Text } from './schemas.js';

const NewAccountant = Type.Object(
  {
    email: Email,
    name: Text(100),
    membershipNumber: Type.String({ pattern: '^[0-9]{6}$' }),
    city: Text(100),
    headline: Text(200),
    hourlyRateMinor: Type.Integer({ minimum: 0, maximum: 100_000_000 }),
  },
  { additionalProperties: false },
);

/** What only an administrator does. */
export const adminRoutes: FastifyPluginAsyncTypebox<SignedInServices> = async (app, { db, accounts, payments, allow }) => {
  const onRequest = allow('ADMIN');
  const params = ById;

  app.get('/api/admin/users', { onRequest, schema: { querystring: Page } }, async ({ query: { limit = 50 } }) => ({
    users: await db.user.findMany({
      select: { id: true, email: true, name: true, role: true, disabled: true, createdAt: true },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: limit,
    }),
  }));

  app.post('/api/admin/users/:id/disable', { onRequest, schema: { params } }, async ({ person, params: { id } }, reply) => {
    if (id === person.id) throw new Problem(409, 'own_account', 'An administrator does not lock the own account.');
    await accounts.setDisabled(id, true);
    return reply.code(204).send();
  });

  app.post('/api/admin/users/:id/enable', { onRequest, schema: { params } }, async ({ params: { id } }, reply) => {
    await accounts.setDisabled(id, false);
    return reply.code(204).send();
  });

  app.post('/api/admin/accountants', { onRequest, schema: { body: NewAccountant } }, async ({ body }, reply) => {
    const { email, name, ...profile } = body;
    const id = await accounts.addAccountant(email, name.trim(), { ...profile, currency: CURRENCY });
    return reply.code(201).send({ accountant: { id } });
  });

  app.post('/api/admin/payments/:id/refund', { onRequest, schema: { params } }, async ({ params: { id } }) => {
    await refund(db, payments, id);
    return { payment: { id, status: 'REFUNDED' } };
  });
};
