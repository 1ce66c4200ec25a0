// SPDX-License-Identifier: Apache-2.0
// The part of the API that wants a session. The browser holds the cookie; no script sees it.
import { ApiError, call, post } from '../api';
import { refreshFlags } from '../flags';
import type { Slot } from '../types';

export interface Person {
  id: string;
  email: string;
  name: string;
  role: 'CLIENT' | 'ACCOUNTANT' | 'ADMIN';
}

export interface Request {
  id: string;
  status: 'BOOKED' | 'CANCELLED' | 'COMPLETED';
  slot: { id: string; startsAt: string };
  accountant: { id: string; name: string };
  client: { name: string; email: string };
  payment: { id: string; amountMinor: number; currency: string; status: string } | null;
}

export interface Message {
  id: string;
  body: string;
  mine: boolean;
}

export interface User extends Person {
  disabled: boolean;
}

const send = <T>(method: string, path: string): Promise<T> => call(path, { method });

/** Who is signed in; null is nobody. */
export async function getPerson(): Promise<Person | null> {
  try {
    return (await call<{ person: Person }>('/api/session')).person;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

export async function signIn(email: string, password: string): Promise<Person> {
  const { person } = await post<{ person: Person }>('/api/session', { email, password });
  void refreshFlags();
  return person;
}

export async function signOut(): Promise<void> {
  await send('DELETE', '/api/session');
  void refreshFlags();
}

export const askForCode = (email: string): Promise<unknown> => post('/api/account/link', { email });
export const choosePassword = (token: string, name: string, password: string): Promise<void> =>
  post('/api/account/password', { token, name, password });

export const getRequests = async (): Promise<Request[]> => (await call<{ requests: Request[] }>('/api/requests')).requests;
export const act = (id: string, verb: 'cancel' | 'complete'): Promise<unknown> => post(`/api/requests/${id}/${verb}`);
export const pay = (id: string, method: string): Promise<unknown> => post(`/api/requests/${id}/pay`, { method });
export const review = (id: string, rating: number, text: string): Promise<unknown> => post(`/api/requests/${id}/review`, { rating, text });
export const refund = (paymentId: string): Promise<unknown> => post(`/api/admin/payments/${paymentId}/refund`);
export const getMessages = async (id: string): Promise<Message[]> =>
  (await call<{ messages: Message[] }>(`/api/requests/${id}/messages`)).messages;
export const write = (id: string, body: string): Promise<unknown> => post(`/api/requests/${id}/messages`, { body });

export const getHours = async (): Promise<Slot[]> => (await call<{ slots: Slot[] }>('/api/availability')).slots;
export const offer = (startsAt: string): Promise<unknown> => post('/api/availability', { startsAt });
export const withdraw = (id: string): Promise<void> => send('DELETE', `/api/availability/${id}`);

export const getUsers = async (): Promise<User[]> => (await call<{ users: User[] }>('/api/admin/users')).users;
export const setDisabled = (id: string, disabled: boolean): Promise<void> =>
  post(`/api/admin/users/${id}/${disabled ? 'disable' : 'enable'}`);
