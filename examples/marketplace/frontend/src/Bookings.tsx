// SPDX-License-Identifier: Apache-2.0
import { useState, type FormEvent } from 'react';

import { cancelBooking, getBookings } from './api';
import { moment, money } from './format';
import { rememberedReceipt, rememberEmail } from './memory';
import type { Booking } from './types';
import { useLoaded } from './useLoaded';

interface Props {
  initialEmail: string;
  /** Grows with each booking made on this page, to load the list again. */
  bookingCount: number;
}

export function Bookings({ initialEmail, bookingCount }: Props) {
  const [email, setEmail] = useState(initialEmail);
  const [round, setRound] = useState(0);
  const [error, setError] = useState('');
  const bookings = useLoaded(() => (email ? getBookings(email) : Promise.resolve([])), `${email} ${bookingCount} ${round}`);

  const show = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const entered = String(new FormData(event.currentTarget).get('email')).trim();
    rememberEmail(entered);
    setEmail(entered);
    setRound((current) => current + 1);
  };
  const cancel = async (booking: Booking, receipt: string) => {
    setError('');
    try {
      await cancelBooking(booking.id, receipt);
    } catch (failure) {
      setError((failure as Error).message);
    }
    setRound((current) => current + 1);
  };

  return (
    <section aria-labelledby="bookings">
      <h2 id="bookings">My bookings</h2>
      <form className="lookup" onSubmit={show}>
        <label>
          Email
          <input name="email" type="email" required defaultValue={email} autoComplete="email" data-testid="bookings-email" />
        </label>
        <button type="submit" data-testid="bookings-show">
          Show
        </button>
      </form>
      {error && <p className="error" role="alert">{error}</p>}
      {bookings.state === 'failed' && <p className="error" role="alert">{bookings.message}</p>}
      {bookings.state === 'ready' && bookings.value.length === 0 && <p className="quiet" data-testid="bookings-empty">No bookings yet.</p>}
      {bookings.state === 'ready' && (
        <ul className="bookings" data-testid="bookings" aria-live="polite">
          {bookings.value.map((booking) => (
            <Row key={booking.id} booking={booking} onCancel={cancel} />
          ))}
        </ul>
      )}
    </section>
  );
}

function Row({ booking, onCancel }: { booking: Booking; onCancel: (booking: Booking, receipt: string) => Promise<void> }) {
  const receipt = rememberedReceipt(booking.id);
  const live = booking.status === 'BOOKED';
  return (
    <li data-testid="booking" data-booking-id={booking.id} data-slot-id={booking.slot.id} data-status={booking.status}>
      <span>
        <strong>{booking.accountant.name}</strong>, {moment(booking.slot.startsAt)}
        {booking.payment && <span className="quiet"> · {money(booking.payment.amountMinor, booking.payment.currency)}</span>}
      </span>
      {live && receipt && (
        <button type="button" data-testid="booking-cancel" onClick={() => void onCancel(booking, receipt)}>
          Cancel
        </button>
      )}
      {!live && <span className="quiet">{booking.status.toLowerCase()}</span>}
    </li>
  );
}
