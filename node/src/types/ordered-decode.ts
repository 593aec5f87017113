/**
 * Reading ordered forms back, and skipping them; see ordered.ts. Everything takes a mask, 0 or 0xFF
 * for reversed columns, that each byte read is XORed with.
 * @hot for int, bigint, text, blob, uuid, timeuuid, timestamp.
 */
import { Writer } from '../common/bytes.ts';
import { partType } from './collections.ts';
import type { CqlType, NativeTypeName, TupleType, UserType, VectorType } from './cql-type.ts';
import {
  corruptKey,
  decodeOrderedDecimal,
  decodeOrderedVarint,
  EMPTY,
  END,
  MORE,
  NATIVE_LENGTH,
  NULL,
  skipOrderedDecimal,
  skipOrderedVarint,
  VALUE,
} from './ordered-numbers.ts';
import { fixedLength, vectorElementLength } from './type-facts.ts';
import { writeUnsignedVint } from './vint.ts';

/** A decoded component and where the next one starts. */
export interface DecodedComponent {
  readonly value: Buffer;
  readonly next: number;
}

const EMPTY_VALUE = Buffer.alloc(0);
const SCRATCH_BYTES_MAX = 1 << 20;
let scratch = new Writer(1024);

/**
 * Reads the component at `offset` of a key; the value is a copy, the canonical form of what was
 * encoded. Throws ServerError if no encoder can have written it.
 */
export function decodeOrdered(
  type: CqlType,
  reversed: boolean,
  bytes: Uint8Array,
  offset: number,
): DecodedComponent {
  const mask = reversed ? 0xff : 0;
  if (offset >= bytes.length) throw corruptKey();
  const marker = bytes[offset] ^ mask;
  if (marker === EMPTY) return { value: EMPTY_VALUE, next: offset + 1 };
  if (marker !== VALUE) throw corruptKey();
  const length = fixedLength(type);
  if (length > 0) {
    const value = Buffer.allocUnsafe(length);
    const next = decodeFixed(type, bytes, offset + 1, mask, value, 0);
    return { value, next };
  }
  if (isStuffed(type)) return decodeStuffed(bytes, offset + 1, mask);
  if (scratch.buffer.length > SCRATCH_BYTES_MAX) scratch = new Writer(1024);
  scratch.reset();
  const next = decodePayload(type, bytes, offset + 1, mask, scratch);
  return { value: scratch.copy(), next };
}

function isStuffed(type: CqlType): boolean {
  if (type.kind === 'native') return type.name !== 'varint' && type.name !== 'decimal';
  return type.kind === 'custom';
}

function decodeStuffed(bytes: Uint8Array, offset: number, mask: number): DecodedComponent {
  const next = skipStuffed(bytes, offset, mask);
  const end = next - 2;
  const value = Buffer.allocUnsafe(end - offset);
  let used = 0;
  for (let at = offset; at < end; at++) {
    const byte = bytes[at] ^ mask;
    value[used++] = byte;
    if (byte === 0) at++;
  }
  return { value: used === value.length ? value : value.subarray(0, used), next };
}

/** Appends the value of the payload at `offset`, without a length; returns where the payload ends. */
function decodePayload(
  type: CqlType,
  bytes: Uint8Array,
  offset: number,
  mask: number,
  out: Writer,
): number {
  const length = fixedLength(type);
  if (length > 0) {
    const at = out.reserve(length);
    return decodeFixed(type, bytes, offset, mask, out.buffer, at);
  }
  switch (type.kind) {
    case 'native':
      if (type.name === 'varint') return decodeOrderedVarint(bytes, offset, mask, out);
      if (type.name === 'decimal') return decodeOrderedDecimal(bytes, offset, mask, out);
      return unstuff(bytes, offset, mask, out);
    case 'custom':
      return unstuff(bytes, offset, mask, out);
    case 'tuple':
    case 'udt':
      return decodeFields(type, bytes, offset, mask, out);
    case 'vector':
      return decodeVector(type, bytes, offset, mask, out);
    default:
      return decodeCollection(type, bytes, offset, mask, out);
  }
}

/** Writes a fixed-length value to `target[at …]`; returns where the payload ends. */
function decodeFixed(
  type: CqlType,
  bytes: Uint8Array,
  offset: number,
  mask: number,
  target: Uint8Array,
  at: number,
): number {
  const name = (type as { name: NativeTypeName }).name;
  const payload = payloadLength(name);
  const end = offset + payload;
  if (end > bytes.length) throw corruptKey();
  switch (name) {
    case 'uuid':
      decodeUuid(bytes, offset, mask, target, at);
      return end;
    case 'timeuuid':
      copyTimestampOrder(bytes, offset, mask, target, at);
      for (let i = 8; i < 16; i++) target[at + i] = bytes[offset + i] ^ mask ^ 0x80;
      return end;
    case 'float':
    case 'double': {
      const flip = (bytes[offset] ^ mask) < 0x80 ? mask ^ 0xff : mask;
      for (let i = 0; i < payload; i++) target[at + i] = bytes[offset + i] ^ flip;
      if (flip === mask) target[at] ^= 0x80;
      return end;
    }
    case 'date':
    case 'boolean':
      for (let i = 0; i < payload; i++) target[at + i] = bytes[offset + i] ^ mask;
      return end;
    default:
      for (let i = 0; i < payload; i++) target[at + i] = bytes[offset + i] ^ mask;
      target[at] ^= 0x80;
      return end;
  }
}

function payloadLength(name: NativeTypeName): number {
  if (name === 'uuid') return 17;
  if (name === 'timeuuid') return 16;
  return name === 'boolean' ? 1 : (NATIVE_LENGTH[name] ?? 0);
}

function decodeUuid(
  bytes: Uint8Array,
  offset: number,
  mask: number,
  target: Uint8Array,
  at: number,
): void {
  const from = offset + 1;
  if ((bytes[offset] ^ mask) === 1) copyTimestampOrder(bytes, from, mask, target, at);
  else for (let i = 0; i < 8; i++) target[at + i] = bytes[from + i] ^ mask;
  for (let i = 8; i < 16; i++) target[at + i] = bytes[from + i] ^ mask;
}

function copyTimestampOrder(
  bytes: Uint8Array,
  from: number,
  mask: number,
  target: Uint8Array,
  at: number,
): void {
  target[at + 6] = bytes[from] ^ mask;
  target[at + 7] = bytes[from + 1] ^ mask;
  target[at + 4] = bytes[from + 2] ^ mask;
  target[at + 5] = bytes[from + 3] ^ mask;
  for (let i = 0; i < 4; i++) target[at + i] = bytes[from + 4 + i] ^ mask;
}

function unstuff(bytes: Uint8Array, offset: number, mask: number, out: Writer): number {
  const end = skipStuffed(bytes, offset, mask);
  let target = out.reserve(end - offset - 2);
  const { buffer } = out;
  for (let at = offset; at < end - 2; at++) {
    const byte = bytes[at] ^ mask;
    buffer[target++] = byte;
    if (byte === 0) at++;
  }
  out.length = target;
  return end;
}

function skipStuffed(bytes: Uint8Array, offset: number, mask: number): number {
  const last = bytes.length - 1;
  let at = offset;
  while (at < last) {
    if (bytes[at] !== mask) {
      at++;
      continue;
    }
    const second = bytes[at + 1] ^ mask;
    at += 2;
    if (second === 0) return at;
    if (second !== 0xff) throw corruptKey();
  }
  throw corruptKey();
}

/** Appends one inner component as `[bytes]`; returns where it ends. */
function decodeElement(
  type: CqlType,
  bytes: Uint8Array,
  offset: number,
  mask: number,
  out: Writer,
): number {
  const marker = offset < bytes.length ? bytes[offset] ^ mask : END;
  if (marker === EMPTY || marker === NULL) {
    out.i32(marker === NULL ? -1 : 0);
    return offset + 1;
  }
  if (marker !== VALUE) throw corruptKey();
  const at = out.reserve(4);
  const next = decodePayload(type, bytes, offset + 1, mask, out);
  out.patchI32(at, out.length - at - 4);
  return next;
}

/** Whether another element follows at `offset`. */
function hasMore(bytes: Uint8Array, offset: number, mask: number): boolean {
  const sign = offset < bytes.length ? bytes[offset] ^ mask : -1;
  if (sign !== MORE && sign !== END) throw corruptKey();
  return sign === MORE;
}

function decodeCollection(
  type: CqlType & { kind: 'list' | 'set' | 'map' },
  bytes: Uint8Array,
  offset: number,
  mask: number,
  out: Writer,
): number {
  const at = out.reserve(4);
  let count = 0;
  let next = offset;
  while (hasMore(bytes, next, mask)) {
    next = decodeElement(partType(type, 0), bytes, next + 1, mask, out);
    if (type.kind === 'map') next = decodeElement(type.value, bytes, next, mask, out);
    count++;
  }
  out.patchI32(at, count);
  return next + 1;
}

function decodeFields(
  type: TupleType | UserType,
  bytes: Uint8Array,
  offset: number,
  mask: number,
  out: Writer,
): number {
  const fields = type.kind === 'tuple' ? type.fields : type.fieldTypes;
  let next = offset;
  for (const field of fields) next = decodeElement(field, bytes, next, mask, out);
  return next;
}

function decodeVector(
  type: VectorType,
  bytes: Uint8Array,
  offset: number,
  mask: number,
  out: Writer,
): number {
  const prefixed = vectorElementLength(type.element) === 0;
  const element = prefixed ? new Writer() : out;
  let next = offset;
  while (hasMore(bytes, next, mask)) {
    next++;
    const marker = next < bytes.length ? bytes[next] ^ mask : END;
    if (marker !== VALUE && !(marker === EMPTY && prefixed)) throw corruptKey();
    if (prefixed) element.reset();
    next++;
    if (marker === VALUE) next = decodePayload(type.element, bytes, next, mask, element);
    if (prefixed) {
      writeUnsignedVint(out, BigInt(element.length));
      out.raw(element.view());
    }
  }
  return next + 1;
}

/** Where the component after the one at `offset` starts. Throws ServerError if it is malformed. */
export function skipOrdered(
  type: CqlType,
  reversed: boolean,
  bytes: Uint8Array,
  offset: number,
): number {
  const next = skipComponent(type, bytes, offset, reversed ? 0xff : 0);
  if (next > bytes.length) throw corruptKey();
  return next;
}

function skipComponent(type: CqlType, bytes: Uint8Array, offset: number, mask: number): number {
  const marker = offset < bytes.length ? bytes[offset] ^ mask : END;
  if (marker === EMPTY || marker === NULL) return offset + 1;
  if (marker !== VALUE) throw corruptKey();
  const at = offset + 1;
  switch (type.kind) {
    case 'native':
      return skipNative(type.name, bytes, at, mask);
    case 'custom':
      return skipStuffed(bytes, at, mask);
    case 'tuple':
      return skipFields(type.fields, bytes, at, mask);
    case 'udt':
      return skipFields(type.fieldTypes, bytes, at, mask);
    default:
      return skipElements(type, bytes, at, mask);
  }
}

function skipNative(name: NativeTypeName, bytes: Uint8Array, at: number, mask: number): number {
  const payload = payloadLength(name);
  if (payload > 0) return at + payload;
  if (name === 'varint') return skipOrderedVarint(bytes, at, mask);
  if (name === 'decimal') return skipOrderedDecimal(bytes, at, mask);
  return skipStuffed(bytes, at, mask);
}

function skipFields(
  types: readonly CqlType[],
  bytes: Uint8Array,
  at: number,
  mask: number,
): number {
  let next = at;
  for (const type of types) next = skipComponent(type, bytes, next, mask);
  return next;
}

function skipElements(type: CqlType, bytes: Uint8Array, at: number, mask: number): number {
  let next = at;
  while (hasMore(bytes, next, mask)) {
    next = skipComponent(partType(type, 0), bytes, next + 1, mask);
    if (type.kind === 'map') next = skipComponent(type.value, bytes, next, mask);
  }
  return next + 1;
}
