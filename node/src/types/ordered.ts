/**
 * The ordered (memcomparable) forms of storage-format.md, section 2: bytewise order of the forms is
 * the order of the values, and no form is a prefix of another. A component is a marker and a payload;
 * for a reversed column every byte of it is inverted.
 * @hot for int, bigint, text, blob, uuid, timeuuid, timestamp.
 */
import type { Writer } from '../common/bytes.ts';
import { serverError } from '../common/errors.ts';
import { collectionCount, partType, splitTuple, splitVector } from './collections.ts';
import type { CqlType, NativeTypeName } from './cql-type.ts';
import {
  EMPTY,
  END,
  encodeOrderedDecimal,
  encodeOrderedVarint,
  invertFrom,
  MORE,
  NATIVE_LENGTH,
  NULL,
  VALUE,
} from './ordered-numbers.ts';

export { type DecodedComponent, decodeOrdered, skipOrdered } from './ordered-decode.ts';

/**
 * Appends the component of a valid CQL value, marker included. A null counts as an empty value
 * (only fields of tuples tell them apart). Throws Invalid for a decimal beyond the ordered form.
 */
export function encodeOrdered(
  type: CqlType,
  reversed: boolean,
  value: Uint8Array | null,
  out: Writer,
): void {
  const start = out.length;
  if (value === null || value.length === 0) {
    out.u8(EMPTY);
  } else {
    out.u8(VALUE);
    encodePayload(type, value, out);
  }
  if (reversed) invertFrom(out, start);
}

function encodeComponent(type: CqlType, value: Uint8Array | null, out: Writer): void {
  if (value === null) out.u8(NULL);
  else encodeOrdered(type, false, value, out);
}

function encodePayload(type: CqlType, value: Uint8Array, out: Writer): void {
  switch (type.kind) {
    case 'native':
      encodeNative(type.name, value, out);
      break;
    case 'custom':
      stuff(value, out);
      break;
    case 'list':
    case 'set':
    case 'map':
      encodeCollection(type, value, out);
      break;
    case 'vector':
      for (const part of splitVector(type, value)) {
        out.u8(MORE);
        encodeComponent(type.element, part, out);
      }
      out.u8(END);
      break;
    case 'tuple':
      encodeFields(type.fields, value, out);
      break;
    case 'udt':
      encodeFields(type.fieldTypes, value, out);
  }
}

function encodeCollection(
  type: CqlType & { kind: 'list' | 'set' | 'map' },
  value: Uint8Array,
  out: Writer,
): void {
  const count = collectionCount(type.kind, value) * (type.kind === 'map' ? 2 : 1);
  let at = 4;
  for (let i = 0; i < count; i++) {
    const length = (value[at] << 24) | (value[at + 1] << 16) | (value[at + 2] << 8) | value[at + 3];
    at += 4;
    if (type.kind !== 'map' || i % 2 === 0) out.u8(MORE);
    encodeComponent(partType(type, i), value.subarray(at, at + length), out);
    at += length;
  }
  out.u8(END);
}

function encodeFields(types: readonly CqlType[], value: Uint8Array, out: Writer): void {
  const fields = splitTuple(types.length, value);
  for (let i = 0; i < types.length; i++) encodeComponent(types[i], fields[i], out);
}

function encodeNative(name: NativeTypeName, value: Uint8Array, out: Writer): void {
  switch (name) {
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'counter':
    case 'time':
    case 'timestamp': {
      const at = fixed(name, value, out);
      out.buffer[at] ^= 0x80;
      break;
    }
    case 'date':
      fixed(name, value, out);
      break;
    case 'boolean':
      out.u8(value[0] === 0 ? 0 : 1);
      break;
    case 'float':
    case 'double':
      encodeFloat(name, value, out);
      break;
    case 'uuid':
      encodeUuid(value, out);
      break;
    case 'timeuuid':
      encodeTimeUuid(value, out);
      break;
    case 'varint':
      encodeOrderedVarint(value, out);
      break;
    case 'decimal':
      encodeOrderedDecimal(value, out);
      break;
    default:
      stuff(value, out);
  }
}

function fixed(name: NativeTypeName, value: Uint8Array, out: Writer): number {
  if (value.length !== NATIVE_LENGTH[name]) throw wrongLength(name, value);
  const at = out.length;
  out.raw(value);
  return at;
}

function wrongLength(name: string, value: Uint8Array): Error {
  return serverError(`A value of ${value.length} bytes cannot be a key of type ${name}`);
}

function encodeFloat(name: 'float' | 'double', value: Uint8Array, out: Writer): void {
  const at = fixed(name, value, out);
  const { buffer } = out;
  if (isNotANumber(value)) {
    buffer.fill(0, at, at + value.length);
    buffer[at] = 0xff;
    buffer[at + 1] = name === 'float' ? 0xc0 : 0xf8;
  } else if (value[0] >= 0x80) {
    invertFrom(out, at);
  } else {
    buffer[at] |= 0x80;
  }
}

function isNotANumber(value: Uint8Array): boolean {
  if ((value[0] & 0x7f) !== 0x7f) return false;
  const exponentBits = value.length === 4 ? 0x80 : 0xf0;
  if ((value[1] & exponentBits) !== exponentBits) return false;
  if ((value[1] & ~exponentBits & 0xff) !== 0) return true;
  for (let i = 2; i < value.length; i++) if (value[i] !== 0) return true;
  return false;
}

function encodeUuid(value: Uint8Array, out: Writer): void {
  if (value.length !== 16) throw wrongLength('uuid', value);
  const version = value[6] >> 4;
  out.u8(version);
  if (version === 1) {
    writeTimestampOrder(value, out);
    out.slice(value, 8, 16);
  } else {
    out.raw(value);
  }
}

function encodeTimeUuid(value: Uint8Array, out: Writer): void {
  if (value.length !== 16) throw wrongLength('timeuuid', value);
  writeTimestampOrder(value, out);
  const at = out.reserve(8);
  for (let i = 0; i < 8; i++) out.buffer[at + i] = value[8 + i] ^ 0x80;
}

/** A version 1 UUID's timestamp with its most significant part first. */
function writeTimestampOrder(value: Uint8Array, out: Writer): void {
  out.slice(value, 6, 8);
  out.slice(value, 4, 6);
  out.slice(value, 0, 4);
}

/** Appends bytes so that they end with 00 00, each 00 inside becoming 00 FF. */
function stuff(value: Uint8Array, out: Writer): void {
  const count = value.length;
  let at = out.reserve(2 * count + 2);
  const { buffer } = out;
  for (let i = 0; i < count; i++) {
    const byte = value[i];
    buffer[at++] = byte;
    if (byte === 0) buffer[at++] = 0xff;
  }
  buffer[at] = 0;
  buffer[at + 1] = 0;
  out.length = at + 2;
}
