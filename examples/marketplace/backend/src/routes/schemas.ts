// SPDX-License-Identifier: Apache-2.0
import { Type } from '@fastify/type-provider-typebox';

export const Email = Type.String({ format: 'email', maxLength: 254 });
export const Id = Type.String({ format: 'uuid' });
export const Limit = Type.Optional(Type.Integer({ minimum: 1, maximum: 200 }));
/** Not blank, and without the one character that Postgres cannot store. */
export const Text = (maxLength: number) => Type.String({ minLength: 1, maxLength, pattern: '^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$' });
export const Note = Type.Optional(Type.String({ maxLength: 1000, pattern: '^[^\\u0000]*$' }));

export const ById = Type.Object({ id: Id });
export const Page = Type.Object({ limit: Limit }, { additionalProperties: false });
