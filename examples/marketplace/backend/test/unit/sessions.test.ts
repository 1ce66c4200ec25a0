// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cookieOf, IDLE_MILLISECONDS, isOver, LONGEST_MILLISECONDS, tokenHash, tokenOf } from '../../src/sessions.js';

const TOKEN = 'A'.repeat(43);

test('a session is over when it was idle for too long', () => {
  const at = new Date(0);
  assert.equal(isOver({ createdAt: at, lastUsedAt: at }, IDLE_MILLISECONDS - 1), false);
  assert.equal(isOver({ createdAt: at, lastUsedAt: at }, IDLE_MILLISECONDS), true);
});

test('a session is over after its longest time, however busy', () => {
  const now = LONGEST_MILLISECONDS;
  assert.equal(isOver({ createdAt: new Date(0), lastUsedAt: new Date(now - 1) }, now - 1), false);
  assert.equal(isOver({ createdAt: new Date(0), lastUsedAt: new Date(now - 1) }, now), true);
});

test('the cookie is found among others, and only in its form', () => {
  assert.equal(tokenOf(`a=1; session=${TOKEN}; b=2`), TOKEN);
  for (const cookies of [undefined, '', 'session=', 'session=short', `other=${TOKEN}`, `xsession=${TOKEN}`, `session=${TOKEN}'--`]) {
    assert.equal(tokenOf(cookies), undefined, String(cookies));
  }
});

test('scripts and other sites do not get the cookie; over TLS it stays on TLS', () => {
  assert.match(cookieOf(TOKEN, false), /^session=A{43}; Path=\/api; HttpOnly; SameSite=Strict; Max-Age=43200$/);
  assert.match(cookieOf(TOKEN, true), /; Secure$/);
  assert.match(cookieOf(undefined, false), /^session=; .*Max-Age=0/);
});

test('the database holds a hash of the token', () => {
  assert.match(tokenHash(TOKEN), /^[0-9a-f]{64}$/);
  assert.notEqual(tokenHash(TOKEN), tokenHash('B'.repeat(43)));
});
