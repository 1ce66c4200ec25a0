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

/** Uses by `subject` in this window, this one included: a fixed window of a minute, shared by all replicas. */
async function count(redis: Redis, subject: string): Promise<number> {
  const key = windowKey(subject, Date.now());
  const results = await redis.multi().incr(key).expire(key, WINDOW_SECONDS * 2).exec();
  const [error, used] = results?.[0] ?? [];
  if (error) throw error;
  return Number(used);
}

/**
 * Count one booking by `subject`. When Redis is away the use is allowed: a lost limit is better than a lost booking.
 * @throws Problem 429 over the limit.
 */
export async function countUse(redis: Redis, subject: string, limit: number, log: FastifyBaseLogger): Promise<void> {
  let used: number;
  try {
    used = await count(redis, subject);
  } catch (error) {
    log.warn({ err: error }, 'rate limit not counted');
    return;
  }
  if (used > limit) {
    throw new Problem(429, 'too_many_bookings', `More than ${limit} bookings in a minute; wait a minute and try again.`);
  }
}

/**
 * Count one attempt to guess something. When Redis is away there is none: nobody guesses uncounted.
 * @throws Problem 429 over the limit, 503 without Redis.
 */
export async function countAttempt(redis: Redis, subject: string, limit: number, log: FastifyBaseLogger): Promise<void> {
  let used: number;
  try {
    used = await count(redis, subject);
  } catch (error) {
    log.warn({ err: error }, 'attempt not counted, and refused');
    throw new Problem(503, 'try_later', 'Signing in is not possible now; try again in a minute.');
  }
  if (used > limit) throw new Problem(429, 'too_many_attempts', 'Too many attempts; wait a minute and try again.');
}
