// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';

import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { Services } from '../app.js';
import { normalEmail } from '../bookings.js';
import { Prisma } from '../generated/prisma/client.js';
import { Problem } from '../problem.js';
import { Email, Id, Text } from './schemas.js';

const NewMessage = Type.Object(
  {
    accountantId: Id,
    senderEmail: Email,
    body: Text(2000),
  },
  { additionalProperties: false },
);

const FOREIGN_KEY_VIOLATION = 'P2003';

export const messageRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { db }) => {
  app.post('/api/messages', { schema: { body: NewMessage } }, async (request, reply) => {
    const { accountantId, senderEmail, body } = request.body;
    try {
      const message = await db.message.create({
        data: { id: randomUUID(), accountantId, senderEmail: normalEmail(senderEmail), body },
        select: { id: true, createdAt: true },
      });
      return reply.code(201).send({ message });
    } catch (error) {
      if (error instanceof Prisma.PrismaClientKnownRequestError && error.code === FOREIGN_KEY_VIOLATION) {
        throw new Problem(404, 'accountant_not_found', `No accountant ${accountantId}.`);
      }
      throw error;
    }
  });
};
