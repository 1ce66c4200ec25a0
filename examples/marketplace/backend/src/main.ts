// SPDX-License-Identifier: Apache-2.0
import { addRoutes, createServer } from './app.js';
import { openCache } from './cache.js';
import { orExit, readConfig } from './config.js';
import { openDatabase } from './db.js';
import { LiveFlags, NoFlags } from './flags.js';
import { Links } from './links.js';
import { openLive } from './live.js';
import { FileMail, NoMail } from './mail.js';
import { listen } from './notices.js';
import { Passwords } from './passwords.js';
import { FakePayments, NoPayments } from './payments.js';
import { Receipts } from './receipt.js';
import { SLOWEST_MILLISECONDS } from './routes/slow.js';

const config = orExit(() => readConfig(process.env));
const app = createServer(config);
const db = openDatabase(config.databaseUrl);
const cache = openCache(config.redisUrl, app.log);
const notices = openCache(config.redisUrl, app.log);
const tell = openLive(app, config);
listen(notices, app.log, tell);
const live = config.unleashUrl
  ? new LiveFlags({ url: config.unleashUrl, token: config.unleashToken, folder: config.flagsFolder }, app.log, () => tell('{"type":"flags"}'))
  : undefined;
const flags = live ?? new NoFlags();
addRoutes(app, {
  config,
  db,
  cache,
  flags,
  receipts: new Receipts(config.jwtSecret, config.jwtSecretPrevious),
  links: new Links(config.jwtSecret, config.jwtSecretPrevious),
  mail: config.mailFile ? new FileMail(config.mailFile) : new NoMail(app.log),
  passwords: new Passwords(),
  payments: config.payments === 'fake' ? new FakePayments() : new NoPayments(),
});
app.addHook('onClose', async () => {
  flags.close();
  cache.disconnect();
  notices.disconnect();
  await db.$disconnect();
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => void stop(signal));
}
await live?.ready();
try {
  await app.listen({ host: '0.0.0.0', port: config.port });
} catch (error) {
  app.log.fatal({ err: error }, `cannot listen on port ${config.port}`);
  process.exit(1);
}
app.log.info({ version: config.version, revision: config.revision }, 'started');

async function stop(signal: string): Promise<void> {
  app.log.info({ signal }, 'stopping');
  const limit = SLOWEST_MILLISECONDS + 5_000;
  setTimeout(() => {
    app.log.error(`not stopped after ${limit} ms, giving up`);
    process.exit(1);
  }, limit).unref();
  await app.close();
  app.log.info('stopped');
  process.exit(0);
}
