// SPDX-License-Identifier: Apache-2.0
import { hostname } from 'node:os';

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { Services } from '../app.js';

const CHECK_MILLISECONDS = 2_000;

/** For the platform: is the process alive, can it serve, what is it. */
export const statusRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { config, db, cache }) => {
  const identity = { name: 'marketplace-backend', version: config.version, revision: config.revision, node: process.version };

  // Says nothing of the database: restarting this process would not mend it.
  app.get('/health', async () => ({ status: 'ok' }));

  app.get('/ready', async (request, reply) => {
    const checks = {
      database: db.$queryRaw`SELECT 1`,
      redis: cache.ping(),
    };
    const failed: string[] = [];
    await Promise.all(
      Object.entries(checks).map(async ([name, check]) => {
        try {
          await within(CHECK_MILLISECONDS, check);
        } catch (error) {
          failed.push(name);
          request.log.warn({ err: error }, `${name} is not ready`);
        }
      }),
    );
    const ready = failed.length === 0;
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', failed: failed.sort() });
  });

  app.get('/version', async () => identity);

  app.get('/api/version', async () => ({ version: config.version, banner: config.banner, hostname: hostname() }));
};

/** The promise's value, or a rejection after `milliseconds`. */
function within<T>(milliseconds: number, promise: PromiseLike<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer in ${milliseconds} ms`)), milliseconds);
    promise.then(resolve, reject).then(() => clearTimeout(timer));
  });
}
