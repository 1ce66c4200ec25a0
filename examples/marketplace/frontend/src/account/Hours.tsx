// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react';

import { moment } from '../format';
import { useLoaded } from '../useLoaded';
import { getHours, offer, withdraw } from './api';
import { useAction, withFields } from './useAction';

/** The hours an accountant offers. Times are entered as the browser's own. */
export function Hours() {
  const [round, setRound] = useState(0);
  const hours = useLoaded(getHours, round);
  const [run, error] = useAction(() => setRound((current) => current + 1));
  return (
    <>
      <h4>Your hours</h4>
      <form className="lookup" onSubmit={withFields((field) => void run(() => offer(new Date(field('startsAt')).toISOString())))}>
        <label>
          Begins
          <input name="startsAt" type="datetime-local" required data-testid="hour-begins" />
        </label>
        <button type="submit" data-testid="hour-offer">
          Offer
        </button>
      </form>
      {error}
      {hours.state === 'ready' && (
        <ul className="bookings" data-testid="hours">
          {hours.value.map((hour) => (
            <li key={hour.id} data-testid="hour" data-slot-id={hour.id} data-status={hour.status}>
              {moment(hour.startsAt)}
              {hour.status === 'OPEN' && (
                <button type="button" data-testid="hour-withdraw" onClick={() => void run(() => withdraw(hour.id))}>
                  Withdraw
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
