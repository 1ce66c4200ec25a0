// SPDX-License-Identifier: Apache-2.0
import Fastify, { LogController, type FastifyInstance } from 'fastify';
import type { Redis } from 'ioredis';

import type { Config } from './config.js';
import type { Database } from './db.js';
import { sendNotFound, sendProblem } from './problem.js';
import type { Receipts } from './receipt.js';
import { accountantRoutes } from './routes/accountants.js';
import { bookingRoutes } from './routes/bookings.js';
import { messageRoutes } from './routes/messages.js';
import { slowRoutes } from './routes/slow.js';
import { statusRoutes } from './routes/status.js';

/** What the routes work with. */
export interface Services {
  config: Config;
  db: Database;
  cache: Redis;
  receipts: Receipts;
}

/** Asked every few seconds by the platform; their lines would drown the others. */
const PROBES = new Set(['/health', '/ready']);

/** The HTTP server, without routes: logging, errors, limits, and how it ends. */
export function createServer(config: Pick<Config, 'logLevel'>): FastifyInstance {
  const app = Fastify({
    logger: { level: config.logLevel },
    // One line per request, ours, below.
    logController: new LogController({ disableRequestLogging: true }),
    // The reverse proxy must be the one that closes an idle connection (it does after
    // 4 s): if both may, a request can meet a connection that is just being closed.
    keepAliveTimeout: 65_000,
    bodyLimit: 64 * 1024,
    // While closing, a request on an open connection is served, with `connection: close`.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    ajv: { customOptions: { removeAdditional: false } },
  });
  app.server.headersTimeout = 66_000;
  app.setErrorHandler(sendProblem);
  app.setNotFoundHandler(sendNotFound);
  app.addHook('onResponse', async (request, reply) => {
    // The route, not the URL: a query holds email addresses.
    const route = request.routeOptions.url ?? '(none)';
    const level = PROBES.has(route) ? 'debug' : 'info';
    request.log[level]({ method: request.method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime) }, 'request');
  });
  finishInFlight(app);
  return app;
}

export function addRoutes(app: FastifyInstance, services: Services): void {
  for (const routes of [statusRoutes, accountantRoutes, bookingRoutes, messageRoutes, slowRoutes]) {
    void app.register(routes, services);
  }
}

/** On close: answer what is in flight, tell those clients not to come back, then cut what is left. */
function finishInFlight(app: FastifyInstance): void {
  let inFlight = 0;
  let closing = false;
  // A connection that never sent a request is not "idle" to Node and would hold the close.
  const cutWhenDone = () => {
    if (closing && inFlight === 0) setImmediate(() => app.server.closeAllConnections());
  };
  app.server.on('request', (_request, response) => {
    inFlight += 1;
    response.once('close', () => {
      inFlight -= 1;
      cutWhenDone();
    });
  });
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close');
  });
  app.addHook('preClose', async () => {
    closing = true;
    app.log.info({ inFlight }, 'closing');
    cutWhenDone();
  });
}
