/** Consistency levels: what may be asked for at which. Source: Cassandra's ConsistencyLevel. */
import { type CqlError, invalidRequest } from '../common/errors.ts';

/** By the protocol's numbers. */
export const Level = {
  ANY: 0,
  ONE: 1,
  TWO: 2,
  THREE: 3,
  QUORUM: 4,
  ALL: 5,
  LOCAL_QUORUM: 6,
  EACH_QUORUM: 7,
  SERIAL: 8,
  LOCAL_SERIAL: 9,
  LOCAL_ONE: 10,
} as const;

/** Nodes of other datacenters neither count nor are waited for. */
export function isDatacenterLocal(level: number): boolean {
  return level === Level.LOCAL_ONE || level === Level.LOCAL_QUORUM || level === Level.LOCAL_SERIAL;
}

export function isSerial(level: number): boolean {
  return level === Level.SERIAL || level === Level.LOCAL_SERIAL;
}

/** Reads at this level see what was read before at it, whatever is lost; and so they do while ranges move. */
export function isMonotonic(level: number): boolean {
  return (
    level === Level.QUORUM ||
    level === Level.LOCAL_QUORUM ||
    level === Level.EACH_QUORUM ||
    level === Level.ALL
  );
}

/** The level at which a serial read reads after it has settled what was open. */
export function quorumOf(serial: number): number {
  return serial === Level.LOCAL_SERIAL ? Level.LOCAL_QUORUM : Level.QUORUM;
}

/** @returns why nothing is read at this level, or null */
export function checkReadLevel(level: number): CqlError | null {
  return level === Level.ANY
    ? invalidRequest('ANY ConsistencyLevel is only supported for writes')
    : null;
}

/** @returns why nothing is written at this level, or null */
export function checkWriteLevel(level: number): CqlError | null {
  return isSerial(level)
    ? invalidRequest('You must use conditional updates for serializable writes')
    : null;
}

/** @returns why nothing is counted at this level, or null */
export function checkCounterLevel(level: number, table: string): CqlError | null {
  if (level === Level.ANY) {
    return invalidRequest(`Consistency level ANY is not yet supported for counter table ${table}`);
  }
  return isSerial(level)
    ? invalidRequest('Counter operations are inherently non-serializable')
    : null;
}

const LEVEL_NAMES = Object.keys(Level);

/** @returns why there is no conditional write at these levels, or null */
export function checkConditionalLevels(
  level: number,
  serial: number,
  isNetworkTopology: boolean,
): CqlError | null {
  if (!isSerial(serial)) {
    return invalidRequest(
      'Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL',
    );
  }
  if (isSerial(level)) {
    return invalidRequest(
      `${LEVEL_NAMES[level]} is not supported as conditional update commit consistency. Use ANY if you mean "make sure it is accepted but I don't care how many replicas commit it for non-SERIAL reads"`,
    );
  }
  if (level === Level.EACH_QUORUM && !isNetworkTopology) {
    return invalidRequest(
      'consistency level EACH_QUORUM not compatible with replication strategy (org.apache.cassandra.locator.SimpleStrategy)',
    );
  }
  return null;
}
