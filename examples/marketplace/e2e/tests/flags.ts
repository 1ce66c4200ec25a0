// SPDX-License-Identifier: Apache-2.0
// The flags of the running application, as a person would set them in Unleash, and as the host would kill them.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const TOKEN = 'default:development.of-these-tests';
const FOLDER = (process.env['FLAGS_FOLDER'] ??= join(tmpdir(), `marketplace-flags-${process.pid}`));
export const FEATURES = join(FOLDER, 'unleash.json');
export { FOLDER };

/** One flag for so many per cent of the users, with variants by their weights. */
export function flag(name: string, rollout: number, variants: Record<string, number> = {}) {
  const by = { stickiness: 'userId' };
  return {
    name,
    type: 'release',
    enabled: true,
    strategies: [
      {
        name: 'flexibleRollout',
        constraints: [],
        parameters: { ...by, rollout: String(rollout), groupId: name },
        variants: Object.entries(variants).map(([variant, weight]) => ({ name: variant, weight: weight * 10, weightType: 'fix', ...by })),
      },
    ],
  };
}

function put(name: string, content: object): void {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, `.${name}`), JSON.stringify(content));
  renameSync(join(FOLDER, `.${name}`), join(FOLDER, name));
}

export const set = (...features: object[]): void => put('unleash.json', { version: 2, features });
export const kill = (...killed: string[]): void => put('killed.json', { killed });
