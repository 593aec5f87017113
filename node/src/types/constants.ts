/**
 * Constants of CQL text as values: which kind of constant fits which type, and its bytes. Source:
 * org.apache.cassandra.cql3.Constants, AbstractType.fromString of each type.
 */
import { Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import type { CqlType, NativeTypeName } from './cql-type.ts';
import { encodeDecimal, parseDecimal } from './decimal.ts';
import { encodeDuration, parseDuration } from './duration.ts';
import { parseInet } from './inet.ts';
import { parseDouble } from './java-numbers.ts';
import { parseDate, parseTime, parseTimestamp } from './time-text.ts';
import { parseUuid, uuidVersion } from './uuid.ts';
import { encodeVarint } from './vint.ts';

/** What the parser calls a constant; the upper-case form is in Cassandra's messages. */
export type ConstantKind = 'string' | 'integer' | 'uuid' | 'float' | 'boolean' | 'hex' | 'duration';

const WEAK: Readonly<Record<ConstantKind, readonly NativeTypeName[]>> = {
  string: ['ascii', 'text', 'inet', 'date', 'time', 'timestamp'],
  integer: [
    'bigint',
    'counter',
    'date',
    'decimal',
    'double',
    'duration',
    'float',
    'int',
    'smallint',
    'time',
    'timestamp',
    'tinyint',
    'varint',
  ],
  uuid: ['uuid', 'timeuuid'],
  float: ['decimal', 'double', 'float'],
  boolean: ['boolean'],
  hex: ['blob'],
  duration: ['duration'],
};

/** The type that a constant has where nothing else decides; `text` as the parser gives it. */
export function preferredType(kind: ConstantKind, text: string): NativeTypeName {
  switch (kind) {
    case 'string':
      return isAscii(text) ? 'ascii' : 'text';
    case 'integer': {
      const value = BigInt(text);
      if (value === BigInt.asIntN(32, value)) return 'int';
      return value === BigInt.asIntN(64, value) ? 'bigint' : 'varint';
    }
    case 'uuid': {
      const bytes = parseUuid(text);
      return bytes !== null && uuidVersion(bytes) === 1 ? 'timeuuid' : 'uuid';
    }
    case 'float':
      return 'double';
    case 'boolean':
      return 'boolean';
    case 'hex':
      return 'blob';
    case 'duration':
      return 'duration';
  }
}

/** How well a constant fits a type: its own type, convertible, or not at all. */
export function constantFits(
  kind: ConstantKind,
  text: string,
  type: CqlType,
): 'exact' | 'weak' | 'no' {
  if (type.kind === 'custom') return 'weak';
  if (type.kind !== 'native' || !WEAK[kind].includes(type.name)) return 'no';
  return preferredType(kind, text) === type.name ? 'exact' : 'weak';
}

/**
 * The value of a constant that fits the type (`constantFits`).
 * @param text without quotes; hex with its 0x
 * @param nowMillis what the timestamp 'now' means, milliseconds since 1970
 * Throws Invalid with Cassandra's words.
 */
export function constantValue(
  kind: ConstantKind,
  text: string,
  type: CqlType,
  nowMillis: bigint,
): Buffer {
  if (kind === 'hex') return parseHex(text.slice(2));
  return parseText(type, text, nowMillis);
}

/** The value of its text form (AbstractType.fromString). Throws Invalid with Cassandra's words. */
export function parseText(type: CqlType, text: string, nowMillis: bigint): Buffer {
  if (type.kind !== 'native') return parseHex(text);
  switch (type.name) {
    case 'text':
      return Buffer.from(text);
    case 'ascii':
      if (!isAscii(text)) throw invalidRequest('Invalid ASCII character in string literal');
      return Buffer.from(text);
    case 'boolean':
      return parseBoolean(text);
    case 'blob':
      return parseHex(text);
    case 'date':
      return int32(parseDate(text));
    case 'time':
      return int64(parseTime(text));
    case 'smallint':
    case 'tinyint':
    case 'duration':
      // Cassandra makes zero bytes of empty text, which its own validation refuses: so do we.
      return parseScalar(type.name, text, nowMillis);
    default:
      return text === '' ? Buffer.alloc(0) : parseScalar(type.name, text, nowMillis);
  }
}

function parseScalar(name: NativeTypeName, text: string, nowMillis: bigint): Buffer {
  switch (name) {
    case 'bigint':
    case 'counter':
      return int64(parseInteger('long', text, 64));
    case 'int':
      return int32(Number(parseInteger('int', text, 32)));
    case 'smallint':
      return int32(Number(parseInteger('short', text, 16))).subarray(2);
    case 'tinyint':
      return int32(Number(parseInteger('byte', text, 8))).subarray(3);
    case 'varint':
      return parseVarint(text);
    case 'timestamp':
      return int64(parseTimestamp(text, nowMillis));
    case 'duration':
      return encodeDuration(parseDuration(text));
    case 'float':
    case 'double':
      return parseFloating(name, text);
    case 'decimal':
      return parseDecimalText(text);
    case 'inet':
      return parseInetText(text);
    case 'uuid':
    case 'timeuuid':
      return parseUuidText(name, text);
    default:
      throw invalidRequest(`'${text}' is not empty`);
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false;
  return true;
}

function int32(value: number): Buffer {
  const out = new Writer(16);
  out.i32(value);
  return out.view();
}

function int64(value: bigint): Buffer {
  const out = new Writer(16);
  out.bigint64(value);
  return out.view();
}

const INTEGER = /^[+-]?[0-9]+$/;

function parseInteger(javaName: string, text: string, bits: number): bigint {
  const value = INTEGER.test(text) ? BigInt(text.replace(/^\+/, '')) : null;
  if (value === null || value !== BigInt.asIntN(bits, value)) {
    throw invalidRequest(`Unable to make ${javaName} from '${text}'`);
  }
  return value;
}

function parseVarint(text: string): Buffer {
  if (!INTEGER.test(text)) throw invalidRequest(`unable to make int from '${text}'`);
  return encodeVarint(BigInt(text.replace(/^\+/, '')));
}

function parseBoolean(text: string): Buffer {
  const word = text.toLowerCase();
  if (word !== 'true' && word !== 'false' && word !== '') {
    throw invalidRequest(`Unable to make boolean from '${text}'`);
  }
  return Buffer.from([word === 'true' ? 1 : 0]);
}

function parseFloating(name: 'float' | 'double', text: string): Buffer {
  const value = parseDouble(text);
  if (value === null) throw invalidRequest(`Unable to make ${name} from '${text}'`);
  const out = new Writer(16);
  if (name === 'float') out.f32(value);
  else out.f64(value);
  return out.view();
}

function parseDecimalText(text: string): Buffer {
  const value = parseDecimal(text);
  if (value === null) throw invalidRequest(`unable to make BigDecimal from '${text}'`);
  return encodeDecimal(value);
}

function parseInetText(text: string): Buffer {
  const bytes = parseInet(text);
  if (bytes === null) throw invalidRequest(`Unable to make inet address from '${text}'`);
  return bytes;
}

function parseUuidText(name: 'uuid' | 'timeuuid', text: string): Buffer {
  const bytes = parseUuid(text);
  if (bytes === null) {
    throw invalidRequest(
      name === 'uuid'
        ? `Unable to make UUID from '${text}'`
        : `Unknown timeuuid representation: ${text}`,
    );
  }
  if (name === 'timeuuid' && uuidVersion(bytes) !== 1) {
    throw invalidRequest('TimeUUID supports only version 1 UUIDs');
  }
  return bytes;
}

function parseHex(text: string): Buffer {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw invalidRequest(`cannot parse '${text}' as hex bytes`);
  }
  return Buffer.from(text, 'hex');
}
