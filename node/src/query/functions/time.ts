/** Functions of time and UUIDs. Source: org.apache.cassandra.cql3.functions.TimeFcts, UuidFcts. */
import { MILLIS_PER_DAY } from '../../types/calendar.ts';
import { encode } from '../../types/codec.ts';
import type { NativeTypeName } from '../../types/cql-type.ts';
import { nativeType } from '../../types/type-facts.ts';
import { maxTimeUuid, minTimeUuid, timeUuidMillis } from '../../types/uuid.ts';
import { strict, volatile } from './define.ts';
import type { EvaluationContext, ScalarFunction } from './function.ts';

const NANOS_PER_MILLI = 1_000_000n;

function bytesOf(type: NativeTypeName, value: number | bigint): Uint8Array {
  return encode(nativeType(type), value) ?? new Uint8Array(0);
}

const NOW: readonly (readonly [
  string,
  NativeTypeName,
  (context: EvaluationContext) => Uint8Array,
])[] = [
  ['now', 'timeuuid', (context) => context.timeUuid()],
  ['current_timeuuid', 'timeuuid', (context) => context.timeUuid()],
  ['currenttimeuuid', 'timeuuid', (context) => context.timeUuid()],
  ['current_timestamp', 'timestamp', timestampNow],
  ['currenttimestamp', 'timestamp', timestampNow],
  ['current_date', 'date', dateNow],
  ['currentdate', 'date', dateNow],
  ['current_time', 'time', timeNow],
  ['currenttime', 'time', timeNow],
  ['uuid', 'uuid', (context) => context.randomUuid()],
];

function timestampNow({ nowMillis }: EvaluationContext): Uint8Array {
  return bytesOf('timestamp', BigInt(Math.floor(nowMillis)));
}

function dateNow({ nowMillis }: EvaluationContext): Uint8Array {
  return bytesOf('date', Math.floor(nowMillis / MILLIS_PER_DAY));
}

function timeNow({ nowMillis }: EvaluationContext): Uint8Array {
  const inDay = Math.floor(nowMillis) % MILLIS_PER_DAY;
  return bytesOf('time', BigInt(inDay) * NANOS_PER_MILLI);
}

type Temporal = 'timeuuid' | 'timestamp' | 'date';

function toMillis(type: Temporal, value: unknown): bigint {
  if (type === 'timeuuid') return timeUuidMillis(value as Uint8Array);
  if (type === 'date') return BigInt(value as number) * BigInt(MILLIS_PER_DAY);
  return value as bigint;
}

/** Days since 1970 of a time in milliseconds, which may be before 1970. */
export function daysOfMillis(millis: bigint): number {
  const perDay = BigInt(MILLIS_PER_DAY);
  return Number(millis >= 0n ? millis / perDay : (millis - perDay + 1n) / perDay);
}

/** A function of this name from a temporal type to date. */
export function toDate(name: string, from: Temporal): ScalarFunction {
  return strict(name, [nativeType(from)], nativeType('date'), ([value]) =>
    daysOfMillis(toMillis(from, value)),
  );
}

/** A function of this name from a temporal type to timestamp, or to its milliseconds as a bigint. */
export function toInstant(
  name: string,
  from: Temporal,
  returns: 'timestamp' | 'bigint',
): ScalarFunction {
  return strict(name, [nativeType(from)], nativeType(returns), ([value]) => toMillis(from, value));
}

function timeUuidBound(name: string, bound: (millis: bigint) => Uint8Array): ScalarFunction {
  return strict(name, [nativeType('timestamp')], nativeType('timeuuid'), ([millis]) =>
    bound(millis as bigint),
  );
}

const CONVERSIONS: readonly ScalarFunction[] = [
  ...['to_date', 'todate'].flatMap((name) => [toDate(name, 'timeuuid'), toDate(name, 'timestamp')]),
  ...['to_timestamp', 'totimestamp'].flatMap((name) => [
    toInstant(name, 'timeuuid', 'timestamp'),
    toInstant(name, 'date', 'timestamp'),
  ]),
  ...['to_unix_timestamp', 'tounixtimestamp'].flatMap((name) => [
    toInstant(name, 'timeuuid', 'bigint'),
    toInstant(name, 'timestamp', 'bigint'),
    toInstant(name, 'date', 'bigint'),
  ]),
  toInstant('dateof', 'timeuuid', 'timestamp'),
  toInstant('unixtimestampof', 'timeuuid', 'bigint'),
];

export const TIME_FUNCTIONS: readonly ScalarFunction[] = [
  ...NOW.map(([name, type, call]) => volatile(name, nativeType(type), call)),
  ...['min_timeuuid', 'mintimeuuid'].map((name) => timeUuidBound(name, minTimeUuid)),
  ...['max_timeuuid', 'maxtimeuuid'].map((name) => timeUuidBound(name, maxTimeUuid)),
  ...CONVERSIONS,
];
