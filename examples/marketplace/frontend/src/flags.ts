// SPDX-License-Identifier: Apache-2.0
// Feature flags, as the API answers them for whoever is here. The page asks again when the API says that they changed.
import { useSyncExternalStore } from 'react';

import { call } from './api';

export interface Flags {
  newPaymentFlow: boolean;
  bookingButton: string;
  debugPanel: boolean;
}

/** Until there is an answer, and with an API that does not know of flags. */
const OFF: Flags = { newPaymentFlow: false, bookingButton: 'book', debugPanel: false };

let flags = OFF;
const watchers = new Set<() => void>();

/** Ask again. What was last known stays when there is no answer. */
export async function refreshFlags(): Promise<void> {
  try {
    flags = { ...OFF, ...(await call<Flags>('/api/flags')) };
    watchers.forEach((watcher) => watcher());
  } catch {
    // The next change, or the next connection, asks again.
  }
}

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export const useFlags = (): Flags => useSyncExternalStore(watch, () => flags);

void refreshFlags();
