// SPDX-License-Identifier: Apache-2.0
import type { Database } from './db.js';
import type { PaymentStatus } from './generated/prisma/client.js';
import { Problem } from './problem.js';

/** Which status may follow which. Captured money goes back by a refund only, and what is void stays so. */
const FOLLOWERS: Record<PaymentStatus, readonly PaymentStatus[]> = {
  PENDING: ['AUTHORIZED', 'FAILED', 'VOID'],
  FAILED: ['AUTHORIZED', 'FAILED', 'VOID'],
  AUTHORIZED: ['CAPTURED', 'VOID'],
  CAPTURED: ['REFUNDED'],
  REFUNDED: [],
  VOID: [],
};

const ALL = Object.keys(FOLLOWERS) as PaymentStatus[];

export const mayBecome = (from: PaymentStatus, to: PaymentStatus): boolean => FOLLOWERS[from].includes(to);

/** The statuses from which this one can be reached. */
export const before = (to: PaymentStatus): PaymentStatus[] => ALL.filter((from) => mayBecome(from, to));

/** Over which of the provider's interfaces; the new one is tried with few at first, see flags.ts. */
export type Flow = 'classic' | 'new';

/** What the marketplace asks of a payment provider. Each call may come twice, and is to have one effect. */
export interface PaymentProvider {
  /** Reserve the amount; a reference, or undefined when it is declined. */
  authorize(payment: { id: string; amountMinor: number; currency: string }, method: string, flow: Flow): Promise<string | undefined>;
  capture(reference: string): Promise<void>;
  /** Give up what is reserved. */
  release(reference: string): Promise<void>;
  refund(reference: string): Promise<void>;
}

/** Moves no money. Declines the method "declined", and remembers what it was asked for. */
export class FakePayments implements PaymentProvider {
  readonly asked: string[] = [];

  async authorize(payment: { id: string }, method: string, flow: Flow = 'classic'): Promise<string | undefined> {
    this.asked.push(`authorize ${payment.id}${flow === 'new' ? ' by the new flow' : ''}`);
    return method === 'declined' ? undefined : `fake-${payment.id}`;
  }

  async capture(reference: string): Promise<void> {
    this.asked.push(`capture ${reference}`);
  }

  async release(reference: string): Promise<void> {
    this.asked.push(`release ${reference}`);
  }

  async refund(reference: string): Promise<void> {
    this.asked.push(`refund ${reference}`);
  }
}

/** No provider is connected; nothing pretends otherwise. */
export class NoPayments implements PaymentProvider {
  authorize(): Promise<never> {
    return this.#refuse();
  }

  capture(): Promise<never> {
    return this.#refuse();
  }

  release(): Promise<never> {
    return this.#refuse();
  }

  refund(): Promise<never> {
    return this.#refuse();
  }

  async #refuse(): Promise<never> {
    throw new Problem(501, 'no_payments', 'No payment provider is connected.');
  }
}

/** Change a payment's status. The WHERE clause decides, so of two changes at once one fails. */
export async function movePayment(db: Pick<Database, 'payment'>, id: string, to: PaymentStatus, reference?: string): Promise<void> {
  const data = reference === undefined ? { status: to } : { status: to, reference };
  const { count } = await db.payment.updateMany({ where: { id, status: { in: before(to) } }, data });
  if (count === 0) throw cannotBecome(await findPayment(db, id), to);
}

async function findPayment(db: Pick<Database, 'payment'>, id: string) {
  const found = await db.payment.findUnique({ where: { id } });
  if (!found) throw new Problem(404, 'payment_not_found', `No payment ${id}.`);
  return found;
}

const cannotBecome = ({ status }: { status: PaymentStatus }, to: PaymentStatus): Problem =>
  new Problem(409, 'payment_state', `The payment is ${status} and cannot become ${to}.`);

/**
 * Reserve a payment's amount.
 * @throws Problem 402 (declined), 409 (paid or void).
 */
export async function pay(db: Database, provider: PaymentProvider, id: string, method: string, flow: Flow = 'classic'): Promise<void> {
  const payment = await findPayment(db, id);
  if (!mayBecome(payment.status, 'AUTHORIZED')) throw cannotBecome(payment, 'AUTHORIZED');
  const reference = await provider.authorize(payment, method, flow);
  if (reference === undefined) {
    await movePayment(db, id, 'FAILED');
    throw new Problem(402, 'payment_declined', 'The payment was declined; try another method.');
  }
  try {
    await movePayment(db, id, 'AUTHORIZED', reference);
  } catch (error) {
    // Cancelled meanwhile. A second click has the same reference, which stays.
    const now = await findPayment(db, id);
    if (now.reference !== reference) await provider.release(reference);
    throw error;
  }
}

/** @throws Problem 409 unless it is captured. */
export async function refund(db: Database, provider: PaymentProvider, id: string): Promise<void> {
  const payment = await findPayment(db, id);
  if (!mayBecome(payment.status, 'REFUNDED')) throw cannotBecome(payment, 'REFUNDED');
  await provider.refund(payment.reference!);
  await movePayment(db, id, 'REFUNDED');
}
