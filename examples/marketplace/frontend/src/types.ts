// SPDX-License-Identifier: Apache-2.0
// The answers of the API, as far as the page reads them.

export interface Accountant {
  id: string;
  name: string;
  membershipNumber: string;
  city: string;
  headline: string;
  hourlyRateMinor: number;
  currency: string;
}

export interface Slot {
  id: string;
  startsAt: string;
  endsAt: string;
  status: 'OPEN' | 'BOOKED';
}

export interface Review {
  id: string;
  rating: number;
  text: string;
  author: string;
}

export interface Booking {
  id: string;
  status: 'BOOKED' | 'CANCELLED' | 'COMPLETED';
  slot: { id: string; startsAt: string; endsAt: string };
  accountant: { id: string; name: string };
  payment: { amountMinor: number; currency: string; status: string } | null;
}

export interface VersionInfo {
  version: string;
  banner: string;
  hostname: string;
}
