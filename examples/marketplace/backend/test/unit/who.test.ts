// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { visibleTo } from '../../src/requests.js';
import { fromOurPage } from '../../src/who.js';

test('each role sees the requests of its side', () => {
  assert.deepEqual(visibleTo({ id: 'me', role: 'CLIENT' }), { client: { userId: 'me' } });
  assert.deepEqual(visibleTo({ id: 'me', role: 'ACCOUNTANT' }), { slot: { accountant: { userId: 'me' } } });
  assert.deepEqual(visibleTo({ id: 'me', role: 'ADMIN' }), {});
});

test('a page of another site, or of a neighbouring one, changes nothing', () => {
  for (const site of ['cross-site', 'same-site', 'none']) {
    assert.throws(() => fromOurPage({ method: 'POST', headers: { 'sec-fetch-site': site } }), { statusCode: 403, code: 'cross_site' });
  }
});

test('our own page does, and so does what is no browser', () => {
  fromOurPage({ method: 'POST', headers: { 'sec-fetch-site': 'same-origin' } });
  fromOurPage({ method: 'DELETE', headers: {} });
});

test('reading is not changing', () => fromOurPage({ method: 'GET', headers: { 'sec-fetch-site': 'cross-site' } }));
