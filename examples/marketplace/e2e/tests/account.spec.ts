// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';

import { expect, test } from '@playwright/test';

import { begin, book, cardOf, mailedCode, newEmail, PASSWORD, seeded, signInAs } from './people';

test('somebody registers with a mailed code, signs out and in again', async ({ page }) => {
  const email = newEmail('new');
  await page.goto('/');
  await page.getByTestId('show-account').click();
  await page.getByTestId('sign-in-email').fill(email);
  await page.getByTestId('code-ask').click();
  await expect(page.getByTestId('choose')).toBeVisible();
  await page.getByTestId('choose-code').fill(mailedCode(email));
  await page.getByTestId('choose-name').fill('Nadia New');
  await page.getByTestId('choose-password').fill(PASSWORD);
  await page.getByTestId('choose-submit').click();
  await expect(page.getByTestId('account-name')).toHaveText('Nadia New');
  await page.getByTestId('sign-out').click();
  await page.getByTestId('sign-in-email').fill(email);
  await page.getByTestId('sign-in-password').fill(PASSWORD);
  await page.getByTestId('sign-in-submit').click();
  await expect(page.getByTestId('account')).toHaveAttribute('data-role', 'CLIENT');
});

test('a wrong password and a weak one are said to be so', async ({ page }) => {
  const email = newEmail('wrong');
  await page.goto('/');
  await page.getByTestId('show-account').click();
  await page.getByTestId('sign-in-email').fill(email);
  await page.getByTestId('sign-in-password').fill(PASSWORD);
  await page.getByTestId('sign-in-submit').click();
  await expect(page.getByTestId('account-error')).toHaveText('The email or the password is wrong.');
  await page.getByTestId('code-ask').click();
  await expect(page.getByTestId('choose')).toBeVisible();
  await page.getByTestId('choose-code').fill(mailedCode(email));
  await page.getByTestId('choose-name').fill('Wanda');
  await page.getByTestId('choose-password').fill('short');
  await page.getByTestId('choose-submit').click();
  await expect(page.getByTestId('account-error')).toContainText('12 characters or more');
});

test('a service from the booking to the review', async ({ page, browser }) => {
  const email = newEmail('client');
  await page.goto('/');
  const slotId = await book(page, 'Meera Iyer', email, 'Clara Client');
  await signInAs(page, email);
  const mine = page.locator(`[data-testid=request][data-slot-id="${slotId}"]`);
  await mine.getByTestId('request-pay').click();
  await expect(mine).toHaveAttribute('data-payment', 'AUTHORIZED');

  begin(slotId);
  const office = await browser.newPage();
  await signInAs(office, seeded('Meera Iyer'));
  const theirs = office.locator(`[data-testid=request][data-slot-id="${slotId}"]`);
  await expect(theirs).toContainText('Clara Client');
  await theirs.getByTestId('request-complete').click();
  await expect(theirs).toHaveAttribute('data-payment', 'CAPTURED');
  await office.close();

  await page.reload();
  await page.getByTestId('show-account').click();
  // A script in it stays text.
  const words = `<img src=x onerror="document.title='taken over'"> kept to the hour`;
  await mine.getByTestId('review-text').fill(words);
  await mine.getByTestId('review-send').click();
  const card = cardOf(page, 'Meera Iyer');
  await card.getByTestId('show-details').click();
  await expect(card.getByTestId('review').filter({ hasText: words })).toContainText('Clara Client');
  await expect(page).toHaveTitle(/Marketplace/);
});

test('the two sides of a service talk, and nobody else listens', async ({ page, browser }) => {
  const email = newEmail('talks');
  await page.goto('/');
  const slotId = await book(page, 'Rohan Deshpande', email);
  await signInAs(page, email);
  const mine = page.locator(`[data-testid=request][data-slot-id="${slotId}"]`);
  await mine.getByTestId('request-talk').click();
  await mine.getByTestId('talk-body').fill('Shall I bring the ledger?');
  await mine.getByTestId('talk-send').click();
  await expect(mine.getByTestId('talk-message')).toHaveText('You: Shall I bring the ledger?');

  const office = await browser.newPage();
  await signInAs(office, seeded('Rohan Deshpande'));
  const theirs = office.locator(`[data-testid=request][data-slot-id="${slotId}"]`);
  await theirs.getByTestId('request-talk').click();
  await expect(theirs.getByTestId('talk-message')).toHaveText('Shall I bring the ledger?');
  await office.close();

  const other = await browser.newPage();
  await signInAs(other, seeded('Tara Krishnan'));
  await expect(other.getByTestId('requests')).toBeAttached();
  await expect(other.locator(`[data-slot-id="${slotId}"]`)).toHaveCount(0);
  await other.close();
});

test('an accountant offers an hour, a visitor sees it, and it is withdrawn', async ({ page, browser }) => {
  await signInAs(page, seeded('Ishita Banerjee'));
  // Far away, and another minute in each run on one database.
  const begins = new Date(Date.UTC(2040, 0, 1) + (Date.now() % 1e9) * 60_000).toISOString().slice(0, 16);
  const before = await page.getByTestId('hour').count();
  await page.getByTestId('hour-begins').fill(begins);
  await page.getByTestId('hour-offer').click();
  await expect(page.getByTestId('hour')).toHaveCount(before + 1);
  const hour = page.getByTestId('hour').last();
  const slotId = (await hour.getAttribute('data-slot-id'))!;

  const visitor = await browser.newPage();
  await visitor.goto('/');
  const card = cardOf(visitor, 'Ishita Banerjee');
  await card.getByTestId('show-slots').click();
  await expect(card.locator(`[data-slot-id="${slotId}"]`)).toHaveAttribute('data-status', 'OPEN');
  await visitor.close();

  await hour.getByTestId('hour-withdraw').click();
  await expect(page.getByTestId('hour')).toHaveCount(before);
});

test('an administrator disables an account, which is signed out at once', async ({ page, browser }) => {
  const email = newEmail('admin');
  execFileSync('npm', ['run', '--silent', 'invite', '--', email, 'ADMIN', 'Ada Admin'], {
    cwd: '../backend',
    env: { ...process.env, JWT_SECRET: 'only for these tests' },
  });
  const victim = newEmail('victim');
  const theirs = await browser.newPage();
  await signInAs(theirs, victim, 'Viktor');

  await signInAs(page, email);
  await expect(page.getByTestId('account')).toHaveAttribute('data-role', 'ADMIN');
  const row = page.locator(`[data-testid=user][data-email="${victim}"]`);
  await row.getByTestId('user-toggle').click();
  await expect(row).toHaveAttribute('data-disabled', 'true');

  await theirs.reload();
  await theirs.getByTestId('show-account').click();
  await expect(theirs.getByTestId('sign-in')).toBeVisible();
  await theirs.close();
});

test('the session is out of reach of scripts', async ({ page }) => {
  await signInAs(page, newEmail('script'));
  expect(await page.evaluate(() => document.cookie)).toBe('');
  const session = (await page.context().cookies()).find((cookie) => cookie.name === 'session');
  expect(session).toMatchObject({ httpOnly: true, sameSite: 'Strict', path: '/api' });
});
