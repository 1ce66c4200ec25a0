// SPDX-License-Identifier: Apache-2.0
import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { Services } from '../app.js';
import type { Prisma } from '../generated/prisma/client.js';
import { Problem } from '../problem.js';

const Params = Type.Object({ id: Type.String({ format: 'uuid' }) });

const shown = {
  id: true,
  membershipNumber: true,
  city: true,
  headline: true,
  specialty: true,
  hourlyRateMinor: true,
  currency: true,
  user: { select: { name: true } },
} satisfies Prisma.CharteredAccountantSelect;

export const accountantRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { db }) => {
  app.get('/api/accountants', async () => {
    const rows = await db.charteredAccountant.findMany({ select: shown, orderBy: { user: { name: 'asc' } } });
    return { accountants: rows.map(({ user, ...row }) => ({ ...row, name: user.name })) };
  });

  app.get('/api/accountants/:id/slots', { schema: { params: Params } }, async (request) => {
    const { id } = request.params;
    await mustExist(id);
    const slots = await db.availabilitySlot.findMany({
      where: { accountantId: id, startsAt: { gt: new Date() } },
      select: { id: true, startsAt: true, endsAt: true, status: true },
      orderBy: { startsAt: 'asc' },
    });
    return { slots };
  });

  app.get('/api/accountants/:id/reviews', { schema: { params: Params } }, async (request) => {
    const { id } = request.params;
    await mustExist(id);
    const rows = await db.review.findMany({
      where: { accountantId: id },
      select: { id: true, rating: true, text: true, createdAt: true, client: { select: { user: { select: { name: true } } } } },
      orderBy: [{ createdAt: 'desc' }, { id: 'asc' }],
    });
    return { reviews: rows.map(({ client, ...row }) => ({ ...row, author: client.user.name })) };
  });

  async function mustExist(id: string): Promise<void> {
    if ((await db.charteredAccountant.count({ where: { id } })) === 0) {
      throw new Problem(404, 'accountant_not_found', `No accountant ${id}.`);
    }
  }
};
