// SPDX-License-Identifier: Apache-2.0
// Example data. Safe to run at any time: everything is an upsert by a fixed id, in one
// transaction, and a slot that was booked stays booked.
import { databaseUrlOrExit } from './config.js';
import { openDatabase } from './db.js';
import type { Prisma } from './generated/prisma/client.js';
import { accountants, CURRENCY, reviewers, reviewTexts, slotStarts, stableId, type AccountantSeed } from './seed-data.js';

const HOUR = 3_600_000;
const REVIEWED_AT = new Date('2026-01-05T09:00:00Z');

const db = openDatabase(databaseUrlOrExit());
try {
  await db.$transaction(seed, { timeout: 60_000 });
  console.log(`seeded ${accountants.length} accountants, ${accountants.length * slotStarts().length} slots`);
} finally {
  await db.$disconnect();
}

async function seed(tx: Prisma.TransactionClient): Promise<void> {
  const clientIds: string[] = [];
  for (const name of reviewers) clientIds.push(await seedReviewer(tx, name));
  for (const [index, accountant] of accountants.entries()) {
    const accountantId = await seedAccountant(tx, accountant, index);
    await seedReviews(tx, accountantId, clientIds, index);
  }
}

async function seedUser(tx: Prisma.TransactionClient, name: string, role: 'CLIENT' | 'ACCOUNTANT'): Promise<string> {
  const email = `${name.toLowerCase().replaceAll(' ', '.')}@example.com`;
  const id = stableId(`user/${email}`);
  await tx.user.upsert({ where: { id }, create: { id, email, name, role }, update: { name } });
  return id;
}

async function seedReviewer(tx: Prisma.TransactionClient, name: string): Promise<string> {
  const userId = await seedUser(tx, name, 'CLIENT');
  const id = stableId(`client/${name}`);
  await tx.client.upsert({ where: { id }, create: { id, userId }, update: {} });
  return id;
}

async function seedAccountant(tx: Prisma.TransactionClient, accountant: AccountantSeed, index: number): Promise<string> {
  const { name, ...profile } = accountant;
  const userId = await seedUser(tx, name, 'ACCOUNTANT');
  const id = stableId(`accountant/${name}`);
  const fields = { ...profile, currency: CURRENCY, membershipNumber: String(100_001 + index * 7_919) };
  await tx.charteredAccountant.upsert({ where: { id }, create: { id, userId, ...fields }, update: fields });
  for (const startsAt of slotStarts()) {
    const slotId = stableId(`slot/${name}/${startsAt.toISOString()}`);
    const slot = { id: slotId, accountantId: id, startsAt, endsAt: new Date(startsAt.getTime() + HOUR) };
    await tx.availabilitySlot.upsert({ where: { id: slotId }, create: slot, update: {} });
  }
  return id;
}

/** Two reviews each, by different clients. */
async function seedReviews(tx: Prisma.TransactionClient, accountantId: string, clientIds: string[], index: number): Promise<void> {
  for (const offset of [0, 1]) {
    const position = (index + offset) % clientIds.length;
    const [clientId, review] = [clientIds[position]!, reviewTexts[position]!];
    const id = stableId(`review/${accountantId}/${clientId}`);
    const createdAt = new Date(REVIEWED_AT.getTime() + (index * 2 + offset) * 24 * HOUR);
    await tx.review.upsert({ where: { id }, create: { id, accountantId, clientId, createdAt, ...review }, update: review });
  }
}
