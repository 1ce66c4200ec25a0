// SPDX-License-Identifier: Apache-2.0
import { useState, type FormEvent } from 'react';

import { getReviews, sendMessage } from './api';
import { rememberedEmail } from './memory';
import type { Accountant } from './types';
import { useLoaded } from './useLoaded';

/** Reviews of an accountant, and a question to them. Its own chunk: most visitors never open it. */
export default function Details({ accountant }: { accountant: Accountant }) {
  const reviews = useLoaded(() => getReviews(accountant.id), accountant.id);
  return (
    <div className="panel" data-testid="details">
      <h4>What clients say</h4>
      {reviews.state === 'failed' && <p className="error" role="alert">{reviews.message}</p>}
      {reviews.state === 'ready' && (
        <ul className="reviews">
          {reviews.value.map((review) => (
            <li key={review.id} data-testid="review">
              <span className="stars" role="img" aria-label={`${review.rating} of 5 stars`}>
                {'★'.repeat(review.rating)}
              </span>{' '}
              {review.text} <span className="quiet">— {review.author}</span>
            </li>
          ))}
        </ul>
      )}
      <Question accountant={accountant} />
    </div>
  );
}

function Question({ accountant }: { accountant: Accountant }) {
  const [answer, setAnswer] = useState<{ kind: 'success' | 'error'; text: string } | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const data = new FormData(form);
    try {
      await sendMessage(accountant.id, String(data.get('email')).trim(), String(data.get('body')));
      form.reset();
      setAnswer({ kind: 'success', text: 'Sent.' });
    } catch (failure) {
      setAnswer({ kind: 'error', text: (failure as Error).message });
    }
  };

  return (
    <form className="form" data-testid="message-form" onSubmit={submit}>
      <h4>Ask {accountant.name}</h4>
      <label>
        Your email
        <input name="email" type="email" required maxLength={254} defaultValue={rememberedEmail()} data-testid="message-email" />
      </label>
      <label>
        Question
        <textarea name="body" required maxLength={2000} rows={3} data-testid="message-body" />
      </label>
      {answer && <p className={answer.kind} role={answer.kind === 'error' ? 'alert' : 'status'} data-testid="message-result">{answer.text}</p>}
      <button type="submit" data-testid="message-send">
        Send
      </button>
    </form>
  );
}
