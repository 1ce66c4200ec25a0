// SPDX-License-Identifier: Apache-2.0
import type { FastifyBaseLogger } from 'fastify';
import type { Redis } from 'ioredis';

/** An hour was taken or has become free. */
export interface SlotNotice {
  type: 'slot';
  accountantId: string;
  slotId: string;
  status: 'OPEN' | 'BOOKED';
}

const CHANNEL = 'marketplace:live';

/** Tell all processes, of every release that runs: a page may be connected to any of them. A notice that is lost is no harm. */
export async function announce(redis: Redis, notice: SlotNotice, log: FastifyBaseLogger): Promise<void> {
  try {
    await redis.publish(CHANNEL, JSON.stringify(notice));
  } catch (error) {
    log.warn({ err: error }, 'notice not sent');
  }
}

/** Tell of the slot of a booking. Nobody waits for it: the booking is made, whether pages hear of it or not. */
export function announceSlot(
  redis: Redis,
  { slot }: { slot: { id: string; accountant: { id: string } } },
  status: SlotNotice['status'],
  log: FastifyBaseLogger,
): Promise<void> {
  return announce(redis, { type: 'slot', accountantId: slot.accountant.id, slotId: slot.id, status }, log);
}

/** Pass on what is announced. Needs a connection of its own: one that listens can do nothing else. */
export function listen(redis: Redis, log: FastifyBaseLogger, tell: (text: string) => void): void {
  redis.on('message', (_channel, text: string) => tell(text));
  redis.on('ready', () => {
    redis.subscribe(CHANNEL).catch((error: unknown) => log.warn({ err: error }, 'not listening for notices'));
  });
}
