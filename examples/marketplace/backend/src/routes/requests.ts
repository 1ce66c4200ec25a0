// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';

import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { SignedInServices } from '../app.js';
import { book, cancel } from '../bookings.js';
import { asking } from '../flags.js';
import { announceSlot } from '../notices.js';
import { pay } from '../payments.js';
import { countUse } from '../rate-limit.js';
import { complete, findRequest, listRequests, review, type ServiceRequest } from '../requests.js';
import { ById, Id, Note, Page, Text } from './schemas.js';

const strict = { additionalProperties: false };
const NewRequest = Type.Object({ slotId: Id, note: Note }, strict);
const Method = Type.Object({ method: Text(100) }, strict);
const NewReview = Type.Object({ rating: Type.Integer({ minimum: 1, maximum: 5 }), text: Text(2000) }, strict);
const NewMessage = Type.Object({ body: Text(2000) }, strict);

/** Service requests between a client and an accountant: made, paid, given or cancelled, reviewed, talked about. */
export const requestRoutes: FastifyPluginAsyncTypebox<SignedInServices> = async (app, { config, db, cache, flags, payments, allow }) => {
  const client = allow('CLIENT');
  const accountant = allow('ACCOUNTANT');
  const sides = allow('CLIENT', 'ACCOUNTANT');
  const params = ById;

  app.post('/api/requests', { onRequest: client, schema: { body: NewRequest } }, async ({ person, body, log }, reply) => {
    await countUse(cache, person.email, config.bookingsPerMinute, log);
    // For the log: which button was pressed.
    asking(flags, person.id, reply).variant('booking-button', 'book');
    const { note = '', slotId } = body;
    const { booking } = await book(db, { slotId, note, name: person.name, email: person.email }, undefined);
    void announceSlot(cache, booking, 'BOOKED', log);
    return reply.code(201).send({ request: view(await findRequest(db, person, booking.id)) });
  });

  app.get('/api/requests', { onRequest: allow(), schema: { querystring: Page } }, async ({ person, query: { limit = 50 } }) => ({
    requests: (await listRequests(db, person, limit)).map(view),
  }));

  app.get('/api/requests/:id', { onRequest: allow(), schema: { params } }, async ({ person, params: { id } }) => ({
    request: view(await findRequest(db, person, id)),
  }));

  app.post('/api/requests/:id/cancel', { onRequest: sides, schema: { params } }, async ({ person, params: { id }, log }) => {
    await findRequest(db, person, id);
    void announceSlot(cache, await cancel(db, payments, id), 'OPEN', log);
    return { request: view(await findRequest(db, person, id)) };
  });

  app.post('/api/requests/:id/pay', { onRequest: client, schema: { params, body: Method } }, async ({ person, params: { id }, body }, reply) => {
    const { payment } = await findRequest(db, person, id);
    const flow = asking(flags, person.id, reply).isOn('new-payment-flow') ? 'new' : 'classic';
    await pay(db, payments, payment!.id, body.method, flow);
    return { request: view(await findRequest(db, person, id)) };
  });

  app.post('/api/requests/:id/complete', { onRequest: accountant, schema: { params } }, async ({ person, params: { id } }) => {
    await findRequest(db, person, id);
    await complete(db, payments, id);
    return { request: view(await findRequest(db, person, id)) };
  });

  app.post(
    '/api/requests/:id/review',
    { onRequest: client, schema: { params, body: NewReview } },
    async ({ person, params: { id }, body }, reply) => {
      await findRequest(db, person, id);
      return reply.code(201).send({ review: await review(db, id, body.rating, body.text) });
    },
  );

  app.get('/api/requests/:id/messages', { onRequest: sides, schema: { params } }, async ({ person, params: { id } }) => {
    await findRequest(db, person, id);
    const rows = await db.message.findMany({
      where: { requestId: id },
      select: { id: true, senderEmail: true, body: true, createdAt: true },
      orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
    });
    return { messages: rows.map(({ senderEmail, ...row }) => ({ ...row, mine: senderEmail === person.email })) };
  });

  app.post(
    '/api/requests/:id/messages',
    { onRequest: sides, schema: { params, body: NewMessage } },
    async ({ person, params: { id }, body }, reply) => {
      const { slot } = await findRequest(db, person, id);
      const data = { id: randomUUID(), accountantId: slot.accountant.id, requestId: id, senderEmail: person.email, body: body.body };
      const message = await db.message.create({ data, select: { id: true, body: true, createdAt: true } });
      return reply.code(201).send({ message: { ...message, mine: true } });
    },
  );

  app.get('/api/questions', { onRequest: accountant, schema: { querystring: Page } }, async ({ person, query: { limit = 50 } }) => ({
    questions: await db.message.findMany({
      where: { requestId: null, accountant: { userId: person.id } },
      select: { id: true, senderEmail: true, body: true, createdAt: true },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: limit,
    }),
  }));
};

function view({ slot: { accountant, ...slot }, client, ...request }: ServiceRequest) {
  return { ...request, slot, accountant: { id: accountant.id, name: accountant.user.name }, client: client.user };
}
