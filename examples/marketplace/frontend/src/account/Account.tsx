// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react';

import { useLoaded } from '../useLoaded';
import { getPerson, signOut, type Person } from './api';
import { Hours } from './Hours';
import { Requests } from './Requests';
import { SignIn } from './SignIn';
import { Users } from './Users';

/** One's own part of the marketplace. Its own chunk, as most visitors book without an account. */
export default function Account() {
  const found = useLoaded(getPerson, 'once');
  const [changed, setChanged] = useState<Person | null | undefined>(undefined);

  if (found.state === 'loading') return <p>Loading…</p>;
  if (found.state === 'failed')
    return (
      <p className="error" role="alert">
        {found.message}
      </p>
    );
  const person = changed === undefined ? found.value : changed;
  if (!person) return <SignIn onSignedIn={setChanged} />;
  return (
    <div className="panel" data-testid="account" data-role={person.role}>
      <p>
        Signed in as <strong data-testid="account-name">{person.name}</strong>{' '}
        <button type="button" data-testid="sign-out" onClick={() => void signOut().finally(() => setChanged(null))}>
          Sign out
        </button>
      </p>
      <Requests role={person.role} />
      {person.role === 'ACCOUNTANT' && <Hours />}
      {person.role === 'ADMIN' && <Users own={person.id} />}
    </div>
  );
}
