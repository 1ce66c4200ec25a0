// SPDX-License-Identifier: Apache-2.0
// One WebSocket for the whole page: the API says what changes while the page is open.
import { useEffect, useSyncExternalStore } from 'react';

import { refreshFlags } from './flags';

export interface Live {
  open: boolean;
  /** The API's version at the other end; the last one while there is none. */
  version: string;
}

type Message = { type: 'hello'; version: string } | { type: 'flags' } | { type: 'slot'; accountantId: string };

/** Up to so long before the first attempt to come back; twice as long each time, up to the longest. */
const FIRST_MILLISECONDS = 1_000;
const LONGEST_MILLISECONDS = 30_000;

let live: Live = { open: false, version: '' };
let greeted = false;
const watchers = new Set<() => void>();
/** Called with the accountant whose hours changed, or null when anything may have, unheard. */
const listeners = new Set<(accountantId: string | null) => void>();

function become(next: Live): void {
  live = next;
  watchers.forEach((watcher) => watcher());
}

function connect(attempt: number): void {
  const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/api/live`);
  let next = attempt + 1;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(String(data)) as Message;
    if (message.type === 'slot') {
      listeners.forEach((listener) => listener(message.accountantId));
    } else if (message.type === 'flags') {
      void refreshFlags();
    } else if (message.type === 'hello') {
      next = 0;
      become({ open: true, version: message.version });
      if (greeted) {
        void refreshFlags();
        listeners.forEach((listener) => listener(null));
      }
      greeted = true;
    }
  };
  socket.onclose = () => {
    become({ ...live, open: false });
    // Pages that a release sent away together do not come back together.
    setTimeout(() => connect(next), Math.random() * Math.min(LONGEST_MILLISECONDS, FIRST_MILLISECONDS * 2 ** next));
  };
}

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** Whether the page hears of changes now. */
export const useLive = (): Live => useSyncExternalStore(watch, () => live);

/** Call `changed` when the hours of an accountant have changed, or may have. */
export function useSlotChanges(accountantId: string, changed: () => void): void {
  useEffect(() => {
    const listener = (id: string | null) => {
      if (id === null || id === accountantId) changed();
    };
    listeners.add(listener);
    return () => void listeners.delete(listener);
    // `changed` is a new function on every render and does the same.
  }, [accountantId]);
}

connect(0);
