// SPDX-License-Identifier: Apache-2.0
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';

/** A failure the caller can act on. `code` is stable; `message` is for people. */
export class Problem extends Error {
  constructor(
    readonly statusCode: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Every error leaves the API as `{error, message}`; what we did not foresee says nothing of the inside. */
export function sendProblem(error: FastifyError | Problem, request: FastifyRequest, reply: FastifyReply): void {
  if ('validation' in error && error.validation) {
    void reply.code(400).send({ error: 'invalid_request', message: error.message });
    return;
  }
  const status = error.statusCode ?? 500;
  if (status < 500 || error instanceof Problem) {
    const code = error instanceof Problem ? error.code : 'invalid_request';
    void reply.code(status).send({ error: code, message: error.message });
    return;
  }
  request.log.error({ err: error }, 'request failed');
  void reply.code(500).send({ error: 'internal', message: 'The server could not answer; its log says why.' });
}

export function sendNotFound(request: FastifyRequest, reply: FastifyReply): void {
  void reply.code(404).send({ error: 'not_found', message: `No such route: ${request.method} ${request.url.split('?')[0]}` });
}
