// SPDX-License-Identifier: Apache-2.0
import type { EventEmitter } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import type { FastifyBaseLogger, FastifyReply } from 'fastify';
import { InMemStorageProvider, Unleash } from 'unleash-client';

/** The flags this code asks for; app_services.backend.flags of the inventory lists the same. */
export const FLAGS = ['new-payment-flow', 'booking-button', 'debug-panel'] as const;
export type Flag = (typeof FLAGS)[number];

/** How a flag is answered for one person. None of these answers waits for anything. */
export interface Flags {
  isOn(flag: Flag, userId: string): boolean;
  /** The variant's name, or `fallback` while the flag is off. */
  variant(flag: Flag, userId: string, fallback: string): string;
  close(): void;
}

/** How flags are answered for the person of one request. */
export interface Asked {
  isOn(flag: Flag): boolean;
  variant(flag: Flag, fallback: string): string;
}

/**
 * Answer flags for the person of a request, and say which in the header Feature-Flags of its response, also when it fails later. The edge
 * logs and removes it: so a rollout sees how each side of a flag fares.
 */
export function asking(flags: Flags, userId: string, reply: FastifyReply): Asked {
  const said = new Map<Flag, string>();
  const say = (flag: Flag, value: string): void => {
    said.set(flag, value);
    void reply.header('feature-flags', [...said].map(([name, answer]) => `${name}=${answer}`).join(', '));
  };
  return {
    isOn(flag) {
      const on = flags.isOn(flag, userId);
      say(flag, on ? 'on' : 'off');
      return on;
    },
    variant(flag, fallback) {
      const name = flags.variant(flag, userId, '');
      say(flag, name || 'off');
      return name || fallback;
    },
  };
}

/** Nothing is on: without an Unleash, and in tests that are about other things. */
export class NoFlags implements Flags {
  isOn(): boolean {
    return false;
  }

  variant(_flag: Flag, _userId: string, fallback: string): string {
    return fallback;
  }

  close(): void {}
}

export interface Settings {
  url: string;
  token: string;
  /** Of the host: what it last heard of Unleash, and which flags are switched off at once. */
  folder: string;
}

const REFRESH_MILLISECONDS = 5_000;
const LOOK_MILLISECONDS = 250;
/** How long a start waits for the flags of before. */
const READY_MILLISECONDS = 2_000;

/**
 * Flags from Unleash, which may be away: then the last answer holds, and for a process that starts meanwhile the one that its host kept.
 * A flag that the host says is killed is off, whatever Unleash says.
 */
export class LiveFlags implements Flags {
  readonly #unleash: Unleash;
  readonly #killed: KilledFlags;

  constructor(settings: Settings, log: FastifyBaseLogger, changed: () => void) {
    const kept = join(settings.folder, 'features.json');
    this.#killed = new KilledFlags(join(settings.folder, 'killed.json'), log, changed);
    this.#unleash = new Unleash({
      url: settings.url,
      appName: 'marketplace-backend',
      customHeaders: { Authorization: settings.token },
      refreshInterval: REFRESH_MILLISECONDS,
      timeout: REFRESH_MILLISECONDS,
      storageProvider: new InMemStorageProvider(),
      ...(existsSync(kept) ? { bootstrap: { filePath: kept } } : {}),
    });
    // One line per outage is enough.
    let reported = false;
    const report = (error: unknown) => {
      if (!reported) log.warn({ err: error }, 'unleash does not answer; the last known flags hold');
      reported = true;
    };
    this.#unleash.on('error', report);
    this.#unleash.on('warn', report);
    this.#unleash.on('unchanged', () => (reported = false));
    this.#unleash.on('changed', () => {
      reported = false;
      changed();
    });
  }

  /** Resolves when there are flags, or after a while without any: an app without flags serves, one that waits does not. */
  ready(): Promise<void> {
    return new Promise((resolve) => {
      this.#unleash.once('ready', () => resolve());
      setTimeout(resolve, READY_MILLISECONDS).unref();
    });
  }

  isOn(flag: Flag, userId: string): boolean {
    return !this.#killed.has(flag) && this.#unleash.isEnabled(flag, { userId }, false);
  }

  variant(flag: Flag, userId: string, fallback: string): string {
    if (this.#killed.has(flag)) return fallback;
    const variant = this.#unleash.getVariant(flag, { userId });
    return variant.enabled ? variant.name : fallback;
  }

  close(): void {
    this.#killed.close();
    this.#unleash.destroy();
    // unleash-client 6.12 forgets its listeners here, and reports a request that fails afterwards all the same: that would end the process.
    const { repository } = this.#unleash as unknown as { repository: EventEmitter };
    repository.on('error', () => {});
  }
}

/** The names in the host's file, which is replaced whole: looked at often, read when it is another one. */
export class KilledFlags {
  #names = new Set<string>();
  #seen = '';
  readonly #timer: NodeJS.Timeout;

  constructor(
    readonly path: string,
    readonly log: FastifyBaseLogger,
    readonly changed: () => void,
  ) {
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_MILLISECONDS);
    this.#timer.unref();
  }

  has(flag: string): boolean {
    return this.#names.has(flag);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const stat = statSync(this.path, { throwIfNoEntry: false });
    const seen = stat ? `${stat.ino} ${stat.mtimeMs}` : '';
    if (seen === this.#seen) return;
    try {
      this.#names = new Set(stat ? (JSON.parse(readFileSync(this.path, 'utf8')) as { killed: string[] }).killed : []);
    } catch (error) {
      // Those of before stay off.
      this.log.error({ err: error }, `cannot read ${this.path}`);
    }
    this.#seen = seen;
    this.log.info({ killed: [...this.#names] }, 'killed flags');
    this.changed();
  }
}
