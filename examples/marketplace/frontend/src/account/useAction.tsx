// SPDX-License-Identifier: Apache-2.0
import { useState, type FormEvent, type ReactNode } from 'react';

/** Something the API is asked to do: run it, then `done`; what it refuses is shown by the element returned. */
export function useAction(done: () => void = () => undefined): [(work: () => Promise<unknown>) => Promise<void>, ReactNode] {
  const [error, setError] = useState('');
  const run = async (work: () => Promise<unknown>) => {
    setError('');
    try {
      await work();
      done();
    } catch (failure) {
      setError((failure as Error).message);
    }
  };
  return [
    run,
    error && (
      <p className="error" role="alert" data-testid="account-error">
        {error}
      </p>
    ),
  ];
}

/** A submit handler that gets the form's fields as text. */
export const withFields = (handle: (field: (name: string) => string) => void) => (event: FormEvent<HTMLFormElement>) => {
  event.preventDefault();
  const data = new FormData(event.currentTarget);
  handle((name) => String(data.get(name) ?? ''));
};
