// SPDX-License-Identifier: Apache-2.0
// The first administrator, and anybody while there is no mail: node dist/invite.js EMAIL ROLE NAME
// makes the account if there is none, and prints the code by which its owner sets a password.
import { Accounts, createUser } from './accounts.js';
import { normalEmail } from './bookings.js';
import { orExit, readConfig } from './config.js';
import { openDatabase } from './db.js';
import { Links } from './links.js';
import { FileMail } from './mail.js';
import { Passwords } from './passwords.js';
import { Sessions } from './sessions.js';

const ROLES = ['CLIENT', 'ADMIN'] as const;

const [address = '', role, name = ''] = process.argv.slice(2);
const known = ROLES.find((one) => one === role);
if (!address.includes('@') || !known || !name) {
  console.error(
    'Usage: node dist/invite.js EMAIL CLIENT|ADMIN NAME (an accountant is added by an administrator: POST /api/admin/accountants)',
  );
  process.exit(64);
}
const config = orExit(() => readConfig(process.env));
const db = openDatabase(config.databaseUrl);
try {
  const email = normalEmail(address);
  const user = await db.user.findUnique({ where: { email } });
  if (!user) await db.$transaction((tx) => createUser(tx, { email, name, role: known }, null));
  const parts = {
    db,
    links: new Links(config.jwtSecret),
    mail: new FileMail('/dev/null'),
    passwords: new Passwords(),
    sessions: new Sessions(db),
  };
  console.log(await new Accounts(parts).link(email, '24h'));
} finally {
  await db.$disconnect();
}
