// SPDX-License-Identifier: Apache-2.0
// The built page and the built API, on ports of their own, with the database and the cache that the environment names.
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { defineConfig } from '@playwright/test';

import { FEATURES, FOLDER, set, TOKEN } from './tests/flags';

const API = 4100;
const PAGE = 4173;
const UNLEASH = 4242;
const url = `http://127.0.0.1:${PAGE}`;
// Workers load this file again and are to find the same one.
process.env['MAIL_FILE'] ??= join(tmpdir(), `marketplace-mail-${process.pid}`);

// Nothing is on before a test says so; a worker loads this file in the middle of them.
if (!process.env['TEST_WORKER_INDEX']) set();

export default defineConfig({
  testDir: 'tests',
  outputDir: 'results',
  workers: 2,
  forbidOnly: Boolean(process.env['CI']),
  reporter: process.env['CI'] ? [['list'], ['html', { open: 'never', outputFolder: 'report' }]] : 'list',
  use: {
    baseURL: url,
    testIdAttribute: 'data-testid',
    screenshot: 'only-on-failure',
    trace: 'retain-on-failure',
    // A browser of the system. Where it is elsewhere, or Playwright has fetched its own, say so.
    launchOptions: process.env['PLAYWRIGHT_OWN'] ? {} : { executablePath: process.env['CHROMIUM_PATH'] || '/usr/bin/chromium' },
  },
  webServer: [
    {
      command: `exec node tests/unleash.mjs ${UNLEASH} ${FEATURES} ${TOKEN}`,
      url: `http://127.0.0.1:${UNLEASH}/health`,
    },
    {
      command: 'npm run --silent migrate && npm run --silent seed && exec node dist/main.js',
      cwd: '../backend',
      url: `http://127.0.0.1:${API}/ready`,
      env: {
        PORT: String(API),
        JWT_SECRET: 'only for these tests',
        PAYMENTS: 'fake',
        SIGN_INS_PER_MINUTE: '1000',
        LOG_LEVEL: 'warn',
        APP_VERSION: 'v0.0.0-e2e',
        UNLEASH_URL: `http://127.0.0.1:${UNLEASH}/api/`,
        UNLEASH_TOKEN: TOKEN,
        FLAGS_FOLDER: FOLDER,
      },
      stdout: 'ignore',
    },
    {
      command: `exec node node_modules/vite/bin/vite.js preview --host 127.0.0.1 --port ${PAGE} --strictPort`,
      cwd: '../frontend',
      url,
      env: { API_URL: `http://127.0.0.1:${API}` },
    },
  ],
});
