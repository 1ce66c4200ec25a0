// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { COST, passwordProblem, Passwords } from '../../src/passwords.js';

const EMAIL = 'zoe.miller@example.com';
const CHEAP = { N: 2 ** 4, r: 8, p: 1 };
const passwords = new Passwords(CHEAP);

test('a password fits its own hash only', async () => {
  const hash = await passwords.hash('correct horse battery');
  assert.equal(await passwords.fits('correct horse battery', hash), true);
  assert.equal(await passwords.fits('correct horse batterz', hash), false);
});

test('two hashes of one password differ, and hold nothing of it', async () => {
  const [one, two] = await Promise.all([passwords.hash('correct horse battery'), passwords.hash('correct horse battery')]);
  assert.notEqual(one, two);
  assert.doesNotMatch(one, /horse/);
});

test('a hash says its own cost: one that was made cheaper still fits', async () => {
  const old = await new Passwords({ N: 2 ** 3, r: 8, p: 1 }).hash('correct horse battery');
  assert.equal(await passwords.fits('correct horse battery', old), true);
});

test('nothing fits the hash that is not there', async () => {
  assert.equal(await passwords.fits('', null), false);
  assert.equal(await passwords.fits('correct horse battery', null), false);
});

test('a hash of another scheme is an error, not a refusal', async () => {
  await assert.rejects(passwords.fits('x', 'md5$abc'), /unknown scheme 'md5'/);
});

test('letters that are typed in two ways are one password', async () => {
  const hash = await passwords.hash('caf\u00e9 au lait, please');
  assert.equal(await passwords.fits('cafe\u0301 au lait, please', hash), true);
});

test('the cost is not below what OWASP asks for', () => {
  assert.ok(COST.N * COST.r * 128 >= 32 * 2 ** 20 && COST.p >= 3);
});

const REFUSED = [
  { why: 'eleven characters', password: 'abcdefghijk', says: /12 characters or more/ },
  { why: 'characters are counted, not bytes', password: '🔑🔒🗝🔐🚪🏠🏡🪟', says: /12 characters or more/ },
  { why: 'too long', password: 'abcdefghi'.repeat(15), says: /128 characters at most/ },
  { why: 'one character over and over', password: 'aaaaaaaaaaaaaaaa', says: /five different/ },
  { why: 'a common one, whatever its case', password: 'PassWord1234', says: /anybody tries/ },
  { why: 'the mailbox in it', password: 'my-Zoe.Miller-2026', says: /mailbox/ }, // gitleaks:allow
];
for (const { why, password, says } of REFUSED) {
  test(`no password: ${why}`, () => assert.match(passwordProblem(password, EMAIL) ?? '', says));
}

test('a good password needs no digit and no capital', () => {
  assert.equal(passwordProblem('correct horse battery', EMAIL), undefined);
  assert.equal(passwordProblem('abcdefghijkl', EMAIL), undefined);
});
