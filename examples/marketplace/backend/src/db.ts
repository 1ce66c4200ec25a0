// SPDX-License-Identifier: Apache-2.0
import { PrismaPg } from '@prisma/adapter-pg';

import { PrismaClient } from './generated/prisma/client.js';

export type Database = PrismaClient;

/** A client with a small pool. It connects on first use, so the process starts without the database. */
export function openDatabase(url: string): Database {
  const adapter = new PrismaPg({
    connectionString: url,
    max: 10,
    connectionTimeoutMillis: 3_000,
    keepAlive: true,
  });
  return new PrismaClient({ adapter });
}
