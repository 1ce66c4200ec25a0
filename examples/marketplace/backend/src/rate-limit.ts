// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';

import type { FastifyBaseLogger } from 'fastify';
import type { Redis } from 'ioredis';

import { Problem } from './problem.js';

const WINDOW_SECONDS = 60;

/** The counter of one subject in the current window; the subject is hashed to keep addresses out of Redis. */
export function windowKey(subject: string, now: number): string {
  const digest = createHash('sha256').update(subject).digest('hex').slice(0, 32);
  return `marketplace:rate:${digest}:${Math.floor(now / 1000 / WINDOW_SECONDS)}`;
}

/**
 * Count one use by `subject` (fixed windows of a minute, shared by all replicas).
 * When Redis is away the use is allowed: a lost limit is better than a lost booking.
 * @throws Problem 429 over the limit.
 */
export async function countUse(redis: Redis, subject: string, limit: number, log: FastifyBaseLogger): Promise<void> {
  const key = windowKey(subject, Date.now());
  let used: number;
  try {
    const results = await redis.multi().incr(key).expire(key, WINDOW_SECONDS * 2).exec();
    used = Number(results?.[0]?.[1] ?? 0);
  } catch (error) {
    log.warn({ err: error }, 'rate limit not counted');
    return;
  }
  if (used > limit) {
    throw new Problem(429, 'too_many_bookings', `More than ${limit} bookings in a minute; wait a minute and try again.`);
  }
}
