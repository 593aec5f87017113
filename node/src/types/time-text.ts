/**
 * Timestamps, dates and times as people write them in CQL. Text without a time zone is UTC.
 * Source: Cassandra 5's TimestampSerializer, SimpleDateSerializer, TimeSerializer.
 */
import { invalidRequest } from '../common/errors.ts';
import { daysFromCivil, daysInMonth, MILLIS_PER_DAY, NANOS_PER_DAY } from './calendar.ts';
import { Zones } from './zones.ts';

const INTEGER = /^-?[0-9]+$/;
const INT64_MIN = -(1n << 63n);
const INT64_MAX = (1n << 63n) - 1n;

const DATE_TIME =
  /^(-?[0-9]{1,10})-([0-9]{1,6})-([0-9]{1,6})[T ]([0-9]{1,6}):([0-9]{1,6})(?::([0-9]{1,6})(?:\.([0-9]{0,9}))?)?(?: ?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)| ([A-Za-z][A-Za-z_/ -]*))?$/;
const DATE_ONLY =
  /^(-?[0-9]{4}|[+-][0-9]{5,9})-([0-9]{2})-([0-9]{2})(?: ?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)| ([A-Za-z][A-Za-z_/ -]*))?$/;

/**
 * Milliseconds since 1970 of a timestamp literal: an integer, `now`, a date, or a date and time with
 * `T` or a space, seconds and fraction optional, and optionally `Z`, an offset or a zone's name.
 * Throws Invalid.
 */
export function parseTimestamp(text: string, nowMillis: bigint): bigint {
  if (text.toLowerCase() === 'now') return nowMillis;
  if (INTEGER.test(text)) {
    const millis = BigInt(text);
    if (millis < INT64_MIN || millis > INT64_MAX) {
      throw invalidRequest(`Unable to make long (for date) from: '${text}'`);
    }
    return millis;
  }
  const millis = dateTimeMillis(text) ?? dateMillis(text);
  if (millis === null) throw invalidRequest(`Unable to parse a date/time from '${text}'`);
  return BigInt(millis);
}

function dateTimeMillis(text: string): number | null {
  const match = DATE_TIME.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second, fraction, offset, zone] = match;
  const days = dayNumber(Number(year), Number(month), Number(day));
  const time = timeOfDay(Number(hour), Number(minute), Number(second ?? '0'), fraction ?? '');
  if (days === null || time === null || Number(year) < 1) return null;
  return atOffset(days * MILLIS_PER_DAY + time, offset, zone);
}

function dateMillis(text: string): number | null {
  const match = DATE_ONLY.exec(text);
  if (match === null) return null;
  const [, year, month, day, offset, zone] = match;
  if (/^\+0/.test(year)) return null;
  // Before our era only the ISO forms of an offset are known.
  if (Number(year) < 1 && !/-[0-9]{2}-[0-9]{2}(?:Z|[+-][0-9]{2}:[0-9]{2})?$/.test(text))
    return null;
  const days = dayNumber(Number(year), Number(month), Number(day));
  return days === null ? null : atOffset(days * MILLIS_PER_DAY, offset, zone);
}

/** Days since 1970; a day past its month's end but not past 31 is the month's last, as in Java. */
function dayNumber(year: number, month: number, day: number): number | null {
  if (month < 1 || month > 12 || day < 1 || day > 31) return null;
  return daysFromCivil(year, month, Math.min(day, daysInMonth(year, month)));
}

function timeOfDay(hour: number, minute: number, second: number, fraction: string): number | null {
  const millis = Number(fraction.slice(0, 3).padEnd(3, '0'));
  if (hour === 24 && minute === 0 && second === 0 && millis === 0) return MILLIS_PER_DAY;
  if (hour > 23 || minute > 59 || second > 59) return null;
  return ((hour * 60 + minute) * 60 + second) * 1000 + millis;
}

function atOffset(
  localMillis: number,
  offset: string | undefined,
  zone: string | undefined,
): number | null {
  if (!Number.isSafeInteger(localMillis)) return null;
  if (zone !== undefined) return inZone(localMillis, zone);
  if (offset === undefined || offset === 'Z') return localMillis;
  const hours = Number(offset.slice(1, 3));
  const minutes = offset.length > 3 ? Number(offset.slice(-2)) : 0;
  if (minutes > 59 || hours * 60 + minutes > 18 * 60) return null;
  const millis = (hours * 60 + minutes) * 60_000;
  return offset[0] === '-' ? localMillis + millis : localMillis - millis;
}

/** Regions of the abbreviations and names that Java reads, the common ones. */
const ZONE_REGIONS: ReadonlyMap<string, string> = new Map([
  ['PST', 'America/Los_Angeles'],
  ['PDT', 'America/Los_Angeles'],
  ['Pacific Standard Time', 'America/Los_Angeles'],
  ['MST', 'America/Denver'],
  ['MDT', 'America/Denver'],
  ['Mountain Standard Time', 'America/Denver'],
  ['CST', 'America/Chicago'],
  ['CDT', 'America/Chicago'],
  ['Central Standard Time', 'America/Chicago'],
  ['EST', 'America/New_York'],
  ['EDT', 'America/New_York'],
  ['Eastern Standard Time', 'America/New_York'],
  ['CET', 'Europe/Paris'],
  ['CEST', 'Europe/Paris'],
  ['Central European Standard Time', 'Europe/Paris'],
  ['EET', 'Europe/Helsinki'],
  ['EEST', 'Europe/Helsinki'],
  ['WET', 'Europe/Lisbon'],
  ['BST', 'Europe/London'],
  ['MSK', 'Europe/Moscow'],
  ['IST', 'Asia/Kolkata'],
  ['JST', 'Asia/Tokyo'],
]);
const UTC_NAMES: ReadonlySet<string> = new Set(['UTC', 'GMT', 'UT', 'Z', 'Greenwich Mean Time']);
const zones = new Zones(64);

/** Milliseconds since 1970 of a local time in a named zone; null if there is no such zone. */
function inZone(localMillis: number, zone: string): number | null {
  if (UTC_NAMES.has(zone)) return localMillis;
  const region = ZONE_REGIONS.get(zone) ?? (zone.includes('/') ? zone : null);
  if (region === null || Math.abs(localMillis) > 8e15) return null;
  // The offset at the local time read as UTC may be across a clock change: look again where it leads.
  const first = zones.offsetMillis(region, localMillis);
  if (first === null) return null;
  const second = zones.offsetMillis(region, localMillis - first);
  return second === null ? null : localMillis - second;
}

const ISO_DATE = /^(-?[0-9]{4}|[+-][0-9]{5,10})-([0-9]{2})-([0-9]{2})$/;
const DATE_CENTER = 0x80000000;

/** The unsigned 32-bit number of a date literal (1970-01-01 is 2^31), or of its raw form. Throws Invalid. */
export function parseDate(text: string): number {
  if (INTEGER.test(text)) {
    const raw = Number(text);
    if (raw >= 0 && raw <= 0xffffffff) return raw;
    throw invalidRequest(`Unable to make unsigned int (for date) from: '${text}'`);
  }
  const match = ISO_DATE.exec(text);
  if (match === null || /^[+-]0{5}|^-0000$|^\+0/.test(match[1])) throw noDate(text);
  const [year, month, day] = match.slice(1).map(Number);
  if (Math.abs(year) > 290_000_000) throw noDate(text);
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) throw noDate(text);
  const days = daysFromCivil(year, month, day) + DATE_CENTER;
  if (days < 0) {
    throw invalidRequest(
      `Input date ${text} is less than min supported date -5877641-06-23T00:00Z`,
    );
  }
  if (days > 0xffffffff) {
    throw invalidRequest(
      `Input date ${text} is greater than max supported date +5881580-07-11T00:00Z`,
    );
  }
  return days;
}

function noDate(text: string): Error {
  return invalidRequest(`Unable to coerce '${text}' to a formatted date (long)`);
}

const TIME = /^\+?([0-9]{1,9}):\+?([0-9]{1,9}):\+?([0-9]{1,9})(?:\.([0-9]{1,9}))?$/;

/** Nanoseconds of a time literal `hh:mm:ss[.fffffffff]` or of its raw form. Throws Invalid. */
export function parseTime(text: string): bigint {
  if (INTEGER.test(text)) {
    const nanos = BigInt(text);
    if (nanos >= 0n && nanos < NANOS_PER_DAY) return nanos;
    throw invalidRequest(`Unable to make long (for time) from: '${text}'`);
  }
  const match = TIME.exec(text.trim());
  const [hour, minute, second] = match === null ? [99, 99, 99] : match.slice(1, 4).map(Number);
  if (match === null || hour > 23 || minute > 59 || second > 59) {
    throw invalidRequest(`(TimeType) Unable to coerce '${text}' to a formatted time (long)`);
  }
  const seconds = BigInt((hour * 60 + minute) * 60 + second);
  return seconds * 1_000_000_000n + BigInt((match[4] ?? '').padEnd(9, '0'));
}
