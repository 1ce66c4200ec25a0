// SPDX-License-Identifier: Apache-2.0
// Who acts in the tests, and what they find outside the page: the mail, and the passing of time.
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { expect, type Locator, type Page } from '@playwright/test';

export const PASSWORD = 'correct horse battery';

export const newEmail = (name: string): string => `${name}-${randomUUID()}@example.com`;

/** The code in the last letter to an address. */
export function mailedCode(email: string): string {
  const letters = readFileSync(process.env['MAIL_FILE']!, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  return letters.findLast((letter) => letter.to === email).text.split('\n')[1];
}

/** Give an address a password, sign in with it, and open the account on the page. */
export async function signInAs(page: Page, email: string, name = 'Zoe'): Promise<void> {
  const { request } = page.context();
  expect((await request.post('/api/account/link', { data: { email } })).status()).toBe(202);
  const data = { token: mailedCode(email), name, password: PASSWORD };
  expect((await request.post('/api/account/password', { data })).status()).toBe(204);
  expect((await request.post('/api/session', { data: { email, password: PASSWORD } })).status()).toBe(200);
  await page.goto('/');
  await page.getByTestId('show-account').click();
  await expect(page.getByTestId('account')).toBeVisible();
}

/** An accountant of the seed: the address that belongs to a name. */
export const seeded = (name: string): string => `${name.toLowerCase().replaceAll(' ', '.')}@example.com`;

export const cardOf = (page: Page, name: string): Locator =>
  page.getByTestId('accountant').filter({ has: page.getByRole('heading', { name }) });

/** Book the first open hour of an accountant on the page; the slot's id. */
export async function book(page: Page, accountant: string, email: string, name = 'Vera'): Promise<string> {
  const card = cardOf(page, accountant);
  await card.getByTestId('show-slots').click();
  const slot = card.locator('[data-testid=slot][data-status=OPEN]').first();
  const id = (await slot.getAttribute('data-slot-id'))!;
  await slot.click();
  await card.getByTestId('booking-name').fill(name);
  await card.getByTestId('booking-email').fill(email);
  await card.getByTestId('booking-submit').click();
  await expect(card.getByTestId('booking-confirmation')).toContainText('Booked: ');
  return id;
}

/** The hour of a slot has come. */
export function begin(slotId: string): void {
  if (!/^[0-9a-f-]{36}$/.test(slotId)) throw new Error(`'${slotId}' is no slot`);
  const sql = `update "AvailabilitySlot" set "startsAt" = now() - random() * interval '1 hour', "endsAt" = now() + interval '1 hour' where id = '${slotId}'`;
  expect(
    execFileSync('psql', ['-qAtX', '-d', process.env['DATABASE_URL']!, '-c', `${sql} returning id`], { encoding: 'utf8' }).trim(),
  ).toBe(slotId);
}
