/** Times plus durations, and times rounded down to multiples of durations. Source: org.apache.cassandra.cql3.Duration. */
import { civilFromDays, daysFromCivil, daysInMonth, MILLIS_PER_DAY } from '../../types/calendar.ts';
import type { Duration } from '../../types/duration.ts';
import { daysOfMillis } from './time.ts';

const NANOS_PER_MILLI = 1_000_000n;
const PER_DAY = BigInt(MILLIS_PER_DAY);

/** A time in milliseconds since 1970 plus (`sign` 1) or minus a duration; a day past its month's end is the last. */
export function addMonths(millis: bigint, duration: Duration, sign: 1 | -1): bigint {
  const days = daysOfMillis(millis);
  const inDay = millis - BigInt(days) * PER_DAY;
  const moved = addMonthsToDays(days, sign * duration.months) + sign * duration.days;
  return BigInt(moved) * PER_DAY + inDay + BigInt(sign) * (duration.nanoseconds / NANOS_PER_MILLI);
}

/** Days since 1970 plus months, each of the same day if the month has it. */
export function addMonthsToDays(days: number, months: number): number {
  if (months === 0) return days;
  const { year, month, day } = civilFromDays(days);
  const total = year * 12 + (month - 1) + months;
  const newYear = Math.floor(total / 12);
  const newMonth = total - newYear * 12 + 1;
  return daysFromCivil(newYear, newMonth, Math.min(day, daysInMonth(newYear, newMonth)));
}
