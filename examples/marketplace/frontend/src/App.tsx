// SPDX-License-Identifier: Apache-2.0
import { lazy, Suspense, useState } from 'react';

import { AccountantCard } from './AccountantCard';
import { getAccountants, getVersion } from './api';
import { Bookings } from './Bookings';
import { ChunkBoundary } from './ChunkBoundary';
import { useFlags } from './flags';
import { useLive } from './live';
import { rememberedEmail } from './memory';
import { useLoaded } from './useLoaded';

// Loaded when first opened: a visitor books without an account.
const Account = lazy(() => import('./account/Account'));

/** The release this page was built for; the API may be another one for a moment during a deploy. */
const PAGE_VERSION: string = import.meta.env['VITE_APP_VERSION'] || 'dev';

export function App() {
  const version = useLoaded(getVersion, 'once');
  const accountants = useLoaded(getAccountants, 'once');
  const live = useLive();
  const flags = useFlags();
  const [email, setEmail] = useState(rememberedEmail);
  const [bookingCount, setBookingCount] = useState(0);
  const [account, setAccount] = useState(false);

  const api = version.state === 'ready' ? version.value : undefined;
  const booked = (bookedBy: string) => {
    setEmail(bookedBy);
    setBookingCount((count) => count + 1);
  };

  return (
    <>
      {api?.banner && (
        <p className="banner" role="status" data-testid="banner">
          {api.banner}
        </p>
      )}
      {flags.debugPanel && (
        <pre className="quiet" data-testid="debug-panel">
          {JSON.stringify({ api: api?.hostname, page: PAGE_VERSION, live: live.open, flags }, null, 1)}
        </pre>
      )}
      <header className="masthead">
        <div>
          <h1>Marketplace</h1>
          <p>An hour with a chartered accountant, booked in a minute.</p>
        </div>
        <p className="badge live" data-testid="live" data-open={live.open} data-version={live.version}>
          {live.open ? 'Live' : 'Connecting…'}
        </p>
        <p className="badge" data-testid="version" data-api-version={api?.version} data-page-version={PAGE_VERSION} title={api && `answered by ${api.hostname}`}>
          API {api?.version ?? '…'} · page {PAGE_VERSION}
        </p>
      </header>
      <main>
        <section aria-labelledby="accountants">
          <h2 id="accountants">Accountants</h2>
          {accountants.state === 'loading' && <p>Loading…</p>}
          {accountants.state === 'failed' && <p className="error" role="alert">{accountants.message}</p>}
          {accountants.state === 'ready' && (
            <ul className="cards">
              {accountants.value.map((accountant) => (
                <AccountantCard key={accountant.id} accountant={accountant} onBooked={booked} />
              ))}
            </ul>
          )}
        </section>
        <Bookings key={email} initialEmail={email} bookingCount={bookingCount} />
        <section aria-labelledby="account">
          <h2 id="account">
            <button type="button" aria-expanded={account} data-testid="show-account" onClick={() => setAccount(!account)}>
              Your account
            </button>
          </h2>
          {account && (
            <ChunkBoundary>
              <Suspense fallback={<p>Loading…</p>}>
                <Account />
              </Suspense>
            </ChunkBoundary>
          )}
        </section>
      </main>
    </>
  );
}
