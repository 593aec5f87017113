/**
 * CQL's duration: months, days and nanoseconds, all of one sign. Source: native protocol v5, 6.6;
 * org.apache.cassandra.cql3.Duration.
 */
import { Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import { readUnsignedVint64, unzigzag, vintExtraBytes, writeUnsignedVint, zigzag } from './vint.ts';

const NANOS_PER_MICRO = 1_000n;
const NANOS_PER_MILLI = 1_000_000n;
const NANOS_PER_SECOND = 1_000_000_000n;
const NANOS_PER_MINUTE = 60n * NANOS_PER_SECOND;
const NANOS_PER_HOUR = 60n * NANOS_PER_MINUTE;
const INT32_MAX = 0x7fffffffn;
const INT64_MAX = (1n << 63n) - 1n;

/** A length of time; `months` and `days` are int32, `nanoseconds` int64. Immutable. */
export class Duration {
  readonly months: number;
  readonly days: number;
  readonly nanoseconds: bigint;

  constructor(months: number, days: number, nanoseconds: bigint) {
    this.months = months;
    this.days = days;
    this.nanoseconds = nanoseconds;
  }

  /** As CQL writes it: `1y2mo3d4h`; empty for no time at all, as Cassandra has it. */
  toString(): string {
    const months = Math.abs(this.months);
    const nanos = this.nanoseconds < 0n ? -this.nanoseconds : this.nanoseconds;
    const negative = this.months < 0 || this.days < 0 || this.nanoseconds < 0n;
    const parts: [bigint | number, string][] = [
      [Math.floor(months / 12), 'y'],
      [months % 12, 'mo'],
      [Math.abs(this.days), 'd'],
      [nanos / NANOS_PER_HOUR, 'h'],
      [(nanos % NANOS_PER_HOUR) / NANOS_PER_MINUTE, 'm'],
      [(nanos % NANOS_PER_MINUTE) / NANOS_PER_SECOND, 's'],
      [(nanos % NANOS_PER_SECOND) / NANOS_PER_MILLI, 'ms'],
      [(nanos % NANOS_PER_MILLI) / NANOS_PER_MICRO, 'us'],
      [nanos % NANOS_PER_MICRO, 'ns'],
    ];
    let text = negative ? '-' : '';
    for (const [amount, unit] of parts) if (amount > 0) text += `${amount}${unit}`;
    return text;
  }
}

/** The duration of a CQL value. Throws Invalid if it is malformed. */
export function decodeDuration(bytes: Uint8Array): Duration {
  if (bytes.length < 3) {
    throw invalidRequest(`Expected at least 3 bytes for a duration (${bytes.length})`);
  }
  const parts: bigint[] = [];
  let at = 0;
  for (let i = 0; i < 3; i++) {
    const raw = readUnsignedVint64(bytes, at);
    if (raw < 0n) throw invalidRequest('Not enough bytes to read a duration');
    parts.push(unzigzag(raw));
    at += 1 + vintExtraBytes(bytes[at]);
  }
  const [months, days, nanoseconds] = parts;
  requireInt32('months', months);
  requireInt32('days', days);
  const negative = months < 0n || days < 0n || nanoseconds < 0n;
  const positive = months > 0n || days > 0n || nanoseconds > 0n;
  if (negative && positive) {
    throw invalidRequest(
      `The duration months, days and nanoseconds must be all of the same sign (${months}, ${days}, ${nanoseconds})`,
    );
  }
  return new Duration(Number(months), Number(days), nanoseconds);
}

function requireInt32(name: string, value: bigint): void {
  if (value !== BigInt.asIntN(32, value)) {
    throw invalidRequest(`The duration ${name} must be a 32 bits integer but was: ${value}`);
  }
}

/** The CQL value of a duration. */
export function encodeDuration(value: Duration): Buffer {
  const out = new Writer(32);
  writeUnsignedVint(out, zigzag(BigInt(value.months)));
  writeUnsignedVint(out, zigzag(BigInt(value.days)));
  writeUnsignedVint(out, zigzag(value.nanoseconds));
  return out.copy();
}

interface Unit {
  readonly name: string;
  readonly field: 'months' | 'days' | 'nanoseconds';
  readonly size: bigint;
}

/** In the order in which they must come. */
const UNITS: readonly Unit[] = [
  { name: 'years', field: 'months', size: 12n },
  { name: 'months', field: 'months', size: 1n },
  { name: 'weeks', field: 'days', size: 7n },
  { name: 'days', field: 'days', size: 1n },
  { name: 'hours', field: 'nanoseconds', size: NANOS_PER_HOUR },
  { name: 'minutes', field: 'nanoseconds', size: NANOS_PER_MINUTE },
  { name: 'seconds', field: 'nanoseconds', size: NANOS_PER_SECOND },
  { name: 'milliseconds', field: 'nanoseconds', size: NANOS_PER_MILLI },
  { name: 'microseconds', field: 'nanoseconds', size: NANOS_PER_MICRO },
  { name: 'nanoseconds', field: 'nanoseconds', size: 1n },
];
const [YEARS, MONTHS, WEEKS, DAYS, HOURS, MINUTES, SECONDS, MILLIS, MICROS, NANOS] = UNITS.keys();

const SYMBOLS: ReadonlyMap<string, number> = new Map([
  ['y', YEARS],
  ['mo', MONTHS],
  ['w', WEEKS],
  ['d', DAYS],
  ['h', HOURS],
  ['m', MINUTES],
  ['s', SECONDS],
  ['ms', MILLIS],
  ['us', MICROS],
  ['µs', MICROS],
  ['ns', NANOS],
]);

class DurationBuilder {
  readonly #totals = { months: 0n, days: 0n, nanoseconds: 0n };
  #last = -1;

  add(unitIndex: number, digits: string): void {
    const unit = UNITS[unitIndex];
    if (unitIndex === this.#last) {
      throw invalidRequest(`Invalid duration. The ${unit.name} are specified multiple times`);
    }
    if (unitIndex < this.#last) {
      const last = UNITS[this.#last].name;
      throw invalidRequest(`Invalid duration. The ${last} should be after ${unit.name}`);
    }
    this.#last = unitIndex;
    const limit = unit.field === 'nanoseconds' ? INT64_MAX : INT32_MAX;
    const total = this.#totals[unit.field] + BigInt(digits) * unit.size;
    if (total > limit) {
      throw invalidRequest(
        `Invalid duration. The total number of ${unit.field} must be less or equal to 2147483647`,
      );
    }
    this.#totals[unit.field] = total;
  }

  build(negative: boolean): Duration {
    const { months, days, nanoseconds } = this.#totals;
    const sign = negative ? -1n : 1n;
    return new Duration(Number(sign * months), Number(sign * days), sign * nanoseconds);
  }
}

const STANDARD = /([0-9]+)(mo|ms|us|µs|ns|y|w|d|h|m|s)/iy;
const ISO =
  /^P(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?$/;
const ISO_WEEK = /^P([0-9]+)W$/;
const ISO_ALTERNATIVE = /^P([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})$/;
const ISO_UNITS = [YEARS, MONTHS, DAYS, HOURS, MINUTES, SECONDS];
const TEXT_MAX = 1000;

/**
 * Reads the three forms `1y2mo3w4d5h6m7s8ms9us10ns`, `P1Y2M3DT4H5M6S` (or `P2W`) and
 * `P0001-02-03T04:05:06`, each with an optional minus sign before it. Throws Invalid.
 */
export function parseDuration(text: string): Duration {
  const negative = text.startsWith('-');
  const source = negative ? text.slice(1) : text;
  const builder = new DurationBuilder();
  if (source.length > TEXT_MAX) throw unreadable(source);
  if (source.startsWith('P')) readIso(source, builder);
  else readStandard(source, builder);
  return builder.build(negative);
}

function unreadable(source: string): Error {
  return invalidRequest(`Unable to convert '${source}' to a duration`);
}

function readIso(source: string, builder: DurationBuilder): void {
  if (source.endsWith('W')) {
    const week = ISO_WEEK.exec(source);
    if (week === null) throw unreadable(source);
    builder.add(WEEKS, week[1]);
    return;
  }
  const match = (source.includes('-') ? ISO_ALTERNATIVE : ISO).exec(source);
  if (match === null) throw unreadable(source);
  for (let i = 0; i < ISO_UNITS.length; i++) {
    const digits = match[i + 1];
    if (digits !== undefined) builder.add(ISO_UNITS[i], digits);
  }
}

function readStandard(source: string, builder: DurationBuilder): void {
  STANDARD.lastIndex = 0;
  let end = 0;
  for (;;) {
    const match = STANDARD.exec(source);
    if (match === null) break;
    end = STANDARD.lastIndex;
    const unit = SYMBOLS.get(match[2].toLowerCase());
    if (unit === undefined) throw unreadable(source);
    builder.add(unit, match[1]);
  }
  if (end === 0 || end !== source.length) throw unreadable(source);
}
