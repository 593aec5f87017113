/**
 * Whether bytes from a client are a value of a type. Run for every bound value: allocates nothing for
 * native types. @hot
 */
import { isUtf8 } from 'node:buffer';
import { asBuffer, readInt32 } from '../common/bytes.ts';
import { CqlError, invalidRequest } from '../common/errors.ts';
import {
  collectionCount,
  elementEnd,
  vectorLengthAt,
  vectorTooLong,
  vectorTooShort,
} from './collections.ts';
import type { CqlType, NativeTypeName, TupleType, UserType, VectorType } from './cql-type.ts';
import { decodeDuration } from './duration.ts';
import { vectorElementLength } from './type-facts.ts';
import { vintExtraBytes } from './vint.ts';

/** Throws Invalid, with Cassandra's words, unless `bytes` are a value of the type. */
export function validate(type: CqlType, bytes: Uint8Array): void {
  switch (type.kind) {
    case 'native':
      validateNative(type.name, bytes);
      break;
    case 'list':
    case 'set':
    case 'map':
      validateCollection(type, bytes);
      break;
    case 'tuple':
    case 'udt':
      validateFields(type, bytes);
      break;
    case 'vector':
      validateVector(type, bytes);
      break;
    case 'custom':
  }
}

function validateNative(name: NativeTypeName, bytes: Uint8Array): void {
  const { length } = bytes;
  switch (name) {
    case 'text':
      if (!isValidText(bytes)) throw invalidRequest("String didn't validate.");
      return;
    case 'ascii':
      for (let i = 0; i < length; i++) if (bytes[i] >= 0x80) throw notAscii(bytes[i]);
      return;
    case 'blob':
    case 'varint':
      return;
    case 'int':
      if (length !== 4 && length !== 0) throw wrongLength('4 or 0 byte int', length);
      return;
    case 'bigint':
    case 'counter':
      if (length !== 8 && length !== 0) throw wrongLength('8 or 0 byte long', length);
      return;
    case 'timestamp':
      if (length !== 8 && length !== 0) throw wrongLength('8 or 0 byte long for date', length);
      return;
    case 'uuid':
      if (length !== 16 && length !== 0) throw badUuid(length);
      return;
    case 'timeuuid':
      if (length !== 16 && length !== 0) throw badUuid(length);
      if (length === 16 && bytes[6] >> 4 !== 1) throw badVersion(bytes);
      return;
    case 'boolean':
      if (length > 1) throw wrongLength('1 or 0 byte value', length);
      return;
    default:
      validateRare(name, bytes);
  }
}

function validateRare(name: NativeTypeName, bytes: Uint8Array): void {
  const { length } = bytes;
  switch (name) {
    case 'float':
      if (length !== 4 && length !== 0) throw wrongLength('4 or 0 byte value for a float', length);
      return;
    case 'double':
      if (length !== 8 && length !== 0) throw wrongLength('8 or 0 byte value for a double', length);
      return;
    case 'tinyint':
      if (length !== 1) throw wrongLength('1 byte for a tinyint', length);
      return;
    case 'smallint':
      if (length !== 2) throw wrongLength('2 bytes for a smallint', length);
      return;
    case 'date':
      if (length !== 4) throw wrongLength('4 byte long for date', length);
      return;
    case 'time':
      if (length !== 8) throw wrongLength('8 byte long for time', length);
      return;
    case 'decimal':
      if (length !== 0 && length < 4) throw wrongLength('0 or at least 4 bytes', length);
      return;
    case 'inet':
      if (length !== 4 && length !== 16 && length !== 0) throw badInet(bytes);
      return;
    case 'duration':
      decodeDuration(bytes);
      return;
    default:
      if (length !== 0) throw invalidRequest('EmptyType only accept empty values');
  }
}

function wrongLength(expected: string, length: number): Error {
  return invalidRequest(`Expected ${expected} (${length})`);
}

function notAscii(byte: number): Error {
  return invalidRequest(`Invalid byte for ascii: ${byte - 256}`);
}

function badUuid(length: number): Error {
  return invalidRequest(`UUID should be 16 or 0 bytes (${length})`);
}

function badVersion(bytes: Uint8Array): Error {
  return invalidRequest(`Invalid version for TimeUUID type: 0x${(bytes[0] >> 4).toString(16)}`);
}

function badInet(bytes: Uint8Array): Error {
  const hex = asBuffer(bytes).toString('hex');
  return invalidRequest(`Expected 4 or 16 byte inetaddress; got ${hex}`);
}

/** Up to this many bytes a loop over ASCII is cheaper than the native check. */
const SHORT_TEXT_BYTES = 32;

function isValidText(bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (length > SHORT_TEXT_BYTES) return isUtf8(bytes);
  for (let i = 0; i < length; i++) if (bytes[i] >= 0x80) return isUtf8(bytes);
  return true;
}

function validateCollection(
  type: CqlType & { kind: 'list' | 'set' | 'map' },
  bytes: Uint8Array,
): void {
  const { kind } = type;
  if (bytes.length === 0) throw invalidRequest(`Not enough bytes to read a ${kind}`);
  const count = collectionCount(kind, bytes);
  let at = 4;
  for (let i = 0; i < count; i++) {
    const end = elementEnd(kind, bytes, at);
    validate(kind === 'map' ? type.key : type.element, bytes.subarray(at + 4, end));
    at = end;
    if (kind !== 'map') continue;
    const valueEnd = elementEnd(kind, bytes, at);
    validate(type.value, bytes.subarray(at + 4, valueEnd));
    at = valueEnd;
  }
  if (at < bytes.length) throw invalidRequest(`Unexpected extraneous bytes after ${kind} value`);
}

function validateFields(type: TupleType | UserType, bytes: Uint8Array): void {
  const isTuple = type.kind === 'tuple';
  const types = isTuple ? type.fields : type.fieldTypes;
  let at = 0;
  for (let i = 0; i < types.length; i++) {
    if (at === bytes.length) return;
    const what = isTuple ? `${i}th component` : `${i}th field ${type.fieldNames[i]}`;
    if (at + 4 > bytes.length) {
      throw invalidRequest(`Not enough bytes to read size of ${what}`);
    }
    const length = readInt32(bytes, at);
    at += 4;
    if (length < 0) continue;
    if (length > bytes.length - at) throw invalidRequest(`Not enough bytes to read ${what}`);
    if (isTuple) validate(types[i], bytes.subarray(at, at + length));
    else validateUserField(type, i, bytes.subarray(at, at + length));
    at += length;
  }
  if (at < bytes.length) {
    throw invalidRequest(`Invalid remaining data after end of ${isTuple ? 'tuple' : 'UDT'} value`);
  }
}

function validateUserField(type: UserType, index: number, bytes: Uint8Array): void {
  try {
    validate(type.fieldTypes[index], bytes);
  } catch (error) {
    if (!(error instanceof CqlError)) throw error;
    throw invalidRequest(
      `Failure validating the ${index}th field ${type.fieldNames[index]}; ${error.message}`,
    );
  }
}

function validateVector(type: VectorType, bytes: Uint8Array): void {
  if (bytes.length === 0) throw invalidRequest('Invalid empty vector value');
  const fixed = vectorElementLength(type.element);
  const total = fixed * type.dimension;
  if (fixed > 0) {
    if (bytes.length < total) throw vectorTooShort(type);
    if (bytes.length > total) throw vectorTooLong(type, bytes.length - total);
    if (!needsContentCheck(type.element)) return;
  }
  let at = 0;
  for (let i = 0; i < type.dimension; i++) {
    let length = fixed;
    if (fixed === 0) {
      length = vectorLengthAt(type, bytes, at);
      at += 1 + vintExtraBytes(bytes[at]);
      if (length > bytes.length - at) throw vectorTooShort(type);
    }
    validate(type.element, bytes.subarray(at, at + length));
    at += length;
  }
  if (at < bytes.length) throw vectorTooLong(type, bytes.length - at);
}

/** Whether an element of the right length may still be invalid. */
function needsContentCheck(element: CqlType): boolean {
  if (element.kind === 'vector') return needsContentCheck(element.element);
  return element.kind === 'native' && element.name === 'timeuuid';
}
