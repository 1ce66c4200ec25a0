// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';

import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { SignedInServices } from '../app.js';
import { announce } from '../notices.js';
import { Problem } from '../problem.js';
import { ById } from './schemas.js';

const HOUR = 3_600_000;
const NewSlot = Type.Object({ startsAt: Type.String({ format: 'date-time' }) }, { additionalProperties: false });

/** The hours an accountant offers, for the accountant. */
export const availabilityRoutes: FastifyPluginAsyncTypebox<SignedInServices> = async (app, { db, cache, allow }) => {
  const onRequest = allow('ACCOUNTANT');

  app.get('/api/availability', { onRequest }, async ({ person }) => {
    const slots = await db.availabilitySlot.findMany({
      where: { accountant: { userId: person.id } },
      select: { id: true, startsAt: true, endsAt: true, status: true },
      orderBy: { startsAt: 'asc' },
    });
    return { slots };
  });

  app.post('/api/availability', { onRequest, schema: { body: NewSlot } }, async (request, reply) => {
    const startsAt = new Date(request.body.startsAt);
    const endsAt = new Date(Number(startsAt) + HOUR);
    if (Number(startsAt) <= Date.now()) throw new Problem(422, 'slot_passed', 'An hour that is offered begins in the future.');
    const slot = await db.$transaction(async (tx) => {
      const { id: accountantId } = await tx.charteredAccountant.findUniqueOrThrow({ where: { userId: request.person.id } });
      // One at a time per accountant, or two hours that overlap would not see each other.
      await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${accountantId}, 0))`;
      const overlapping = { accountantId, startsAt: { lt: endsAt }, endsAt: { gt: startsAt } };
      if (await tx.availabilitySlot.count({ where: overlapping }))
        throw new Problem(409, 'slot_overlaps', 'This overlaps an hour that you offer already.');
      return tx.availabilitySlot.create({ data: { id: randomUUID(), accountantId, startsAt, endsAt } });
    });
    void announce(cache, { type: 'slot', accountantId: slot.accountantId, slotId: slot.id, status: 'OPEN' }, request.log);
    const { accountantId: _, ...shown } = slot;
    return reply.code(201).send({ slot: shown });
  });

  app.delete('/api/availability/:id', { onRequest, schema: { params: ById } }, async ({ params: { id }, person }, reply) => {
    const mine = { id, accountant: { userId: person.id } };
    // A slot that was ever booked is part of somebody's history.
    const { count } = await db.availabilitySlot.deleteMany({ where: { ...mine, status: 'OPEN', requests: { none: {} } } });
    if (count === 0) {
      if ((await db.availabilitySlot.count({ where: mine })) === 0) throw new Problem(404, 'slot_not_found', `No slot ${id}.`);
      throw new Problem(409, 'slot_in_use', 'This hour was booked and stays.');
    }
    return reply.code(204).send();
  });
};
