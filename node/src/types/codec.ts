/**
 * CQL values as plain JavaScript values, for functions, aggregates and tests; the canonical form of
 * values. A null is never bytes: callers pass null on as null.
 */
import { asBuffer, equalBytes, readInt32, readInt64, Writer } from '../common/bytes.ts';
import { invalidRequest, serverError } from '../common/errors.ts';
import { packValue, partType, presentFields, splitValue } from './collections.ts';
import { compareValues } from './compare.ts';
import type { CqlType, NativeTypeName } from './cql-type.ts';
import { Decimal, decodeDecimal, encodeDecimal } from './decimal.ts';
import { Duration, decodeDuration, encodeDuration } from './duration.ts';
import { typeName } from './type-names.ts';
import { decodeVarint, encodeVarint } from './vint.ts';

export { compareValues } from './compare.ts';
export { validate } from './validate.ts';

/**
 * What each type decodes to:
 * - tinyint, smallint, int, float, double: number; date: number of days since 1970-01-01
 * - bigint, counter, varint: bigint; time: bigint of nanoseconds; timestamp: bigint of milliseconds
 * - text, ascii: string; boolean: boolean; decimal: Decimal; duration: Duration
 * - blob, custom, uuid, timeuuid (16 bytes), inet (4 or 16 bytes): a view on the bytes
 * - list, set, vector, tuple, UDT: array in order; map: array of [key, value]
 * Empty values of types that have none (a zero-length int) are null.
 */
export type CqlValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Decimal
  | Duration
  | readonly CqlValue[];

/** The JavaScript value of a valid CQL value. Throws Invalid where malformed bytes are met. */
export function decode(type: CqlType, bytes: Uint8Array | null): CqlValue {
  if (bytes === null) return null;
  if (type.kind === 'native') return decodeNative(type.name, bytes);
  if (type.kind === 'custom') return bytes;
  if (bytes.length === 0) return null;
  const values = splitValue(type, bytes).map((part, i) => decode(partType(type, i), part));
  if (type.kind !== 'map') return values;
  const entries: CqlValue[] = [];
  for (let i = 0; i < values.length; i += 2) entries.push([values[i], values[i + 1]]);
  return entries;
}

function decodeNative(name: NativeTypeName, bytes: Uint8Array): CqlValue {
  switch (name) {
    case 'blob':
      return bytes;
    case 'ascii':
    case 'text':
      return asBuffer(bytes).toString('utf8');
    default:
      return bytes.length === 0 ? null : decodeScalar(name, bytes);
  }
}

/** A value that is not empty, of a type other than text and blob. */
function decodeScalar(name: NativeTypeName, bytes: Uint8Array): CqlValue {
  const buffer = asBuffer(bytes);
  requireLength(name, bytes);
  switch (name) {
    case 'boolean':
      return bytes[0] !== 0;
    case 'tinyint':
      return buffer.readInt8();
    case 'smallint':
      return buffer.readInt16BE();
    case 'int':
      return readInt32(bytes, 0);
    case 'date':
      return readInt32(bytes, 0) + (bytes[0] < 0x80 ? -0x80000000 : 0x80000000);
    case 'bigint':
    case 'counter':
    case 'time':
    case 'timestamp':
      return readInt64(bytes, 0);
    case 'float':
      return buffer.readFloatBE();
    case 'double':
      return buffer.readDoubleBE();
    case 'varint':
      return decodeVarint(bytes);
    case 'decimal':
      return decodeDecimal(bytes);
    case 'duration':
      return decodeDuration(bytes);
    default:
      return bytes;
  }
}

const LENGTHS: Readonly<Partial<Record<NativeTypeName, number>>> = {
  boolean: 1,
  tinyint: 1,
  smallint: 2,
  int: 4,
  date: 4,
  float: 4,
  bigint: 8,
  counter: 8,
  time: 8,
  timestamp: 8,
  double: 8,
  uuid: 16,
  timeuuid: 16,
};

function requireLength(name: NativeTypeName, bytes: Uint8Array): void {
  if (!isLengthOf(name, bytes.length)) {
    throw invalidRequest(`A value of ${bytes.length} bytes is not of type ${name}`);
  }
}

function isLengthOf(name: NativeTypeName, length: number): boolean {
  switch (name) {
    case 'decimal':
      return length >= 4;
    case 'inet':
      return length === 4 || length === 16;
    case 'varint':
    case 'duration':
      return true;
    default:
      return length === LENGTHS[name];
  }
}

/**
 * The CQL value of a JavaScript value in the form that `decode` gives, canonical (sets and maps
 * sorted). Throws ServerError if the value is of another form: callers know their types.
 */
export function encode(type: CqlType, value: CqlValue): Buffer | null {
  if (value === null) return null;
  if (type.kind === 'native') return encodeNative(type.name, value);
  if (value instanceof Uint8Array && type.kind === 'custom') return asBuffer(value);
  if (!Array.isArray(value)) throw wrongForm(type, value);
  const flat: readonly CqlValue[] = type.kind === 'map' ? value.flat(1) : value;
  const parts = flat.map((part, i) => encode(partType(type, i), part));
  return packValue(
    type,
    type.kind === 'set' || type.kind === 'map' ? sortParts(type, parts) : parts,
  );
}

function wrongForm(type: CqlType, value: CqlValue): Error {
  return serverError(`Cannot encode a ${typeof value} as ${typeName(type)}`);
}

function encodeNative(name: NativeTypeName, value: CqlValue): Buffer {
  let encoded: Buffer | null = null;
  if (typeof value === 'number') encoded = encodeNumber(name, value);
  else if (typeof value === 'bigint') encoded = encodeBigint(name, value);
  else if (typeof value === 'string') encoded = isText(name) ? Buffer.from(value) : null;
  else if (typeof value === 'boolean') {
    encoded = name === 'boolean' ? Buffer.from([value ? 1 : 0]) : null;
  } else if (value instanceof Decimal) encoded = name === 'decimal' ? encodeDecimal(value) : null;
  else if (value instanceof Duration) encoded = name === 'duration' ? encodeDuration(value) : null;
  else if (value instanceof Uint8Array) encoded = asBuffer(value);
  if (encoded === null) throw wrongForm({ kind: 'native', name }, value);
  return encoded;
}

function isText(name: NativeTypeName): boolean {
  return name === 'text' || name === 'ascii';
}

function encodeNumber(name: NativeTypeName, value: number): Buffer | null {
  const out = new Writer(16);
  switch (name) {
    case 'tinyint':
      out.u8(value);
      break;
    case 'smallint':
      out.u16(value);
      break;
    case 'int':
      out.i32(value);
      break;
    case 'date':
      out.i32(value + 0x80000000);
      break;
    case 'float':
      out.f32(value);
      break;
    case 'double':
      out.f64(value);
      break;
    default:
      return null;
  }
  return out.view();
}

function encodeBigint(name: NativeTypeName, value: bigint): Buffer | null {
  switch (name) {
    case 'varint':
      return encodeVarint(value);
    case 'bigint':
    case 'counter':
    case 'time':
    case 'timestamp': {
      const bytes = Buffer.allocUnsafe(8);
      bytes.writeBigInt64BE(BigInt.asIntN(64, value));
      return bytes;
    }
    default:
      return null;
  }
}

type Part = Buffer | null;

/** Elements or entries sorted and without duplicates; of equal keys the last one counts. */
function sortParts(type: CqlType, parts: readonly Part[]): readonly Part[] {
  const step = type.kind === 'map' ? 2 : 1;
  const keyType = partType(type, 0);
  if (isSorted(keyType, parts, step)) return parts;
  const starts: number[] = [];
  for (let i = 0; i < parts.length; i += step) starts.push(i);
  const order = (a: number, b: number): number =>
    compareValues(keyType, requirePart(parts[a]), requirePart(parts[b]));
  starts.sort((a, b) => order(a, b) || a - b);
  const sorted: Part[] = [];
  for (let i = 0; i < starts.length; i++) {
    if (i + 1 < starts.length && order(starts[i], starts[i + 1]) === 0) continue;
    for (let j = 0; j < step; j++) sorted.push(parts[starts[i] + j]);
  }
  return sorted;
}

function requirePart(part: Part): Buffer {
  if (part === null) throw invalidRequest('Null value read when not allowed');
  return part;
}

function isSorted(keyType: CqlType, parts: readonly Part[], step: number): boolean {
  for (let i = step; i < parts.length; i += step) {
    if (compareValues(keyType, requirePart(parts[i - step]), requirePart(parts[i])) >= 0) {
      return false;
    }
  }
  return true;
}

/**
 * The canonical bytes of a valid value: sets and maps, also inside others, sorted and without
 * duplicates, as Cassandra stores what clients send in any order. The argument itself if it is
 * canonical already.
 */
export function canonical(type: CqlType, bytes: Uint8Array): Uint8Array {
  if (type.kind === 'native' || type.kind === 'custom' || bytes.length === 0) return bytes;
  if (!mayReorder(type)) return bytes;
  const parts = splitValue(type, bytes).map((part, i) =>
    part === null ? null : asBuffer(canonical(partType(type, i), part)),
  );
  const sorted = type.kind === 'set' || type.kind === 'map' ? sortParts(type, parts) : parts;
  // Fields that a tuple's bytes leave out at the end stay left out.
  const isTuple = type.kind === 'tuple' || type.kind === 'udt';
  const packed = packValue(type, isTuple ? sorted.slice(0, presentFields(bytes)) : sorted);
  return equalBytes(packed, bytes) ? bytes : packed;
}

function mayReorder(type: CqlType): boolean {
  switch (type.kind) {
    case 'set':
    case 'map':
      return true;
    case 'list':
    case 'vector':
      return mayReorder(type.element);
    case 'tuple':
      return type.fields.some(mayReorder);
    case 'udt':
      return type.fieldTypes.some(mayReorder);
    default:
      return false;
  }
}
