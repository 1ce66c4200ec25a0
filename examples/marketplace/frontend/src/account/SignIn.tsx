// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react';

import { rememberedEmail } from '../memory';
import { askForCode, choosePassword, signIn, type Person } from './api';
import { useAction, withFields } from './useAction';

/** Sign in, or set a password by a code that is mailed: to register, or when it is forgotten. */
export function SignIn({ onSignedIn }: { onSignedIn: (person: Person) => void }) {
  const [email, setEmail] = useState(rememberedEmail);
  const [mailed, setMailed] = useState(false);
  const [run, error] = useAction();

  const enter = withFields((field) => void run(async () => onSignedIn(await signIn(email, field('password')))));
  const ask = () => void run(async () => setMailed(Boolean(await askForCode(email))));
  const choose = withFields(
    (field) =>
      void run(async () => {
        await choosePassword(field('code').trim(), field('name'), field('password'));
        onSignedIn(await signIn(email, field('password')));
      }),
  );

  return (
    <div className="panel">
      <form className="form" data-testid="sign-in" onSubmit={enter}>
        <label>
          Email
          <input
            name="email"
            type="email"
            required
            maxLength={254}
            autoComplete="username"
            value={email}
            onChange={(event) => setEmail(event.target.value.trim())}
            data-testid="sign-in-email"
          />
        </label>
        <label>
          Password
          <input name="password" type="password" required autoComplete="current-password" data-testid="sign-in-password" />
        </label>
        <button type="submit" className="primary" data-testid="sign-in-submit">
          Sign in
        </button>
        <button type="button" data-testid="code-ask" disabled={!email} onClick={ask}>
          New here, or forgotten? Mail me a code
        </button>
      </form>
      {mailed && (
        <form className="form" data-testid="choose" onSubmit={choose}>
          <p role="status">A code is on its way to {email}.</p>
          <label>
            Code
            <input name="code" required autoComplete="one-time-code" data-testid="choose-code" />
          </label>
          <label>
            Your name
            <input name="name" required maxLength={100} autoComplete="name" data-testid="choose-name" />
          </label>
          <label>
            Password, 12 characters or more
            <input name="password" type="password" required autoComplete="new-password" data-testid="choose-password" />
          </label>
          <button type="submit" className="primary" data-testid="choose-submit">
            Set password
          </button>
        </form>
      )}
      {error}
    </div>
  );
}
