// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';

import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { Services } from '../app.js';

/** The longest answer this application gives; a drain window must be longer. */
export const SLOWEST_MILLISECONDS = 30_000;

const Query = Type.Object({ ms: Type.Integer({ minimum: 0, maximum: SLOWEST_MILLISECONDS }) }, { additionalProperties: false });

/**
 * Answers after `ms`. Tests of draining need a request that is surely in flight when the
 * process is told to stop. It is bounded so that nobody can park connections for hours.
 */
export const slowRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { config }) => {
  app.get('/api/slow', { schema: { querystring: Query } }, async (request) => {
    await sleep(request.query.ms);
    return { slept: request.query.ms, version: config.version };
  });
};
