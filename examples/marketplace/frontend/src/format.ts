// SPDX-License-Identifier: Apache-2.0

/** An amount in the currency's minor unit, for people: 480000 INR → ₹4,800. */
export function money(minor: number, currency: string): string {
  const format = new Intl.NumberFormat('en-IN', { style: 'currency', currency, trailingZeroDisplay: 'stripIfInteger' });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(minor / 10 ** digits);
}

// Appointments are in India, wherever the visitor is.
const ZONE = { timeZone: 'Asia/Kolkata' } as const;
const DAY = new Intl.DateTimeFormat('en-GB', { ...ZONE, weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
const HOUR = new Intl.DateTimeFormat('en-GB', { ...ZONE, hour: '2-digit', minute: '2-digit' });

export const day = (iso: string): string => DAY.format(new Date(iso));
export const hour = (iso: string): string => HOUR.format(new Date(iso));
export const moment = (iso: string): string => `${day(iso)}, ${hour(iso)}`;
