// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError, readConfig } from '../../src/config.js';

const GOOD = {
  DATABASE_URL: 'postgresql://market:p%40ss@db:5432/market',
  REDIS_URL: 'redis://:pass@cache:6379/0',
  JWT_SECRET: 'a secret of enough length',
};

test('the three secrets are enough; the rest has defaults', () => {
  const config = readConfig(GOOD);
  assert.equal(config.port, 4000);
  assert.equal(config.logLevel, 'info');
  assert.equal(config.banner, '');
});

test('everything wrong is said at once, in one line, without a secret', () => {
  const wrong = { DATABASE_URL: 'mysql://u:hunter2@db/x', JWT_SECRET: 'hunter2', PORT: '70000', LOG_LEVEL: 'loud' };
  assert.throws(
    () => readConfig(wrong),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      for (const name of ['DATABASE_URL', 'REDIS_URL', 'JWT_SECRET', 'PORT', 'LOG_LEVEL']) assert.match(error.message, new RegExp(name));
      assert.doesNotMatch(error.message, /hunter2|\n/);
      return true;
    },
  );
});

test('an empty variable counts as missing', () => {
  assert.throws(() => readConfig({ ...GOOD, JWT_SECRET: '' }), /JWT_SECRET is not set/);
});

test('no payments and no mail unless they are asked for', () => {
  const config = readConfig(GOOD);
  assert.deepEqual([config.payments, config.mailFile, config.signInsPerMinute], ['none', '', 10]);
  assert.throws(() => readConfig({ ...GOOD, PAYMENTS: 'real' }), /PAYMENTS is 'real', it must be one of none, fake/);
});
