// SPDX-License-Identifier: Apache-2.0
import { createHash, randomUUID } from 'node:crypto';

import type { Database } from './db.js';
import type { Prisma } from './generated/prisma/client.js';
import { before, type PaymentProvider } from './payments.js';
import { Problem } from './problem.js';

/** What a client asks for. */
export interface Order {
  slotId: string;
  name: string;
  email: string;
  note: string;
}

/** What is read of a booking; nothing here tells who the client is. */
const shown = {
  id: true,
  status: true,
  createdAt: true,
  slot: {
    select: { id: true, startsAt: true, endsAt: true, accountant: { select: { id: true, user: { select: { name: true } } } } },
  },
  payment: { select: { amountMinor: true, currency: true, status: true } },
} satisfies Prisma.ServiceRequestSelect;

export type Booking = Prisma.ServiceRequestGetPayload<{ select: typeof shown }>;

export const normalEmail = (email: string): string => email.trim().toLowerCase();

/** A stable hash of an order, to tell a retry from another order that reuses the key. */
export function orderHash(order: Order): string {
  const fields = [order.slotId, order.name, normalEmail(order.email), order.note];
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex');
}

/**
 * Book a slot, exactly once: slot, booking and payment change in one transaction.
 * With an idempotency key, the same order again gives the same booking (`replayed`).
 * @throws Problem 404 (no such slot), 409 (taken), 422 (key was used for another order).
 */
export function book(db: Database, order: Order, key: string | undefined): Promise<{ booking: Booking; replayed: boolean }> {
  const requestHash = orderHash(order);
  return db.$transaction(async (tx) => {
    const email = normalEmail(order.email);
    // One booking at a time per client: two copies of a request cannot both miss the key.
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${email}, 0))`;
    const clientId = await findOrCreateClient(tx, order.name, email);

    if (key !== undefined) {
      const earlier = await tx.serviceRequest.findUnique({
        where: { clientId_idempotencyKey: { clientId, idempotencyKey: key } },
        select: { ...shown, requestHash: true },
      });
      if (earlier) {
        const { requestHash: earlierHash, ...booking } = earlier;
        if (earlierHash !== requestHash) {
          throw new Problem(422, 'idempotency_key_reused', 'This Idempotency-Key was used for another order; use a new one.');
        }
        return { booking, replayed: true };
      }
    }

    const slot = await claimSlot(tx, order.slotId);
    const booking = await tx.serviceRequest.create({
      data: {
        id: randomUUID(),
        slotId: slot.id,
        clientId,
        note: order.note,
        ...(key === undefined ? {} : { idempotencyKey: key, requestHash }),
        payment: { create: { id: randomUUID(), amountMinor: slot.accountant.hourlyRateMinor, currency: slot.accountant.currency } },
      },
      select: shown,
    });
    return { booking, replayed: false };
  });
}

/**
 * Cancel a booking and free its slot; cancelling twice is the same as once.
 * @throws Problem 404, 409 (the service was given).
 */
export async function cancel(db: Database, provider: PaymentProvider, id: string): Promise<Booking> {
  const { booking, held } = await cancelRows(db, id);
  // After the transaction: a reservation that outlives it runs out, one that is given up too early is lost.
  if (held) await provider.release(held);
  return booking;
}

function cancelRows(db: Database, id: string): Promise<{ booking: Booking; held: string | null }> {
  return db.$transaction(async (tx) => {
    const { count } = await tx.serviceRequest.updateMany({ where: { id, status: 'BOOKED' }, data: { status: 'CANCELLED' } });
    if (count === 1) {
      await tx.availabilitySlot.updateMany({ where: { requests: { some: { id } } }, data: { status: 'OPEN' } });
      await tx.payment.updateMany({ where: { requestId: id, status: { in: before('VOID') } }, data: { status: 'VOID' } });
    }
    const payment = { select: { ...shown.payment.select, reference: true } };
    const found = await tx.serviceRequest.findUnique({ where: { id }, select: { ...shown, payment } });
    if (!found) throw new Problem(404, 'booking_not_found', `No booking ${id}.`);
    if (found.status === 'COMPLETED') throw new Problem(409, 'booking_completed', 'The service was given; there is nothing to cancel.');
    const { reference = null, ...paid } = found.payment ?? {};
    return { booking: { ...found, payment: found.payment && (paid as Booking['payment']) }, held: reference };
  });
}

/** Bookings, newest first; of one client when an email is given. */
export function listBookings(db: Database, email: string | undefined, limit: number): Promise<Booking[]> {
  return db.serviceRequest.findMany({
    where: email === undefined ? {} : { client: { user: { email: normalEmail(email) } } },
    orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
    take: limit,
    select: shown,
  });
}

/** Take the slot if it is still open. The WHERE clause decides: of two clients one sees a changed row. */
async function claimSlot(tx: Prisma.TransactionClient, id: string) {
  const { count } = await tx.availabilitySlot.updateMany({
    where: { id, status: 'OPEN', startsAt: { gt: new Date() } },
    data: { status: 'BOOKED' },
  });
  const slot = await tx.availabilitySlot.findUnique({
    where: { id },
    select: { id: true, accountant: { select: { hourlyRateMinor: true, currency: true } } },
  });
  if (!slot) throw new Problem(404, 'slot_not_found', `No slot ${id}.`);
  if (count === 0) throw new Problem(409, 'slot_taken', 'This slot is no longer available; choose another one.');
  return slot;
}

async function findOrCreateClient(tx: Prisma.TransactionClient, name: string, email: string): Promise<string> {
  // The name on file stays: an email in a form is no proof of being that person.
  const user = await tx.user.upsert({
    where: { email },
    create: { id: randomUUID(), email, name, role: 'CLIENT' },
    update: {},
    select: { id: true },
  });
  const client = await tx.client.upsert({
    where: { userId: user.id },
    create: { id: randomUUID(), userId: user.id },
    update: {},
    select: { id: true },
  });
  return client.id;
}
