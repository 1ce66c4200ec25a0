// SPDX-License-Identifier: Apache-2.0
// Settings of the Prisma command line; the application does not read this file.
import { PrismaPg } from '@prisma/adapter-pg';
import { defineConfig } from 'prisma/config';

// Three workarounds for Prisma 6. Remove them with the upgrade to Prisma 7.
//
// 1. It looks for two native engines although engine "js" below never runs them, and
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

export default defineConfig({
  schema: 'prisma/schema.prisma',
  experimental: { adapter: true },
  engine: 'js',
  adapter: async () =>
    new PrismaPg({
      connectionString: process.env['DATABASE_URL'],
      connectionTimeoutMillis: 10_000,
      // 3. The pool is never ended; an idle connection must not hold the process.
      allowExitOnIdle: true,
    }),
});
