/** floor(time, duration[, start]). Source: org.apache.cassandra.cql3.functions.TimeFcts, Duration. */
import { invalidRequest } from '../../common/errors.ts';
import { MILLIS_PER_DAY, NANOS_PER_DAY } from '../../types/calendar.ts';
import type { CqlType, NativeTypeName } from '../../types/cql-type.ts';
import type { Duration } from '../../types/duration.ts';
import { nativeType } from '../../types/type-facts.ts';
import { timeUuidMillis } from '../../types/uuid.ts';
import { strict } from './define.ts';
import { floorMillis, NANOS_PER_MILLI } from './durations.ts';
import type { ScalarFunction } from './function.ts';

const PER_DAY = BigInt(MILLIS_PER_DAY);

function refuseNegative(duration: Duration): void {
  if (duration.months < 0 || duration.days < 0 || duration.nanoseconds < 0n) {
    throw invalidRequest('Negative durations are not supported by the floor function');
  }
}

function floorTimestamp(millis: bigint, duration: Duration, start: bigint): bigint {
  if (start > millis) {
    throw invalidRequest('The floor function starting time is greater than the provided time');
  }
  refuseNegative(duration);
  if (duration.nanoseconds % NANOS_PER_MILLI !== 0n) {
    throw invalidRequest(
      `The floor cannot be computed for the ${duration} duration as precision is below 1 millisecond`,
    );
  }
  return floorMillis(millis, duration, start);
}

function floorDate(days: number, duration: Duration, start: number): number {
  if (duration.nanoseconds !== 0n) {
    throw invalidRequest(
      `The floor on date values cannot be computed for the ${duration} duration as precision is below 1 day`,
    );
  }
  const millis = floorTimestamp(BigInt(days) * PER_DAY, duration, BigInt(start) * PER_DAY);
  return Number(millis / PER_DAY);
}

function floorTime(nanos: bigint, duration: Duration): bigint {
  if (duration.months !== 0 || duration.days !== 0 || duration.nanoseconds > NANOS_PER_DAY) {
    throw invalidRequest(
      'For time values, the floor can only be computed for durations smaller that a day',
    );
  }
  refuseNegative(duration);
  return duration.nanoseconds === 0n ? nanos : nanos - (nanos % duration.nanoseconds);
}

function floor(
  args: readonly NativeTypeName[],
  returns: NativeTypeName,
  compute: Parameters<typeof strict>[3],
): ScalarFunction {
  const types: CqlType[] = args.map(nativeType);
  return strict('floor', types, nativeType(returns), compute);
}

/** Both the form with a start and that from 1970 on. */
function both(
  of: 'timestamp' | 'timeuuid',
  millis: (value: unknown) => bigint,
): readonly ScalarFunction[] {
  return [
    floor([of, 'duration'], 'timestamp', ([value, by]) =>
      floorTimestamp(millis(value), by as Duration, 0n),
    ),
    floor([of, 'duration', 'timestamp'], 'timestamp', ([value, by, start]) =>
      floorTimestamp(millis(value), by as Duration, start as bigint),
    ),
  ];
}

export const FLOOR_FUNCTIONS: readonly ScalarFunction[] = [
  ...both('timestamp', (value) => value as bigint),
  ...both('timeuuid', (value) => timeUuidMillis(value as Uint8Array)),
  floor(['date', 'duration'], 'date', ([value, by]) =>
    floorDate(value as number, by as Duration, 0),
  ),
  floor(['date', 'duration', 'date'], 'date', ([value, by, start]) =>
    floorDate(value as number, by as Duration, start as number),
  ),
  floor(['time', 'duration'], 'time', ([value, by]) => floorTime(value as bigint, by as Duration)),
];
