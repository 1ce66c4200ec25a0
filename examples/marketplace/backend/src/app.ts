// SPDX-License-Identifier: Apache-2.0
import Fastify, { LogController, type FastifyInstance } from 'fastify';
import type { Redis } from 'ioredis';

import { Accounts } from './accounts.js';
import type { Config } from './config.js';
import type { Database } from './db.js';
import type { Flags } from './flags.js';
import type { Links } from './links.js';
import type { Mail } from './mail.js';
import type { Passwords } from './passwords.js';
import type { PaymentProvider } from './payments.js';
import { sendNotFound, sendProblem } from './problem.js';
import type { Receipts } from './receipt.js';
import { accountRoutes } from './routes/account.js';
import { accountantRoutes } from './routes/accountants.js';
import { adminRoutes } from './routes/admin.js';
import { availabilityRoutes } from './routes/availability.js';
import { bookingRoutes } from './routes/bookings.js';
import { flagRoutes } from './routes/flags.js';
import { messageRoutes } from './routes/messages.js';
import { requestRoutes } from './routes/requests.js';
import { slowRoutes } from './routes/slow.js';
import { statusRoutes } from './routes/status.js';
import { Sessions } from './sessions.js';
import { allowWith, type Allow } from './who.js';

/** What the routes work with. */
export interface Services {
  config: Config;
  db: Database;
  cache: Redis;
  flags: Flags;
  receipts: Receipts;
  links: Links;
  mail: Mail;
  passwords: Passwords;
  payments: PaymentProvider;
}

/** What the routes of signed-in people work with besides. */
export interface SignedInServices extends Services {
  accounts: Accounts;
  sessions: Sessions;
  allow: Allow;
}

/** On every answer: it is data for our own page, never a page, and nobody keeps it. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

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
    // The proxy in front says who asks, and whether over TLS; what was said before it does not count.
    trustProxy: (_address, hop) => hop === 0,
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
  app.addHook('onSend', async (_request, reply) => void reply.headers(HEADERS));
  finishInFlight(app);
  return app;
}

export function addRoutes(app: FastifyInstance, services: Services): void {
  for (const routes of [statusRoutes, accountantRoutes, bookingRoutes, messageRoutes, slowRoutes]) {
    void app.register(routes, services);
  }
  const sessions = new Sessions(services.db);
  const signedIn = { ...services, sessions, accounts: new Accounts({ ...services, sessions }), allow: allowWith(sessions) };
  for (const routes of [accountRoutes, availabilityRoutes, flagRoutes, requestRoutes, adminRoutes]) {
    void app.register(routes, signedIn);
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
