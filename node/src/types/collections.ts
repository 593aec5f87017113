/**
 * The layouts of composite values (native protocol v3 and later): list, set and map are an i32 count
 * and `[bytes]` elements; tuple and UDT are `[bytes]` fields, fewer at the end allowed; vectors are
 * packed elements, or with unsigned vint lengths where the element type has no fixed length.
 * Parts come back as views on the value.
 */
import { asBuffer, readInt32, Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import type { CqlType, VectorType } from './cql-type.ts';
import { vectorElementLength } from './type-facts.ts';
import { typeName } from './type-names.ts';
import { readUnsignedVint, vintExtraBytes, writeUnsignedVint } from './vint.ts';

/** The count of a list, set or map; 0 for an empty value. Throws Invalid if it cannot be read. */
export function collectionCount(kind: 'list' | 'set' | 'map', bytes: Uint8Array): number {
  if (bytes.length === 0) return 0;
  if (bytes.length < 4) throw tooShort(kind);
  const count = readInt32(bytes, 0);
  if (count < 0) throw invalidRequest(`The data cannot be deserialized as a ${kind}`);
  return count;
}

function tooShort(kind: string): Error {
  return invalidRequest(`Not enough bytes to read a ${kind}`);
}

/** The end of the `[bytes]` element at `at`. Throws Invalid if it is null or cut short. */
export function elementEnd(kind: string, bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw tooShort(kind);
  const length = readInt32(bytes, at);
  if (length < 0) throw invalidRequest('Null value read when not allowed');
  if (length > bytes.length - at - 4) throw tooShort(kind);
  return at + 4 + length;
}

/** The elements of a list or set, or of a map as key, value, key, value … */
export function splitCollection(kind: 'list' | 'set' | 'map', bytes: Uint8Array): Buffer[] {
  const buffer = asBuffer(bytes);
  const count = collectionCount(kind, bytes) * (kind === 'map' ? 2 : 1);
  const parts: Buffer[] = [];
  let at = 4;
  for (let i = 0; i < count; i++) {
    const end = elementEnd(kind, bytes, at);
    parts.push(buffer.subarray(at + 4, end));
    at = end;
  }
  if (bytes.length > at) throw invalidRequest(`Unexpected extraneous bytes after ${kind} value`);
  return parts;
}

/** A list, set or map of `count` elements (entries) from their parts. */
export function packCollection(count: number, parts: readonly Uint8Array[]): Buffer {
  const out = new Writer(4 + parts.reduce((sum, part) => sum + 4 + part.length, 0));
  out.i32(count);
  for (const part of parts) out.bytes(part);
  return out.view();
}

/** The fields of a tuple or UDT of `count` fields; null for null and for those missing at the end. */
export function splitTuple(count: number, bytes: Uint8Array): (Buffer | null)[] {
  const buffer = asBuffer(bytes);
  const fields: (Buffer | null)[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at === bytes.length) {
      fields.push(null);
      continue;
    }
    if (at + 4 > bytes.length) {
      throw invalidRequest(`Not enough bytes to read size of ${i}th component`);
    }
    const length = readInt32(bytes, at);
    at += 4;
    if (length > bytes.length - at) {
      throw invalidRequest(`Not enough bytes to read ${i}th component`);
    }
    fields.push(length < 0 ? null : buffer.subarray(at, at + length));
    if (length > 0) at += length;
  }
  if (at < bytes.length) throw invalidRequest('Invalid remaining data after end of tuple value');
  return fields;
}

/** How many fields a valid tuple's bytes have; those added to the type later are missing. */
export function presentFields(bytes: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < bytes.length; count++) at += 4 + Math.max(0, readInt32(bytes, at));
  return count;
}

/** A tuple or UDT from its fields. */
export function packTuple(fields: readonly (Uint8Array | null)[]): Buffer {
  const out = new Writer(fields.reduce((sum, field) => sum + 4 + (field?.length ?? 0), 0));
  for (const field of fields) out.bytes(field);
  return out.view();
}

/** The elements of a non-empty vector. */
export function splitVector(type: VectorType, bytes: Uint8Array): Buffer[] {
  const buffer = asBuffer(bytes);
  const fixed = vectorElementLength(type.element);
  const parts: Buffer[] = [];
  let at = 0;
  for (let i = 0; i < type.dimension; i++) {
    let length = fixed;
    if (fixed === 0) {
      length = vectorLengthAt(type, bytes, at);
      at += 1 + vintExtraBytes(bytes[at]);
    }
    if (length > bytes.length - at) throw vectorTooShort(type);
    parts.push(buffer.subarray(at, at + length));
    at += length;
  }
  if (at < bytes.length) throw vectorTooLong(type, bytes.length - at);
  return parts;
}

/** The length of the vector element whose prefix is at `at`. Throws Invalid if it is cut short. */
export function vectorLengthAt(type: VectorType, bytes: Uint8Array, at: number): number {
  const length = readUnsignedVint(bytes, at);
  if (length < 0) throw vectorTooShort(type);
  return length;
}

export function vectorTooShort(type: VectorType): Error {
  return invalidRequest(`Not enough bytes to read a ${typeName(type)}`);
}

export function vectorTooLong(type: VectorType, extraBytes: number): Error {
  return invalidRequest(`Unexpected ${extraBytes} extraneous bytes after ${typeName(type)} value`);
}

/** A vector from its elements; as many as its dimension, none null. */
export function packVector(type: VectorType, parts: readonly Uint8Array[]): Buffer {
  const out = new Writer(parts.reduce((sum, part) => sum + 5 + part.length, 0));
  const fixed = vectorElementLength(type.element) > 0;
  for (const part of parts) {
    if (!fixed) writeUnsignedVint(out, BigInt(part.length));
    out.raw(part);
  }
  return out.view();
}

/**
 * The parts of a composite value and the type of each: elements, map keys and values by turns,
 * fields. For a native or custom type there are none.
 */
export function splitValue(type: CqlType, bytes: Uint8Array): (Buffer | null)[] {
  switch (type.kind) {
    case 'list':
    case 'set':
    case 'map':
      return splitCollection(type.kind, bytes);
    case 'tuple':
      return splitTuple(type.fields.length, bytes);
    case 'udt':
      return splitTuple(type.fieldTypes.length, bytes);
    case 'vector':
      return splitVector(type, bytes);
    default:
      return [];
  }
}

/** The inverse of `splitValue` for composite types. */
export function packValue(type: CqlType, parts: readonly (Uint8Array | null)[]): Buffer {
  switch (type.kind) {
    case 'tuple':
    case 'udt':
      return packTuple(parts);
    case 'vector':
      return packVector(type, requireAll(parts));
    default:
      return packCollection(parts.length / (type.kind === 'map' ? 2 : 1), requireAll(parts));
  }
}

function requireAll(parts: readonly (Uint8Array | null)[]): readonly Uint8Array[] {
  for (const part of parts) {
    if (part === null) throw invalidRequest('Null value read when not allowed');
  }
  return parts as readonly Uint8Array[];
}

/** The type of part `index` of a composite type. */
export function partType(type: CqlType, index: number): CqlType {
  switch (type.kind) {
    case 'map':
      return index % 2 === 0 ? type.key : type.value;
    case 'tuple':
      return type.fields[index];
    case 'udt':
      return type.fieldTypes[index];
    case 'list':
    case 'set':
    case 'vector':
      return type.element;
    default:
      return type;
  }
}
