// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';

import type { SignedInServices } from '../app.js';
import { asking } from '../flags.js';
import { tokenOf } from '../sessions.js';

const NAME = 'visitor';
const YEAR_SECONDS = 365 * 24 * 60 * 60;

/** What the page shows, for whoever asks. It gets answers and no token: what is not for it stays here. */
export const flagRoutes: FastifyPluginAsyncTypebox<SignedInServices> = async (app, { flags, sessions }) => {
  app.get('/api/flags', async ({ headers, protocol }, reply) => {
    const token = tokenOf(headers.cookie);
    const person = token === undefined ? undefined : await sessions.find(token);
    const known = visitorOf(headers.cookie);
    const visitor = known ?? randomUUID();
    if (!known) {
      const secure = protocol === 'https' ? '; Secure' : '';
      reply.header('set-cookie', `${NAME}=${visitor}; Path=/api; HttpOnly; SameSite=Lax; Max-Age=${YEAR_SECONDS}${secure}`);
    }
    // One who signs in keeps the answers on every device; before that, those of this browser.
    const asked = asking(flags, person?.id ?? visitor, reply);
    return {
      newPaymentFlow: asked.isOn('new-payment-flow'),
      bookingButton: asked.variant('booking-button', 'book'),
      debugPanel: asked.isOn('debug-panel'),
    };
  });
};

/** The id that this browser was given. It identifies nobody, and proves nothing. */
export function visitorOf(cookies: string | undefined): string | undefined {
  const found = (cookies ?? '').split(';').map((one) => one.trim().split('='));
  return found.find(([name, value]) => name === NAME && /^[0-9a-f-]{36}$/.test(value ?? ''))?.[1];
}
