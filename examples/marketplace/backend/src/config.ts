// SPDX-License-Identifier: Apache-2.0

/** What the process is told by its environment, checked once at start. */
export interface Config {
  port: number;
  logLevel: LogLevel;
  /** A text the page shows on top; empty means no banner. */
  banner: string;
  databaseUrl: string;
  redisUrl: string;
  jwtSecret: string;
  /** Believed as well; empty where there is only one key. */
  jwtSecretPrevious: string;
  /** How many bookings one client may make in a minute. */
  bookingsPerMinute: number;
  /** How many attempts to sign in there may be for one account in a minute; ten times as many from one address. */
  signInsPerMinute: number;
  /** A file for letters, in place of a mail server; empty means there is no mail. */
  mailFile: string;
  payments: 'none' | 'fake';
  /** Where feature flags come from; empty means that all of them are off. */
  unleashUrl: string;
  unleashToken: string;
  /** What the host knows of flags. */
  flagsFolder: string;
  version: string;
  revision: string;
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment is wrong. The message is one line and never holds a secret's value. */
export class ConfigError extends Error {}

/** sysexits.h EX_CONFIG: an orchestrator can tell "fix the settings" from "it crashed". */
export const EXIT_CONFIG = 78;

/**
 * Read and check the environment.
 * @throws ConfigError naming every variable that is missing or wrong.
 */
export function readConfig(env: Environment): Config {
  const problems: string[] = [];
  const attempt = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(error.message);
      return undefined;
    }
  };

  const config = {
    port: attempt(() => readInteger(env, 'PORT', 4000, 1, 65_535)),
    logLevel: attempt(() => readOneOf(env, 'LOG_LEVEL', LOG_LEVELS, 'info')),
    banner: env['BANNER'] ?? '',
    databaseUrl: attempt(() => readUrl(env, 'DATABASE_URL', ['postgresql:', 'postgres:'])),
    redisUrl: attempt(() => readUrl(env, 'REDIS_URL', ['redis:', 'rediss:'])),
    jwtSecret: attempt(() => readSecret(env, 'JWT_SECRET', 16)),
    jwtSecretPrevious: env['JWT_SECRET_PREVIOUS'] ? attempt(() => readSecret(env, 'JWT_SECRET_PREVIOUS', 16)) : '',
    bookingsPerMinute: attempt(() => readInteger(env, 'BOOKINGS_PER_MINUTE', 60, 1, 1_000_000)),
    signInsPerMinute: attempt(() => readInteger(env, 'SIGN_INS_PER_MINUTE', 10, 1, 1_000_000)),
    mailFile: env['MAIL_FILE'] ?? '',
    payments: attempt(() => readOneOf(env, 'PAYMENTS', ['none', 'fake'])),
    unleashUrl: env['UNLEASH_URL'] ? attempt(() => readUrl(env, 'UNLEASH_URL', ['https:', 'http:'])) : '',
    unleashToken: env['UNLEASH_URL'] ? attempt(() => required(env, 'UNLEASH_TOKEN')) : '',
    flagsFolder: env['FLAGS_FOLDER'] || '/run/sluice/flags',
    version: env['APP_VERSION'] || 'dev',
    revision: env['APP_REVISION'] || 'unknown',
  };
  if (problems.length > 0) throw new ConfigError(problems.join('; '));
  return config as Config;
}

/** A URL of one of the given schemes. The value may hold a password, so errors leave it out. */
export function readUrl(env: Environment, name: string, schemes: readonly string[]): string {
  const value = required(env, name);
  const scheme = URL.canParse(value) ? new URL(value).protocol : undefined;
  if (scheme === undefined || !schemes.includes(scheme)) {
    throw new ConfigError(`${name} is not a ${schemes[0]}// URL (special characters in a password must be percent-encoded)`);
  }
  return value;
}

function readSecret(env: Environment, name: string, minimum: number): string {
  const value = required(env, name);
  if (value.length < minimum) {
    throw new ConfigError(`${name} has ${value.length} characters, it needs at least ${minimum}`);
  }
  return value;
}

function readInteger(env: Environment, name: string, fallback: number, low: number, high: number): number {
  const text = env[name] || String(fallback);
  const value = Number(text);
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new ConfigError(`${name} is '${text}', it must be a whole number from ${low} to ${high}`);
  }
  return value;
}

function readOneOf<T extends string>(env: Environment, name: string, known: readonly T[], fallback: T = known[0]!): T {
  const text = env[name] || fallback;
  const value = known.find((one) => one === text);
  if (value === undefined) throw new ConfigError(`${name} is '${text}', it must be one of ${known.join(', ')}`);
  return value;
}

function required(env: Environment, name: string): string {
  const value = env[name];
  if (!value) throw new ConfigError(`${name} is not set`);
  return value;
}

/** The database's URL, for commands that need nothing else; without one the process ends and says so. */
export const databaseUrlOrExit = (): string => orExit(() => readUrl(process.env, 'DATABASE_URL', ['postgresql:', 'postgres:']));

/** What is read of the environment; when that is wrong the process ends and says so. */
export function orExit<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(`configuration error: ${error.message}. Set it in the environment of this container.`);
    process.exit(EXIT_CONFIG);
  }
}
