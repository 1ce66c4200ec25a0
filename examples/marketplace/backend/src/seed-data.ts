// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';

/** A UUID that depends on nothing but the name: the same seed on every machine, on every day. */
export function stableId(name: string): string {
  const hex = createHash('sha256').update(`marketplace:${name}`).digest('hex');
  // Version 8 (RFC 9562): "the bits mean what we say they mean".
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export interface AccountantSeed {
  name: string;
  city: string;
  headline: string;
  hourlyRateMinor: number;
}

export const CURRENCY = 'INR';

export const accountants: readonly AccountantSeed[] = [
  { name: 'Aarav Mehta', city: 'Mumbai', headline: 'Startups: cap tables, ESOPs and the first audit', hourlyRateMinor: 480_000 },
  { name: 'Devika Nair', city: 'Kochi', headline: 'Exports: GST refunds and letters of undertaking', hourlyRateMinor: 320_000 },
  { name: 'Farhan Qureshi', city: 'Hyderabad', headline: 'Income tax: notices answered, appeals argued', hourlyRateMinor: 410_000 },
  { name: 'Ishita Banerjee', city: 'Kolkata', headline: 'Charities: 12A and 80G, trusts kept in order', hourlyRateMinor: 260_000 },
  { name: 'Kabir Singh Gill', city: 'Chandigarh', headline: 'Farms: cooperatives, subsidies and land', hourlyRateMinor: 240_000 },
  { name: 'Meera Iyer', city: 'Chennai', headline: 'Family business: succession without a quarrel', hourlyRateMinor: 450_000 },
  { name: 'Rohan Deshpande', city: 'Pune', headline: 'Payroll: every payday on time, every return filed', hourlyRateMinor: 280_000 },
  { name: 'Tara Krishnan', city: 'Bengaluru', headline: 'Freelancers: presumptive tax, explained in plain words', hourlyRateMinor: 210_000 },
];

export const reviewers: readonly string[] = ['Anil Kapadia', 'Bhavna Rao', 'Cyrus Irani'];

export const reviewTexts: readonly { rating: number; text: string }[] = [
  { rating: 5, text: 'Clear answers, and a call back the same day.' },
  { rating: 4, text: 'Found two deductions that we had missed for years.' },
  { rating: 5, text: 'Explained every line before asking us to sign.' },
];

/**
 * The hours everyone offers: a working week of four a day.
 * It lies far ahead so that seeded slots never pass, and is fixed so that they never change.
 */
export function slotStarts(): Date[] {
  const monday = Date.UTC(2036, 0, 7);
  const days = [0, 1, 2, 3, 4];
  const hoursUtc = [4, 6, 8, 10];
  return days.flatMap((day) => hoursUtc.map((hour) => new Date(monday + (day * 24 + hour) * 3_600_000)));
}
