// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react';

import { getSlots } from './api';
import { BookingForm } from './BookingForm';
import { day, hour, moment } from './format';
import { useSlotChanges } from './live';
import type { Accountant, Slot } from './types';
import { useLoaded } from './useLoaded';

interface Props {
  accountant: Accountant;
  onBooked: (email: string) => void;
}

/** The hours of one accountant, by day, and the form for the chosen one. */
export function Slots({ accountant, onBooked }: Props) {
  const [round, setRound] = useState(0);
  const [chosen, setChosen] = useState<Slot | null>(null);
  const [confirmation, setConfirmation] = useState('');
  const slots = useLoaded(() => getSlots(accountant.id), round);
  const refresh = () => setRound((current) => current + 1);
  useSlotChanges(accountant.id, refresh);

  if (slots.state === 'loading') return <p>Loading…</p>;
  if (slots.state === 'failed') return <p className="error" role="alert">{slots.message}</p>;

  const days = Map.groupBy(slots.value, (slot) => day(slot.startsAt));
  const choose = (slot: Slot) => {
    setConfirmation('');
    setChosen(slot);
  };
  const done = (slot: Slot, email: string) => {
    setConfirmation(`Booked: ${accountant.name}, ${moment(slot.startsAt)}.`);
    setChosen(null);
    refresh();
    onBooked(email);
  };

  return (
    <div className="panel" data-testid="slots">
      <div className="days">
        {[...days].map(([title, hours]) => (
          <div key={title} className="day">
            <h4>{title}</h4>
            <div className="hours">
              {hours.map((slot) => (
                <button
                  key={slot.id}
                  type="button"
                  data-testid="slot"
                  data-slot-id={slot.id}
                  data-status={slot.status}
                  disabled={slot.status !== 'OPEN'}
                  aria-pressed={chosen?.id === slot.id}
                  aria-label={`${moment(slot.startsAt)}${slot.status === 'OPEN' ? '' : ', taken'}`}
                  onClick={() => choose(slot)}
                >
                  {hour(slot.startsAt)}
                </button>
              ))}
            </div>
          </div>
        ))}
      </div>
      {confirmation && <p className="success" role="status" data-testid="booking-confirmation">{confirmation}</p>}
      {chosen && <BookingForm key={chosen.id} slot={chosen} onBooked={(email) => done(chosen, email)} onRefused={refresh} />}
    </div>
  );
}
