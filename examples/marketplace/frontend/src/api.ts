// SPDX-License-Identifier: Apache-2.0
import type { Accountant, Booking, Review, Slot, VersionInfo } from './types';

/** The API said no; the message is its own and fit to be shown. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export async function call<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await fetch(path, init);
  // An answer without a body (204) is none.
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok) {
    const message = (body as { message?: string } | undefined)?.message;
    throw new ApiError(response.status, message ?? `The server answered ${response.status}.`);
  }
  return body as T;
}

export function post<T>(path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<T> {
  return call(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

export const getVersion = (): Promise<VersionInfo> => call('/api/version');

export const getAccountants = async (): Promise<Accountant[]> =>
  (await call<{ accountants: Accountant[] }>('/api/accountants')).accountants;

export const getSlots = async (accountantId: string): Promise<Slot[]> =>
  (await call<{ slots: Slot[] }>(`/api/accountants/${accountantId}/slots`)).slots;

export const getReviews = async (accountantId: string): Promise<Review[]> =>
  (await call<{ reviews: Review[] }>(`/api/accountants/${accountantId}/reviews`)).reviews;

export const getBookings = async (email: string): Promise<Booking[]> =>
  (await call<{ bookings: Booking[] }>(`/api/bookings?client=${encodeURIComponent(email)}`)).bookings;

export interface Order {
  slotId: string;
  name: string;
  email: string;
}

/** The key makes a repeated click or a retry the same booking. */
export const createBooking = (order: Order, idempotencyKey: string): Promise<{ booking: Booking; receipt: string }> =>
  post('/api/bookings', order, { 'idempotency-key': idempotencyKey });

export const cancelBooking = (id: string, receipt: string): Promise<{ booking: Booking }> =>
  post(`/api/bookings/${id}/cancel`, {}, { authorization: `Bearer ${receipt}` });

export const sendMessage = (accountantId: string, senderEmail: string, body: string): Promise<unknown> =>
  post('/api/messages', { accountantId, senderEmail, body });
