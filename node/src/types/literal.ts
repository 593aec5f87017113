/** Values as CQL literals, for DESCRIBE, traces and messages. Source: AbstractType.toCQLString. */
import { asBuffer, readInt64 } from '../common/bytes.ts';
import { formatDate, formatTime, formatTimestamp } from './calendar.ts';
import { decode } from './codec.ts';
import { presentFields, splitValue } from './collections.ts';
import type { CqlType, NativeTypeName, UserType } from './cql-type.ts';
import { quoteName, quoteString } from './identifiers.ts';
import { formatInet } from './inet.ts';
import { formatDouble, formatFloat } from './java-numbers.ts';
import { formatUuid } from './uuid.ts';

/** The literal of a valid value; `null` for null and for empty values that have no literal. */
export function toCqlLiteral(type: CqlType, bytes: Uint8Array | null): string {
  if (bytes === null) return 'null';
  switch (type.kind) {
    case 'native':
      return nativeLiteral(type.name, bytes);
    case 'custom':
      return hexLiteral(bytes);
    case 'list':
    case 'vector':
      return `[${elements(type.element, type, bytes).join(', ')}]`;
    case 'set':
      return `{${elements(type.element, type, bytes).join(', ')}}`;
    case 'map':
      return mapLiteral(type.key, type.value, type, bytes);
    case 'tuple':
      return `(${fields(type.fields, type, bytes).join(', ')})`;
    case 'udt':
      return userTypeLiteral(type, bytes);
  }
}

function elements(element: CqlType, type: CqlType, bytes: Uint8Array): string[] {
  return splitValue(type, bytes).map((part) => toCqlLiteral(element, part));
}

function fields(types: readonly CqlType[], type: CqlType, bytes: Uint8Array): string[] {
  const parts = splitValue(type, bytes).slice(0, presentFields(bytes));
  return parts.map((part, i) => toCqlLiteral(types[i], part));
}

function mapLiteral(key: CqlType, value: CqlType, type: CqlType, bytes: Uint8Array): string {
  const parts = splitValue(type, bytes);
  const entries: string[] = [];
  for (let i = 0; i < parts.length; i += 2) {
    entries.push(`${toCqlLiteral(key, parts[i])}: ${toCqlLiteral(value, parts[i + 1])}`);
  }
  return `{${entries.join(', ')}}`;
}

function userTypeLiteral(type: UserType, bytes: Uint8Array): string {
  const texts = fields(type.fieldTypes, type, bytes);
  return `{${texts.map((text, i) => `${quoteName(type.fieldNames[i])}: ${text}`).join(', ')}}`;
}

function hexLiteral(bytes: Uint8Array): string {
  return `0x${asBuffer(bytes).toString('hex')}`;
}

function nativeLiteral(name: NativeTypeName, bytes: Uint8Array): string {
  if (name === 'blob') return hexLiteral(bytes);
  if (name === 'text' || name === 'ascii') return quoteString(asBuffer(bytes).toString());
  const text = plainText(name, bytes);
  if (text === null) return 'null';
  const quoted = name === 'date' || name === 'time' || name === 'timestamp' || name === 'inet';
  return quoted ? quoteString(text) : text;
}

/** The text of a native value that is neither text nor blob, without quotes; null if it is empty. */
export function plainText(name: NativeTypeName, bytes: Uint8Array): string | null {
  if (bytes.length === 0) return null;
  const value = decode({ kind: 'native', name }, bytes);
  switch (name) {
    case 'date':
      return formatDate(value as number);
    case 'time':
      return formatTime(readInt64(bytes, 0));
    case 'timestamp':
      return formatTimestamp(readInt64(bytes, 0), 'T');
    case 'inet':
      return formatInet(bytes);
    case 'uuid':
    case 'timeuuid':
      return formatUuid(bytes);
    case 'float':
      return formatFloat(value as number);
    case 'double':
      return formatDouble(value as number);
    default:
      return String(value);
  }
}
