// SPDX-License-Identifier: Apache-2.0
import { useRef, useState, type FormEvent } from 'react';

import { createBooking, type Order } from './api';
import { useFlags } from './flags';
import { moment } from './format';
import { rememberedEmail, rememberEmail, rememberReceipt } from './memory';
import type { Slot } from './types';

interface Props {
  slot: Slot;
  onBooked: (email: string) => void;
  onRefused: () => void;
}

export function BookingForm({ slot, onBooked, onRefused }: Props) {
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const keyFor = useIdempotencyKey();
  const { bookingButton } = useFlags();

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const order: Order = { slotId: slot.id, name: String(form.get('name')).trim(), email: String(form.get('email')).trim() };
    setBusy(true);
    setError('');
    try {
      const { booking, receipt } = await createBooking(order, keyFor(order));
      rememberEmail(order.email);
      rememberReceipt(booking.id, receipt);
      onBooked(order.email);
    } catch (failure) {
      setError((failure as Error).message);
      setBusy(false);
      onRefused();
    }
  };

  return (
    <form className="form" data-testid="booking-form" onSubmit={submit}>
      <p>
        Booking <strong>{moment(slot.startsAt)}</strong>
      </p>
      <label>
        Your name
        <input name="name" required maxLength={100} autoComplete="name" data-testid="booking-name" />
      </label>
      <label>
        Your email
        <input name="email" type="email" required maxLength={254} autoComplete="email" defaultValue={rememberedEmail()} data-testid="booking-email" />
      </label>
      {error && <p className="error" role="alert" data-testid="booking-error">{error}</p>}
      <button type="submit" className="primary" disabled={busy} data-testid="booking-submit" data-variant={bookingButton}>
        {busy ? 'Booking…' : bookingButton === 'reserve' ? 'Reserve my hour' : 'Book this hour'}
      </button>
    </form>
  );
}

/** One key per distinct order: sending the same order again is a retry, a changed one is new. */
function useIdempotencyKey(): (order: Order) => string {
  const last = useRef({ order: '', key: '' });
  return (order) => {
    const text = JSON.stringify(order);
    if (last.current.order !== text) last.current = { order: text, key: randomKey() };
    return last.current.key;
  };
}

/** crypto.randomUUID exists on HTTPS pages only; this works on a plain HTTP lab as well. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
