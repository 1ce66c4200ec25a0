// SPDX-License-Identifier: Apache-2.0
// What this browser remembers: who booked last, and the receipts that allow a cancellation.

const EMAIL = 'marketplace.email';
const receiptKey = (bookingId: string): string => `marketplace.receipt.${bookingId}`;

export const rememberEmail = (email: string): void => localStorage.setItem(EMAIL, email);
export const rememberedEmail = (): string => localStorage.getItem(EMAIL) ?? '';

export const rememberReceipt = (bookingId: string, receipt: string): void => localStorage.setItem(receiptKey(bookingId), receipt);
export const rememberedReceipt = (bookingId: string): string | null => localStorage.getItem(receiptKey(bookingId));
