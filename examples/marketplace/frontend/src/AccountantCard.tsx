// SPDX-License-Identifier: Apache-2.0
import { lazy, Suspense, useState } from 'react';

import { ChunkBoundary } from './ChunkBoundary';
import { money } from './format';
import { Slots } from './Slots';
import type { Accountant } from './types';

// Loaded when first opened.
const Details = lazy(() => import('./Details'));

interface Props {
  accountant: Accountant;
  onBooked: (email: string) => void;
}

export function AccountantCard({ accountant, onBooked }: Props) {
  const [open, setOpen] = useState<'slots' | 'details' | null>(null);
  const toggle = (panel: 'slots' | 'details') => setOpen((current) => (current === panel ? null : panel));

  return (
    <li className="card" data-testid="accountant" data-accountant-id={accountant.id}>
      <h3 data-testid="accountant-name">{accountant.name}</h3>
      <p className="quiet">
        {accountant.city} · Member {accountant.membershipNumber}
      </p>
      <p data-testid="accountant-headline">{accountant.headline}</p>
      <p className="price">
        {money(accountant.hourlyRateMinor, accountant.currency)} <span className="quiet">an hour</span>
      </p>
      <div className="actions">
        <button type="button" className="primary" aria-expanded={open === 'slots'} data-testid="show-slots" onClick={() => toggle('slots')}>
          Times
        </button>
        <button type="button" aria-expanded={open === 'details'} data-testid="show-details" onClick={() => toggle('details')}>
          Reviews and questions
        </button>
      </div>
      {open === 'slots' && <Slots accountant={accountant} onBooked={onBooked} />}
      {open === 'details' && (
        <ChunkBoundary>
          <Suspense fallback={<p>Loading…</p>}>
            <Details accountant={accountant} />
          </Suspense>
        </ChunkBoundary>
      )}
    </li>
  );
}
