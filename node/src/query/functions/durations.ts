/** Times plus durations, and times rounded down to multiples of durations. Source: org.apache.cassandra.cql3.Duration. */
import { civilFromDays, daysFromCivil, daysInMonth, MILLIS_PER_DAY } from '../../types/calendar.ts';
import type { Duration } from '../../types/duration.ts';
import { daysOfMillis } from './time.ts';

export const NANOS_PER_MILLI = 1_000_000n;
const PER_DAY = BigInt(MILLIS_PER_DAY);
const DAYS_PER_MONTH = 30.436875;

/**
 * A time in milliseconds since 1970 plus a duration so many times (a negative number: minus it); a day past its
 * month's end is the month's last.
 */
export function addDuration(millis: bigint, duration: Duration, times: number): bigint {
  const days = daysOfMillis(millis);
  const inDay = millis - BigInt(days) * PER_DAY;
  const moved = addMonthsToDays(days, times * duration.months) + times * duration.days;
  const nanos = BigInt(times) * duration.nanoseconds;
  return BigInt(moved) * PER_DAY + inDay + nanos / NANOS_PER_MILLI;
}

/** Days since 1970 plus months, each of the same day if the month has it. */
function addMonthsToDays(days: number, months: number): number {
  if (months === 0) return days;
  const { year, month, day } = civilFromDays(days);
  const total = year * 12 + (month - 1) + months;
  const newYear = Math.floor(total / 12);
  const newMonth = total - newYear * 12 + 1;
  return daysFromCivil(newYear, newMonth, Math.min(day, daysInMonth(newYear, newMonth)));
}

/**
 * The last of start, start + duration, start + 2 durations … that is not after the time.
 * @param millis not before `start`
 * @param duration not negative, of whole milliseconds
 */
export function floorMillis(millis: bigint, duration: Duration, start: bigint): bigint {
  const exact = BigInt(duration.days) * PER_DAY + duration.nanoseconds / NANOS_PER_MILLI;
  if (duration.months === 0) {
    return exact === 0n ? millis : millis - ((millis - start) % exact);
  }
  // Months differ in length: from a guess that is nearly right go to the one that is.
  const length = duration.months * DAYS_PER_MONTH * MILLIS_PER_DAY + Number(exact);
  let times = Math.floor(Number(millis - start) / length);
  while (addDuration(start, duration, times) > millis) times--;
  while (addDuration(start, duration, times + 1) <= millis) times++;
  return addDuration(start, duration, times);
}
