// SPDX-License-Identifier: Apache-2.0
import { addRoutes, createServer } from './app.js';
import { openCache } from './cache.js';
import { ConfigError, EXIT_CONFIG, readConfig, type Config } from './config.js';
import { openDatabase } from './db.js';
import { openLive } from './live.js';
import { listen } from './notices.js';
import { Receipts } from './receipt.js';
import { SLOWEST_MILLISECONDS } from './routes/slow.js';

const config = configOrExit();
const app = createServer(config);
const db = openDatabase(config.databaseUrl);
const cache = openCache(config.redisUrl, app.log);
const notices = openCache(config.redisUrl, app.log);
listen(notices, app.log, openLive(app, config));
addRoutes(app, { config, db, cache, receipts: new Receipts(config.jwtSecret) });
app.addHook('onClose', async () => {
  cache.disconnect();
  notices.disconnect();
  await db.$disconnect();
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => void stop(signal));
}
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

function configOrExit(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(`configuration error: ${error.message}. Set it in the environment of this container.`);
    process.exit(EXIT_CONFIG);
  }
}
