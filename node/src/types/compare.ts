/** Cassandra's order of the values of a type; bytewise order of ordered forms is the same. */
import { compareBytes, readInt32 } from '../common/bytes.ts';
import { partType, splitValue } from './collections.ts';
import type { CqlType, NativeTypeName } from './cql-type.ts';
import { compareDecimals, decodeDecimal } from './decimal.ts';
import { decodeVarint } from './vint.ts';

/**
 * Negative, 0 or positive; both valid values of the type. Empty values sort first. Source:
 * AbstractType.compare of each type.
 */
export function compareValues(type: CqlType, a: Uint8Array, b: Uint8Array): number {
  if (a.length === 0 || b.length === 0) return a.length - b.length;
  switch (type.kind) {
    case 'native':
      return compareNative(type.name, a, b);
    case 'custom':
      return compareBytes(a, b);
    default:
      return compareParts(type, splitValue(type, a), splitValue(type, b));
  }
}

function compareParts(
  type: CqlType,
  a: readonly (Uint8Array | null)[],
  b: readonly (Uint8Array | null)[],
): number {
  const count = Math.min(a.length, b.length);
  for (let i = 0; i < count; i++) {
    const left = a[i];
    const right = b[i];
    if (left === null || right === null) {
      if (left !== right) return left === null ? -1 : 1;
      continue;
    }
    const order = compareValues(partType(type, i), left, right);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function compareNative(name: NativeTypeName, a: Uint8Array, b: Uint8Array): number {
  switch (name) {
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'counter':
    case 'time':
    case 'timestamp':
      return compareSigned(a, b);
    case 'boolean':
      return (a[0] === 0 ? 0 : 1) - (b[0] === 0 ? 0 : 1);
    case 'float':
    case 'double':
      return compareFloats(floatOf(a), floatOf(b));
    case 'varint':
      return compareVarints(a, b);
    case 'decimal':
      return compareDecimals(decodeDecimal(a), decodeDecimal(b));
    case 'uuid':
      return compareUuids(a, b);
    case 'timeuuid':
      return compareTimeUuids(a, b);
    default:
      return compareBytes(a, b);
  }
}

/** Two's complement of the same length. */
function compareSigned(a: Uint8Array, b: Uint8Array): number {
  const order = (a[0] ^ 0x80) - (b[0] ^ 0x80);
  return order !== 0 ? order : compareBytes(a, b);
}

const VIEW = new DataView(new ArrayBuffer(8));

function floatOf(bytes: Uint8Array): number {
  VIEW.setInt32(0, readInt32(bytes, 0));
  if (bytes.length === 4) return VIEW.getFloat32(0);
  VIEW.setInt32(4, readInt32(bytes, 4));
  return VIEW.getFloat64(0);
}

/** As Double.compare(): -0.0 before 0.0, NaN last and equal to itself. */
function compareFloats(a: number, b: number): number {
  if (a < b) return -1;
  if (a > b) return 1;
  if (a === b) return a === 0 ? Number(Object.is(b, -0)) - Number(Object.is(a, -0)) : 0;
  return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
}

function compareVarints(a: Uint8Array, b: Uint8Array): number {
  if (a.length === b.length) return compareSigned(a, b);
  const left = decodeVarint(a);
  const right = decodeVarint(b);
  return left < right ? -1 : Number(left > right);
}

/** By version; time-based ones then by time; then bytewise. */
function compareUuids(a: Uint8Array, b: Uint8Array): number {
  const version = a[6] >> 4;
  const order = version - (b[6] >> 4);
  if (order !== 0) return order;
  if (version === 1) {
    const time = compareTimestamps(a, b);
    if (time !== 0) return time;
  }
  return compareBytes(a, b);
}

function compareTimestamps(a: Uint8Array, b: Uint8Array): number {
  for (const i of [6, 7, 4, 5, 0, 1, 2, 3]) {
    const order = a[i] - b[i];
    if (order !== 0) return order;
  }
  return 0;
}

/** By time; then the last 8 bytes as signed ones, an accident that all data is sorted by. */
function compareTimeUuids(a: Uint8Array, b: Uint8Array): number {
  const time = compareTimestamps(a, b);
  if (time !== 0) return time;
  for (let i = 8; i < 16; i++) {
    const order = (a[i] ^ 0x80) - (b[i] ^ 0x80);
    if (order !== 0) return order;
  }
  return 0;
}
