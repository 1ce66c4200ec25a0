// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react';

import { useLoaded } from '../useLoaded';
import { getUsers, setDisabled } from './api';
import { useAction } from './useAction';

export function Users({ own }: { own: string }) {
  const [round, setRound] = useState(0);
  const users = useLoaded(getUsers, round);
  const [run, error] = useAction(() => setRound((current) => current + 1));
  return (
    <>
      <h4>Users</h4>
      {error}
      {users.state === 'ready' && (
        <ul className="bookings" data-testid="users">
          {users.value.map((user) => (
            <li key={user.id} data-testid="user" data-email={user.email} data-disabled={user.disabled}>
              {user.name} <span className="quiet">{user.email}</span>
              {user.id !== own && (
                <button type="button" data-testid="user-toggle" onClick={() => void run(() => setDisabled(user.id, !user.disabled))}>
                  {user.disabled ? 'Enable' : 'Disable'}
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
