// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@playwright/test';

import { flag, kill, set, TOKEN } from './flags';
import { cardOf } from './people';

// They set the same flags.
test.describe.configure({ mode: 'serial' });
test.afterAll(() => {
  set();
  kill();
});

/** The client asks Unleash every five seconds. */
const heard = { timeout: 12_000 };

test('a flag for nobody shows nothing, and for everybody it shows without a reload', async ({ page }) => {
  set(flag('debug-panel', 0));
  await page.goto('/');
  await expect(page.getByTestId('live')).toHaveAttribute('data-open', 'true');
  await expect(page.getByTestId('debug-panel')).toHaveCount(0);
  set(flag('debug-panel', 100));
  await expect(page.getByTestId('debug-panel')).toBeVisible(heard);
});

test('a killed flag disappears from the open page at once, and is back when it is revived', async ({ page }) => {
  set(flag('debug-panel', 100));
  await page.goto('/');
  await expect(page.getByTestId('debug-panel')).toBeVisible(heard);
  await expect(page.getByTestId('live')).toHaveAttribute('data-open', 'true');
  kill('debug-panel');
  await expect(page.getByTestId('debug-panel')).toHaveCount(0, { timeout: 2_000 });
  await page.reload();
  await expect(page.getByTestId('accountant').first()).toBeVisible();
  await expect(page.getByTestId('debug-panel')).toHaveCount(0);
  kill();
  await expect(page.getByTestId('debug-panel')).toBeVisible();
});

test('the button has the words of its variant, the same ones after a reload', async ({ page }) => {
  const button = async () => {
    await cardOf(page, 'Meera Iyer').getByTestId('show-slots').click();
    await cardOf(page, 'Meera Iyer').locator('[data-testid=slot]:enabled').first().click();
    return page.getByTestId('booking-submit');
  };
  for (const [variant, words] of [
    ['reserve', 'Reserve my hour'],
    ['book', 'Book this hour'],
  ] as const) {
    set(flag('booking-button', 100, { book: variant === 'book' ? 100 : 0, reserve: variant === 'reserve' ? 100 : 0 }));
    await page.goto('/');
    await expect(await button()).toHaveText(words, heard);
    await page.reload();
    await expect(await button()).toHaveAttribute('data-variant', variant);
  }
});

test('the browser gets answers, and no token', async ({ page }) => {
  const [answer] = await Promise.all([page.waitForResponse('**/api/flags'), page.goto('/')]);
  expect(Object.keys(await answer.json()).sort()).toEqual(['bookingButton', 'debugPanel', 'newPaymentFlow']);
  expect(await page.evaluate(() => document.documentElement.outerHTML + JSON.stringify(localStorage) + document.cookie)).not.toContain(TOKEN);
});
