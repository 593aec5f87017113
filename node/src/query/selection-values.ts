/** Parts of values, and what is known of their cells, as selectors show them. */
import { compareValues } from '../types/codec.ts';
import { packCollection, packTuple, splitCollection } from '../types/collections.ts';
import type { CqlType, UserType } from '../types/cql-type.ts';
import type { CellStamp } from './row.ts';

/** The stamp of each field, null where it has no value. */
export function byField(type: UserType, stamps: readonly CellStamp[]): (CellStamp | null)[] {
  const fields: (CellStamp | null)[] = type.fieldNames.map(() => null);
  for (const stamp of stamps) {
    if (stamp.path !== null) fields[(stamp.path[0] << 8) | stamp.path[1]] = stamp;
  }
  return fields;
}

/** A stamp as writetime() or ttl() shows it. */
export function encodeStamp(
  stamp: CellStamp,
  what: 'writetime' | 'maxwritetime' | 'ttl',
): Uint8Array | null {
  if (what === 'ttl') {
    if (stamp.ttl === null) return null;
    const ttl = Buffer.allocUnsafe(4);
    ttl.writeInt32BE(stamp.ttl);
    return ttl;
  }
  const time = Buffer.allocUnsafe(8);
  time.writeBigInt64BE(stamp.timestamp);
  return time;
}

/** A list that may hold nulls (TTLs of a collection's cells). */
export function packNullable(items: readonly (Uint8Array | null)[]): Uint8Array {
  const count = Buffer.allocUnsafe(4);
  count.writeInt32BE(items.length);
  return Buffer.concat([count, packTuple(items)]);
}

/** The value at a key of a map, or the element of a set; null: it is not there. */
export function elementOf(
  kind: 'map' | 'set',
  keyType: CqlType,
  whole: Uint8Array,
  wanted: Uint8Array,
): Uint8Array | null {
  const parts = splitCollection(kind, whole);
  const step = kind === 'map' ? 2 : 1;
  for (let i = 0; i < parts.length; i += step) {
    if (compareValues(keyType, parts[i], wanted) === 0) return parts[i + step - 1];
  }
  return null;
}

/** The part of a set or map between two keys, both included; null: no bound. */
export function sliceOf(
  kind: 'map' | 'set',
  keyType: CqlType,
  whole: Uint8Array,
  low: Uint8Array | null,
  high: Uint8Array | null,
): Uint8Array {
  const parts = splitCollection(kind, whole);
  const step = kind === 'map' ? 2 : 1;
  const kept: Uint8Array[] = [];
  for (let i = 0; i < parts.length; i += step) {
    if (low !== null && compareValues(keyType, parts[i], low) < 0) continue;
    if (high !== null && compareValues(keyType, parts[i], high) > 0) continue;
    kept.push(...parts.slice(i, i + step));
  }
  return packCollection(kept.length / step, kept);
}
