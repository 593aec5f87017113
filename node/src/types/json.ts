/**
 * Values from and to JSON by Cassandra's rules (SELECT JSON, INSERT JSON, toJson(), fromJson()).
 * Source: toJSONString and fromJSONObject of each AbstractType.
 */
import { asBuffer } from '../common/bytes.ts';
import { CqlError, invalidRequest } from '../common/errors.ts';
import { formatTimestamp } from './calendar.ts';
import { canonical, decode } from './codec.ts';
import { packCollection, packTuple, packVector, splitValue } from './collections.ts';
import { parseText } from './constants.ts';
import type { CqlType, NativeTypeName, TupleType, UserType, VectorType } from './cql-type.ts';
import { formatDouble } from './java-numbers.ts';
import {
  isJsonArray,
  type JsonObject,
  type JsonValue,
  parseJson,
  unquoteKeys,
} from './json-parse.ts';
import { plainText } from './literal.ts';

/** The JSON text of a valid value; `null` for null. */
export function toJson(type: CqlType, bytes: Uint8Array | null): string {
  if (bytes === null) return 'null';
  switch (type.kind) {
    case 'native':
      return nativeToJson(type.name, bytes);
    case 'custom':
      return `"0x${asBuffer(bytes).toString('hex')}"`;
    case 'list':
    case 'set':
    case 'vector':
      return `[${splitValue(type, bytes)
        .map((part) => toJson(type.element, part))
        .join(', ')}]`;
    case 'map':
      return mapToJson(type, bytes);
    case 'tuple':
      return `[${splitValue(type, bytes)
        .map((part, i) => toJson(type.fields[i], part))
        .join(', ')}]`;
    case 'udt':
      return userTypeToJson(type, bytes);
  }
}

/** A JSON string, quotes included, escaped as Cassandra (Jackson) does. */
export function jsonString(text: string): string {
  const json = JSON.stringify(text.toWellFormed());
  if (!json.includes('\\u00')) return json;
  // Escapes are taken one by one, so that an escaped backslash before "u00" is left alone.
  return json.replace(/\\(?:u00..|.)/g, (unit) =>
    unit.startsWith('\\u') ? `\\u${unit.slice(2).toUpperCase()}` : unit,
  );
}

function nativeToJson(name: NativeTypeName, bytes: Uint8Array): string {
  switch (name) {
    case 'text':
    case 'ascii':
      return jsonString(asBuffer(bytes).toString());
    case 'blob':
      return `"0x${asBuffer(bytes).toString('hex')}"`;
    default:
      return bytes.length === 0 ? '""' : scalarToJson(name, bytes);
  }
}

function scalarToJson(name: NativeTypeName, bytes: Uint8Array): string {
  switch (name) {
    case 'float':
    case 'double': {
      const value = decode({ kind: 'native', name }, bytes);
      return Number.isFinite(value) ? (plainText(name, bytes) ?? 'null') : 'null';
    }
    case 'timestamp':
      return `"${formatTimestamp(decode({ kind: 'native', name }, bytes) as bigint, ' ')}"`;
    case 'date':
    case 'time':
    case 'inet':
    case 'uuid':
    case 'timeuuid':
    case 'duration':
      return `"${plainText(name, bytes)}"`;
    default:
      return plainText(name, bytes) ?? 'null';
  }
}

function mapToJson(type: CqlType & { kind: 'map' }, bytes: Uint8Array): string {
  const parts = splitValue(type, bytes);
  const entries: string[] = [];
  for (let i = 0; i < parts.length; i += 2) {
    const key = toJson(type.key, parts[i]);
    const quoted = key.startsWith('"') ? key : jsonString(key);
    entries.push(`${quoted}: ${toJson(type.value, parts[i + 1])}`);
  }
  return `{${entries.join(', ')}}`;
}

function userTypeToJson(type: UserType, bytes: Uint8Array): string {
  const parts = splitValue(type, bytes);
  const fields = parts.map(
    (part, i) => `${jsonName(type.fieldNames[i])}: ${toJson(type.fieldTypes[i], part)}`,
  );
  return `{${fields.join(', ')}}`;
}

/** A column's or field's name as a JSON key: in quotes inside the string unless in lower case. */
export function jsonName(name: string): string {
  return jsonString(name === name.toLowerCase() ? name : `"${name}"`);
}

/** The simple name of the Java class that Cassandra's messages show for a JSON value. */
function className(value: JsonValue): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return 'String';
  if (typeof value === 'boolean') return 'Boolean';
  if (typeof value === 'number') return 'Double';
  if (typeof value === 'bigint') {
    if (value === BigInt.asIntN(32, value)) return 'Integer';
    return value === BigInt.asIntN(64, value) ? 'Long' : 'BigInteger';
  }
  return value instanceof Map ? 'LinkedHashMap' : 'ArrayList';
}

/** A JSON value as Java prints it in those messages. */
function javaText(value: JsonValue): string {
  if (typeof value === 'number') return formatDouble(value);
  if (value instanceof Map) {
    const entries = [...value].map(([key, inner]) => `${key}=${javaText(inner)}`);
    return `{${entries.join(', ')}}`;
  }
  return isJsonArray(value) ? `[${value.map(javaText).join(', ')}]` : String(value);
}

function unlike(expected: string, value: JsonValue): CqlError {
  return invalidRequest(`Expected ${expected}, but got a ${className(value)}: ${javaText(value)}`);
}

/**
 * The value of a parsed JSON value (`parseJson`), canonical; null for JSON's null.
 * @param nowMillis what the timestamp 'now' means, milliseconds since 1970
 * Throws Invalid with Cassandra's words.
 */
export function fromJson(type: CqlType, value: JsonValue, nowMillis: bigint): Buffer | null {
  const bytes = convert(type, value, nowMillis);
  return bytes === null ? null : asBuffer(canonical(type, bytes));
}

function convert(type: CqlType, value: JsonValue, nowMillis: bigint): Buffer | null {
  if (value === null) return null;
  switch (type.kind) {
    case 'native':
      return nativeFromJson(type.name, value, nowMillis);
    case 'custom':
      return blobFromJson(value);
    default:
      return compositeFromJson(
        type,
        typeof value === 'string' ? parseJson(value) : value,
        nowMillis,
      );
  }
}

type Composite = Exclude<CqlType, { kind: 'native' | 'custom' }>;

function compositeFromJson(type: Composite, value: JsonValue, nowMillis: bigint): Buffer {
  switch (type.kind) {
    case 'list': {
      const elements = requireArray(value, 'a list', 'Invalid null element in list');
      return packElements(type.element, elements, nowMillis);
    }
    case 'set': {
      const expected = 'a list (representing a set)';
      const elements = requireArray(value, expected, 'Invalid null element in set');
      return packElements(type.element, elements, nowMillis);
    }
    case 'map':
      return mapFromJson(type, requireObject(value), nowMillis);
    case 'tuple':
      return tupleFromJson(type, value, nowMillis);
    case 'udt':
      return userTypeFromJson(type, unquoteKeys(requireObject(value)), nowMillis);
    case 'vector':
      return vectorFromJson(type, value, nowMillis);
  }
}

function requireArray(
  value: JsonValue,
  expected: string,
  onNull: string | null,
): readonly JsonValue[] {
  if (!isJsonArray(value)) throw unlike(expected, value);
  if (onNull !== null && value.includes(null)) throw invalidRequest(onNull);
  return value;
}

function requireObject(value: JsonValue): JsonObject {
  if (!(value instanceof Map)) throw unlike('a map', value);
  return value;
}

function convertAll(type: CqlType, values: readonly JsonValue[], nowMillis: bigint): Buffer[] {
  const parts: Buffer[] = [];
  for (const value of values) {
    const part = convert(type, value, nowMillis);
    if (part === null) throw invalidRequest('Invalid null element in list');
    parts.push(part);
  }
  return parts;
}

function packElements(type: CqlType, values: readonly JsonValue[], nowMillis: bigint): Buffer {
  return packCollection(values.length, convertAll(type, values, nowMillis));
}

function mapFromJson(
  type: CqlType & { kind: 'map' },
  value: JsonObject,
  nowMillis: bigint,
): Buffer {
  const parts: Buffer[] = [];
  for (const [key, inner] of value) {
    const keyBytes = convert(type.key, key, nowMillis);
    const valueBytes = convert(type.value, inner, nowMillis);
    if (keyBytes === null) throw invalidRequest('Invalid null key in map');
    if (valueBytes === null) throw invalidRequest('Invalid null value in map');
    parts.push(keyBytes, valueBytes);
  }
  return packCollection(value.size, parts);
}

function tupleFromJson(type: TupleType, value: JsonValue, nowMillis: bigint): Buffer {
  const values = requireArray(value, 'a list representation of a tuple', null);
  const count = type.fields.length;
  if (values.length > count) {
    throw invalidRequest(`Tuple contains extra items (expected ${count}): ${javaText(value)}`);
  }
  if (values.length < count) {
    throw invalidRequest(`Tuple is missing items (expected ${count}): ${javaText(value)}`);
  }
  return packTuple(values.map((field, i) => convert(type.fields[i], field, nowMillis)));
}

function userTypeFromJson(type: UserType, value: JsonObject, nowMillis: bigint): Buffer {
  const fields = type.fieldNames.map((name, i) =>
    convert(type.fieldTypes[i], value.get(name) ?? null, nowMillis),
  );
  for (const name of value.keys()) {
    if (!type.fieldNames.includes(name)) {
      throw invalidRequest(`Unknown field '${name}' in value of user defined type ${type.name}`);
    }
  }
  return packTuple(fields);
}

function vectorFromJson(type: VectorType, value: JsonValue, nowMillis: bigint): Buffer {
  const values = requireArray(value, 'a list', null);
  if (values.length !== type.dimension) {
    throw invalidRequest(
      `List had incorrect size: expected ${type.dimension} but given ${values.length}; ${javaText(value)}`,
    );
  }
  if (values.includes(null)) throw invalidRequest('Invalid null element in list');
  return packVector(type, convertAll(type.element, values, nowMillis));
}

/** Types whose JSON is their text, and what Cassandra's messages call that. */
const TEXT_ONLY: Readonly<Partial<Record<NativeTypeName, string>>> = {
  text: 'a UTF-8 string',
  ascii: 'an ascii string',
  date: 'a string representation of a date value',
  time: 'a string representation of a time value',
  duration: 'a string representation of a duration',
  inet: 'a string representation of an inet value',
  uuid: 'a string representation of a uuid',
  timeuuid: 'a string representation of a timeuuid',
};

function nativeFromJson(name: NativeTypeName, value: JsonValue, nowMillis: bigint): Buffer {
  const parse = (text: string): Buffer => parseText({ kind: 'native', name }, text, nowMillis);
  const expected = TEXT_ONLY[name];
  if (expected !== undefined) {
    if (typeof value !== 'string') throw unlike(expected, value);
    return parse(value);
  }
  switch (name) {
    case 'blob':
      return blobFromJson(value);
    case 'decimal':
    case 'varint':
      return bigNumberFromJson(name, value, parse);
    case 'empty':
      if (value === '') return Buffer.alloc(0);
      throw invalidRequest(`Expected an empty string, but got: ${javaText(value)}`);
    case 'boolean':
      if (typeof value === 'boolean') return Buffer.from([value ? 1 : 0]);
      break;
    case 'timestamp':
      if (typeof value === 'bigint' && className(value) === 'Long') return parse(String(value));
      break;
    case 'float':
    case 'double':
      if (typeof value === 'number' || typeof value === 'bigint') return parse(javaText(value));
      break;
    case 'tinyint':
    case 'smallint':
      if (typeof value === 'number' || typeof value === 'bigint') return parse(javaText(value));
      break;
    default:
      if (isIntegerFor(name, value)) return parse(String(value));
  }
  if (typeof value === 'string') return parse(value);
  throw unlike(NUMERIC_NAMES[name] ?? `a ${name} value`, value);
}

const NUMERIC_NAMES: Readonly<Partial<Record<NativeTypeName, string>>> = {
  int: 'an int value',
  tinyint: 'a byte value',
  smallint: 'a short value',
  timestamp: 'a long or a datestring representation of a timestamp value',
};

function isIntegerFor(name: NativeTypeName, value: JsonValue): boolean {
  const javaClass = className(value);
  return javaClass === 'Integer' || (javaClass === 'Long' && name !== 'int');
}

function bigNumberFromJson(
  name: 'decimal' | 'varint',
  value: JsonValue,
  parse: (text: string) => Buffer,
): Buffer {
  const text = javaText(value);
  try {
    if (text !== '' || name === 'decimal') return parse(text);
  } catch (error) {
    if (!(error instanceof CqlError)) throw error;
  }
  throw invalidRequest(`Value '${text}' is not a valid representation of a ${name} value`);
}

function blobFromJson(value: JsonValue): Buffer {
  const text = javaText(value);
  let reason = `expected a string, but got a ${className(value)}`;
  if (typeof value === 'string') {
    const digits = text.slice(2);
    if (!text.startsWith('0x')) {
      reason = `String representation of blob is missing 0x prefix: ${text}`;
    } else if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) {
      reason = `cannot parse '${digits}' as hex bytes`;
    } else {
      return Buffer.from(digits, 'hex');
    }
  }
  throw invalidRequest(`Value '${text}' is not a valid blob representation: ${reason}`);
}
