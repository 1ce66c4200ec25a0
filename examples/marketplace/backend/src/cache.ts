// SPDX-License-Identifier: Apache-2.0
import type { FastifyBaseLogger } from 'fastify';
import { Redis } from 'ioredis';

/** A Redis client that fails fast: a request never waits for a cache that is away. */
export function openCache(url: string, log: FastifyBaseLogger): Redis {
  const redis = new Redis(url, {
    connectTimeout: 2_000,
    commandTimeout: 1_000,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    retryStrategy: (attempt) => Math.min(attempt * 200, 2_000),
  });
  // Without a listener ioredis prints every retry; one line per outage is enough.
  let reported = false;
  redis.on('error', (error: Error) => {
    if (!reported) log.warn({ err: error }, 'redis is not reachable');
    reported = true;
  });
  redis.on('ready', () => {
    if (reported) log.info('redis is back');
    reported = false;
  });
  return redis;
}
