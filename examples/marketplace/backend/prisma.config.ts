// SPDX-License-Identifier: Apache-2.0
// Settings of the Prisma command line; the application does not read this file.
// Most of it works around Prisma 6 without native engines (adapter-pg 7.10, prisma 6.19).
// With the upgrade to Prisma 7, look at each of the four again; the first goes for sure.
import { PrismaPg } from '@prisma/adapter-pg';
import { defineConfig } from 'prisma/config';

// 1. Prisma looks for two native engines although engine "js" below never runs them, and
//    downloads them when they are missing. Any executable satisfies the look-up, so a
//    build needs no network beyond npm and the image carries no native engine.
process.env['PRISMA_QUERY_ENGINE_LIBRARY'] ??= process.execPath;
process.env['PRISMA_SCHEMA_ENGINE_BINARY'] ??= process.execPath;

// 2. `migrate deploy` guards its advisory lock with a ten-second timer that it never
//    clears, and would sit there until it fires. Unreferenced, the timer still does its
//    work while a connection is open, and no longer keeps a finished process alive.
const { setTimeout: originalSetTimeout } = globalThis;
globalThis.setTimeout = Object.assign(
  (...args: Parameters<typeof originalSetTimeout>) => originalSetTimeout(...args).unref(),
  originalSetTimeout,
);

// 3. The adapter cuts a migration at every ";", be it in a comment or a function body, and
//    runs the pieces one by one: a failure leaves half a migration behind. Sent whole, as the
//    native engine does, Postgres parses it and takes it as one transaction.
class WholeScripts extends PrismaPg {
  override async connect() {
    const connection = await super.connect();
    connection.executeScript = async (script) => {
      try {
        await connection.underlyingDriver().query(script);
      } catch (error) {
        connection['onError'](error);
      }
    };
    return connection;
  }
}

export default defineConfig({
  schema: 'prisma/schema.prisma',
  experimental: { adapter: true },
  engine: 'js',
  adapter: async () =>
    new WholeScripts({
      connectionString: process.env['DATABASE_URL'],
      connectionTimeoutMillis: 10_000,
      // 4. The pool is never ended; an idle connection must not hold the process.
      allowExitOnIdle: true,
    }),
});
