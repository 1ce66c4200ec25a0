// SPDX-License-Identifier: Apache-2.0
import type { FastifyRequest } from 'fastify';

import type { Role } from './generated/prisma/client.js';
import { Problem } from './problem.js';
import { tokenOf, type Person, type Sessions } from './sessions.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; there on routes that have an `allow` hook. */
    person: Person;
  }
}

type Hook = (request: FastifyRequest) => Promise<void>;
export type Allow = (...roles: Role[]) => Hook;

/** Only people of these roles, of any when none is named. It runs before the request is read: a stranger learns nothing of its form. */
export function allowWith(sessions: Sessions): Allow {
  return (...roles) =>
    async (request) => {
      fromOurPage(request);
      const token = tokenOf(request.headers.cookie);
      const person = token === undefined ? undefined : await sessions.find(token);
      if (!person) throw new Problem(401, 'not_signed_in', 'Sign in first.');
      if (roles.length > 0 && !roles.includes(person.role))
        throw new Problem(403, 'not_allowed', `This is not for the role ${person.role}.`);
      request.person = person;
    };
}

/**
 * Refuse what another site's page sends with the visitor's cookie. SameSite=Strict keeps the cookie from it already;
 * this also keeps a page of a neighbouring subdomain out. Clients that are no browser do not send the header.
 */
export function fromOurPage({ method, headers }: Pick<FastifyRequest, 'method' | 'headers'>): void {
  const site = headers['sec-fetch-site'];
  if (method !== 'GET' && method !== 'HEAD' && site !== undefined && site !== 'same-origin') {
    throw new Problem(403, 'cross_site', 'This request came from a page of another site.');
  }
}
