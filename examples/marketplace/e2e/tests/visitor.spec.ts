// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@playwright/test';

import { book, cardOf, newEmail } from './people';

test('a visitor sees who can be booked, and what runs', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByTestId('accountant-name').filter({ hasText: 'Aarav Mehta' })).toBeVisible();
  expect(await page.getByTestId('accountant').count()).toBeGreaterThanOrEqual(8);
  await expect(page.getByTestId('version')).toHaveAttribute('data-api-version', 'v0.0.0-e2e');
});

test('a visitor books an hour, finds it, and cancels it', async ({ page }) => {
  await page.goto('/');
  const slotId = await book(page, 'Aarav Mehta', newEmail('books'));
  const slot = cardOf(page, 'Aarav Mehta').locator(`[data-slot-id="${slotId}"]`);
  await expect(slot).toBeDisabled();
  const booking = page.locator(`[data-testid=booking][data-slot-id="${slotId}"]`);
  await expect(booking).toHaveAttribute('data-status', 'BOOKED');
  await booking.getByTestId('booking-cancel').click();
  await expect(booking).toHaveAttribute('data-status', 'CANCELLED');
  await expect(slot).toHaveAttribute('data-status', 'OPEN');
});

test('an hour that somebody else takes is taken on every open page', async ({ page, browser }) => {
  await page.goto('/');
  const card = cardOf(page, 'Devika Nair');
  await card.getByTestId('show-slots').click();
  await expect(page.getByTestId('live')).toHaveAttribute('data-open', 'true');
  const other = await browser.newPage();
  await other.goto('/');
  const slotId = await book(other, 'Devika Nair', newEmail('other'));
  await expect(card.locator(`[data-slot-id="${slotId}"]`)).toHaveAttribute('data-status', 'BOOKED');
  await other.close();
});

test('a visitor reads reviews and asks a question', async ({ page }) => {
  await page.goto('/');
  const card = cardOf(page, 'Farhan Qureshi');
  await card.getByTestId('show-details').click();
  await expect(card.getByTestId('review').first()).toBeVisible();
  await card.getByTestId('message-email').fill(newEmail('asks'));
  await card.getByTestId('message-body').fill('Do you answer notices?');
  await card.getByTestId('message-send').click();
  await expect(card.getByTestId('message-result')).toHaveText('Sent.');
});
