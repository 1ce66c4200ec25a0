// SPDX-License-Identifier: Apache-2.0
import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { Services } from '../app.js';
import { book, cancel, listBookings, normalEmail, type Booking } from '../bookings.js';
import { announceSlot } from '../notices.js';
import { Problem } from '../problem.js';
import { countUse } from '../rate-limit.js';
import { ById, Email, Id, Limit, Note, Text } from './schemas.js';


const NewBooking = Type.Object(
  {
    slotId: Id,
    name: Text(100),
    email: Email,
    note: Note,
  },
  { additionalProperties: false },
);

/** Visible ASCII, as in the Idempotency-Key draft of the IETF HTTP API working group. */
const Headers = Type.Object({ 'idempotency-key': Type.Optional(Type.String({ pattern: '^[!-~]{1,128}$' })) });

const Query = Type.Object(
  { client: Type.Optional(Email), limit: Limit },
  { additionalProperties: false },
);

export const bookingRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { config, db, cache, receipts, payments }) => {
  app.post('/api/bookings', { schema: { body: NewBooking, headers: Headers } }, async (request, reply) => {
    const { note = '', ...body } = request.body;
    await countUse(cache, normalEmail(body.email), config.bookingsPerMinute, request.log);
    const { booking, replayed } = await book(db, { ...body, note }, request.headers['idempotency-key']);
    if (replayed) reply.header('idempotent-replayed', 'true');
    else void announceSlot(cache, booking, 'BOOKED', request.log);
    return reply.code(201).send({ booking: view(booking), receipt: await receipts.issue(booking.id) });
  });

  app.get('/api/bookings', { schema: { querystring: Query } }, async (request) => {
    const { client, limit = 50 } = request.query;
    const bookings = await listBookings(db, client, limit);
    return { bookings: bookings.map(view) };
  });

  app.post('/api/bookings/:id/cancel', { schema: { params: ById } }, async (request) => {
    const { id } = request.params;
    if (!(await receipts.proves(id, request.headers.authorization))) {
      throw new Problem(403, 'receipt_required', "Send the booking's receipt as 'Authorization: Bearer <receipt>'.");
    }
    const booking = await cancel(db, payments, id);
    void announceSlot(cache, booking, 'OPEN', request.log);
    return { booking: view(booking) };
  });
};

function view({ slot: { accountant, ...slot }, ...booking }: Booking) {
  return { ...booking, slot, accountant: { id: accountant.id, name: accountant.user.name } };
}
