// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';

import type { Database } from './db.js';
import { Prisma } from './generated/prisma/client.js';
import { movePayment, type PaymentProvider } from './payments.js';
import { Problem } from './problem.js';
import type { Person } from './sessions.js';

/** What both sides of a service request see of it. */
const shown = {
  id: true,
  status: true,
  note: true,
  createdAt: true,
  slot: { select: { id: true, startsAt: true, endsAt: true, accountant: { select: { id: true, user: { select: { name: true } } } } } },
  client: { select: { user: { select: { name: true, email: true } } } },
  payment: { select: { id: true, amountMinor: true, currency: true, status: true } },
} satisfies Prisma.ServiceRequestSelect;

export type ServiceRequest = Prisma.ServiceRequestGetPayload<{ select: typeof shown }>;

/** The rows a person may see. Part of the query, so that what is somebody else's is not there at all. */
export function visibleTo({ id, role }: Pick<Person, 'id' | 'role'>): Prisma.ServiceRequestWhereInput {
  switch (role) {
    case 'CLIENT':
      return { client: { userId: id } };
    case 'ACCOUNTANT':
      return { slot: { accountant: { userId: id } } };
    case 'ADMIN':
      return {};
  }
}

/** @throws Problem 404, also when it is somebody else's. */
export async function findRequest(db: Database, person: Person, id: string): Promise<ServiceRequest> {
  const found = await db.serviceRequest.findFirst({ where: { id, ...visibleTo(person) }, select: shown });
  if (!found) throw new Problem(404, 'request_not_found', `No request ${id}.`);
  return found;
}

export function listRequests(db: Database, person: Person, limit: number): Promise<ServiceRequest[]> {
  return db.serviceRequest.findMany({
    where: visibleTo(person),
    orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
    take: limit,
    select: shown,
  });
}

/**
 * The service was given; what was reserved for it is captured. Twice is the same as once, and captures what the first time could not.
 * @throws Problem 409 before the hour begins, or when it was cancelled.
 */
export async function complete(db: Database, provider: PaymentProvider, id: string): Promise<void> {
  const begun = { slot: { startsAt: { lte: new Date() } } };
  await db.serviceRequest.updateMany({ where: { id, status: 'BOOKED', ...begun }, data: { status: 'COMPLETED' } });
  const request = await db.serviceRequest.findUniqueOrThrow({ where: { id }, include: { payment: true } });
  if (request.status === 'CANCELLED') throw new Problem(409, 'request_cancelled', 'This request was cancelled.');
  if (request.status === 'BOOKED') throw new Problem(409, 'not_begun', 'This hour has not begun.');
  const { payment } = request;
  if (payment?.status === 'AUTHORIZED') {
    await provider.capture(payment.reference!);
    await movePayment(db, payment.id, 'CAPTURED');
  }
}

const UNIQUE_VIOLATION = 'P2002';

/**
 * What a client says of an accountant, once and after a service.
 * @throws Problem 409.
 */
export async function review(db: Database, requestId: string, rating: number, text: string) {
  const request = await db.serviceRequest.findUniqueOrThrow({ where: { id: requestId }, include: { slot: true } });
  if (request.status !== 'COMPLETED') throw new Problem(409, 'not_completed', 'A review can be written once the service is completed.');
  try {
    const data = { id: randomUUID(), accountantId: request.slot.accountantId, clientId: request.clientId, rating, text };
    return await db.review.create({ data, select: { id: true, rating: true, text: true, createdAt: true } });
  } catch (error) {
    if (error instanceof Prisma.PrismaClientKnownRequestError && error.code === UNIQUE_VIOLATION) {
      throw new Problem(409, 'reviewed', 'You have reviewed this accountant already.');
    }
    throw error;
  }
}
