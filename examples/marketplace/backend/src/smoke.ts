// SPDX-License-Identifier: Apache-2.0
// What this version needs of the database, tried once: it reads as the pages do, and writes a message that it takes
// back. A rehearsal runs it on a copy that a newer version's migrations have changed.
import { randomUUID } from 'node:crypto';

import { databaseUrlOrExit } from './config.js';
import { openDatabase } from './db.js';

class TakenBack extends Error {}

const db = openDatabase(databaseUrlOrExit());
try {
  const accountants = await db.charteredAccountant.findMany({ take: 5, include: { user: true } });
  const slots = await db.availabilitySlot.findMany({ take: 5, include: { accountant: true } });
  await db.review.findMany({ take: 5 });
  await db.serviceRequest.findMany({ take: 5, include: { payment: true } });
  if (accountants[0]) await writeAndTakeBack(accountants[0].id);
  console.log(`works: ${accountants.length} accountants, ${slots.length} slots read`);
} finally {
  await db.$disconnect();
}

async function writeAndTakeBack(accountantId: string): Promise<void> {
  const written = db.$transaction(async (tx) => {
    await tx.message.create({ data: { id: randomUUID(), accountantId, senderEmail: 'smoke@example.com', body: 'Is it there?' } });
    throw new TakenBack();
  });
  await written.catch((error: unknown) => {
    if (!(error instanceof TakenBack)) throw error;
  });
}
