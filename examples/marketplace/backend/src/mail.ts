// SPDX-License-Identifier: Apache-2.0
import { appendFile } from 'node:fs/promises';

import type { FastifyBaseLogger } from 'fastify';

export interface Letter {
  to: string;
  subject: string;
  text: string;
}

/** Where letters go. A real one hands them to a mail server, and returns before that answers. */
export interface Mail {
  send(letter: Letter): Promise<void>;
}

/** Letters as lines of JSON in a file, for development and tests. */
export class FileMail implements Mail {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  send(letter: Letter): Promise<void> {
    return appendFile(this.#path, `${JSON.stringify(letter)}\n`, { mode: 0o600 });
  }
}

/** No mail is set up. The log says so, and neither to whom nor what: the text holds a secret. */
export class NoMail implements Mail {
  readonly #log: FastifyBaseLogger;

  constructor(log: FastifyBaseLogger) {
    this.#log = log;
  }

  async send({ subject }: Letter): Promise<void> {
    this.#log.warn({ subject }, 'not sent: no mail is set up; the command dist/invite.js makes a link');
  }
}
