// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react';

import { useFlags } from '../flags';
import { moment, money } from '../format';
import { useLoaded } from '../useLoaded';
import { act, getMessages, getRequests, pay, refund, review, write, type Person, type Request } from './api';
import { useAction, withFields } from './useAction';

type Role = Person['role'];

export function Requests({ role }: { role: Role }) {
  const [round, setRound] = useState(0);
  const requests = useLoaded(getRequests, round);
  if (requests.state === 'loading') return <p>Loading…</p>;
  if (requests.state === 'failed')
    return (
      <p className="error" role="alert">
        {requests.message}
      </p>
    );
  return (
    <>
      <h4>Services</h4>
      {requests.value.length === 0 && <p className="quiet">None yet.</p>}
      <ul className="bookings" data-testid="requests">
        {requests.value.map((request) => (
          <Row key={request.id} request={request} role={role} onChanged={() => setRound((current) => current + 1)} />
        ))}
      </ul>
    </>
  );
}

function Row({ request, role, onChanged }: { request: Request; role: Role; onChanged: () => void }) {
  const [open, setOpen] = useState(false);
  const [run, error] = useAction(onChanged);
  const { id, status, payment } = request;
  const { newPaymentFlow } = useFlags();
  const unpaid = payment?.status === 'PENDING' || payment?.status === 'FAILED';
  return (
    <li data-testid="request" data-request-id={id} data-slot-id={request.slot.id} data-status={status} data-payment={payment?.status}>
      <div>
        <strong>{role === 'CLIENT' ? request.accountant.name : request.client.name}</strong>, {moment(request.slot.startsAt)}{' '}
        <span className="quiet">
          {status.toLowerCase()}
          {payment && `, ${money(payment.amountMinor, payment.currency)} ${payment.status.toLowerCase()}`}
        </span>
        {open && <Talk id={id} />}
        {role === 'CLIENT' && status === 'COMPLETED' && <Review onSend={(rating, text) => void run(() => review(id, rating, text))} />}
        {error}
      </div>
      <div className="actions">
        {role === 'CLIENT' && status === 'BOOKED' && unpaid && (
          <button type="button" className="primary" data-testid="request-pay" data-flow={newPaymentFlow ? 'new' : 'classic'} onClick={() => void run(() => pay(id, 'card'))}>
            {newPaymentFlow && payment ? `Pay ${money(payment.amountMinor, payment.currency)}` : 'Pay'}
          </button>
        )}
        {role === 'ACCOUNTANT' && status === 'BOOKED' && (
          <button type="button" className="primary" data-testid="request-complete" onClick={() => void run(() => act(id, 'complete'))}>
            Completed
          </button>
        )}
        {role !== 'ADMIN' && status === 'BOOKED' && (
          <button type="button" data-testid="request-cancel" onClick={() => void run(() => act(id, 'cancel'))}>
            Cancel
          </button>
        )}
        {role !== 'ADMIN' && (
          <button type="button" aria-expanded={open} data-testid="request-talk" onClick={() => setOpen(!open)}>
            Messages
          </button>
        )}
        {role === 'ADMIN' && payment?.status === 'CAPTURED' && (
          <button type="button" data-testid="request-refund" onClick={() => void run(() => refund(payment.id))}>
            Refund
          </button>
        )}
      </div>
    </li>
  );
}

function Review({ onSend }: { onSend: (rating: number, text: string) => void }) {
  return (
    <form className="form" data-testid="review-form" onSubmit={withFields((field) => onSend(Number(field('rating')), field('text')))}>
      <label>
        Stars, 1 to 5
        <input name="rating" type="number" min={1} max={5} required defaultValue={5} data-testid="review-rating" />
      </label>
      <label>
        Your review
        <input name="text" required maxLength={2000} data-testid="review-text" />
      </label>
      <button type="submit" data-testid="review-send">
        Send
      </button>
    </form>
  );
}

function Talk({ id }: { id: string }) {
  const [round, setRound] = useState(0);
  const messages = useLoaded(() => getMessages(id), round);
  const [run, error] = useAction(() => setRound((current) => current + 1));
  return (
    <div data-testid="talk">
      {messages.state === 'ready' && (
        <ul>
          {messages.value.map((message) => (
            <li key={message.id} data-testid="talk-message" data-mine={message.mine}>
              {message.mine ? 'You: ' : ''}
              {message.body}
            </li>
          ))}
        </ul>
      )}
      {/* A new key empties the form once its message is in the list. */}
      <form key={round} className="lookup" onSubmit={withFields((field) => void run(() => write(id, field('body'))))}>
        <label>
          Message
          <input name="body" required maxLength={2000} data-testid="talk-body" />
        </label>
        <button type="submit" data-testid="talk-send">
          Send
        </button>
      </form>
      {error}
    </div>
  );
}
