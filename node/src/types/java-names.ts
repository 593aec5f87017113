/**
 * Cassandra's Java class names of types, which clients see as the custom types of result metadata
 * (vectors) and may write in CQL as `'org.apache.cassandra.db.marshal.…'`.
 */
import { invalidRequest } from '../common/errors.ts';
import type { CqlType, NativeTypeName } from './cql-type.ts';
import {
  freeze,
  listType,
  mapType,
  nativeType,
  setType,
  tupleType,
  vectorType,
} from './type-facts.ts';

const PACKAGE = 'org.apache.cassandra.db.marshal.';

const CLASS_OF: Readonly<Record<NativeTypeName, string>> = {
  ascii: 'AsciiType',
  bigint: 'LongType',
  blob: 'BytesType',
  boolean: 'BooleanType',
  counter: 'CounterColumnType',
  date: 'SimpleDateType',
  decimal: 'DecimalType',
  double: 'DoubleType',
  duration: 'DurationType',
  empty: 'EmptyType',
  float: 'FloatType',
  inet: 'InetAddressType',
  int: 'Int32Type',
  smallint: 'ShortType',
  text: 'UTF8Type',
  time: 'TimeType',
  timestamp: 'TimestampType',
  timeuuid: 'TimeUUIDType',
  tinyint: 'ByteType',
  uuid: 'UUIDType',
  varint: 'IntegerType',
};

const NATIVE_OF: ReadonlyMap<string, NativeTypeName> = new Map(
  Object.entries(CLASS_OF).map(([name, className]) => [className, name as NativeTypeName]),
);

/** The type's full Java name, parameters included, as AbstractType.toString() gives it. */
export function javaTypeName(type: CqlType, insideFrozen = false): string {
  switch (type.kind) {
    case 'native':
      return PACKAGE + CLASS_OF[type.name];
    case 'list':
    case 'set': {
      const inner = javaTypeName(type.element, insideFrozen || type.frozen);
      const className = type.kind === 'list' ? 'ListType' : 'SetType';
      return frozenName(`${PACKAGE}${className}(${inner})`, type.frozen && !insideFrozen);
    }
    case 'map': {
      const inside = insideFrozen || type.frozen;
      const inner = `${javaTypeName(type.key, inside)},${javaTypeName(type.value, inside)}`;
      return frozenName(`${PACKAGE}MapType(${inner})`, type.frozen && !insideFrozen);
    }
    case 'tuple':
      return `${PACKAGE}TupleType(${type.fields.map((field) => javaTypeName(field, true)).join(',')})`;
    case 'udt': {
      const inside = insideFrozen || type.frozen;
      const fields = type.fieldTypes.map(
        (field, i) => `,${hex(type.fieldNames[i])}:${javaTypeName(field, inside)}`,
      );
      const name = `${PACKAGE}UserType(${type.keyspace},${hex(type.name)}${fields.join('')})`;
      return frozenName(name, type.frozen && !insideFrozen);
    }
    case 'vector':
      return `${PACKAGE}VectorType(${javaTypeName(type.element, insideFrozen)} , ${type.dimension})`;
    case 'custom':
      return type.className;
  }
}

function frozenName(name: string, frozen: boolean): string {
  return frozen ? `${PACKAGE}FrozenType(${name})` : name;
}

function hex(text: string): string {
  return Buffer.from(text).toString('hex');
}

interface Cursor {
  readonly text: string;
  offset: number;
}

const NESTING_MAX = 64;

/**
 * The CQL type of a Java type name (the package may be left out; ReversedType is looked through);
 * a custom type if the class is not one of Cassandra's CQL types. Throws Invalid if malformed.
 */
export function parseJavaTypeName(text: string): CqlType {
  const cursor: Cursor = { text, offset: 0 };
  const type = parseType(cursor, 0);
  skipSpace(cursor);
  if (cursor.offset !== text.length) throw malformed(cursor);
  return type ?? Object.freeze({ kind: 'custom', className: text });
}

function malformed(cursor: Cursor): Error {
  return invalidRequest(`Syntax error parsing '${cursor.text}' at char ${cursor.offset}`);
}

function skipSpace(cursor: Cursor): void {
  while (/[\s]/.test(cursor.text[cursor.offset] ?? '')) cursor.offset++;
}

function word(cursor: Cursor): string {
  skipSpace(cursor);
  const start = cursor.offset;
  while (/[A-Za-z0-9_.+\-$&]/.test(cursor.text[cursor.offset] ?? '')) cursor.offset++;
  if (cursor.offset === start) throw malformed(cursor);
  return cursor.text.slice(start, cursor.offset);
}

function sign(cursor: Cursor, character: string): void {
  skipSpace(cursor);
  if (cursor.text[cursor.offset] !== character) throw malformed(cursor);
  cursor.offset++;
}

function trySign(cursor: Cursor, character: string): boolean {
  skipSpace(cursor);
  if (cursor.text[cursor.offset] !== character) return false;
  cursor.offset++;
  return true;
}

/** Null: a class that is none of ours; its parameters, if any, are not read. */
function parseType(cursor: Cursor, depth: number): CqlType | null {
  if (depth > NESTING_MAX) throw malformed(cursor);
  const full = word(cursor);
  const name = full.startsWith(PACKAGE) ? full.slice(PACKAGE.length) : full;
  const native = NATIVE_OF.get(name);
  if (native !== undefined) return nativeType(native);
  switch (name) {
    case 'ListType':
    case 'SetType':
    case 'MapType':
    case 'TupleType':
    case 'FrozenType':
    case 'ReversedType':
      return parameterized(cursor, name, depth);
    case 'VectorType':
      return parseVector(cursor, depth);
    case 'UserType':
      return parseUserType(cursor, depth);
    default:
      if (depth > 0) throw invalidRequest(`Unable to find abstract-type class '${full}'`);
      cursor.offset = cursor.text.length;
      return null;
  }
}

function required(cursor: Cursor, depth: number): CqlType {
  const type = parseType(cursor, depth);
  if (type === null) throw malformed(cursor);
  return type;
}

function parameterized(cursor: Cursor, name: string, depth: number): CqlType {
  const parameters: CqlType[] = [];
  sign(cursor, '(');
  do {
    parameters.push(required(cursor, depth + 1));
  } while (trySign(cursor, ','));
  sign(cursor, ')');
  if (name === 'TupleType') return tupleType(parameters.map(freeze));
  if (parameters.length !== (name === 'MapType' ? 2 : 1)) throw malformed(cursor);
  // Nothing inside a collection can be multi-cell.
  if (name === 'ListType') return listType(freeze(parameters[0]));
  if (name === 'SetType') return setType(freeze(parameters[0]));
  if (name === 'MapType') return mapType(freeze(parameters[0]), freeze(parameters[1]));
  return name === 'FrozenType' ? freeze(parameters[0]) : parameters[0];
}

function parseVector(cursor: Cursor, depth: number): CqlType {
  sign(cursor, '(');
  const element = freeze(required(cursor, depth + 1));
  sign(cursor, ',');
  const dimension = Number(word(cursor));
  if (!Number.isInteger(dimension) || dimension < 1) throw malformed(cursor);
  sign(cursor, ')');
  return vectorType(element, dimension);
}

function parseUserType(cursor: Cursor, depth: number): CqlType {
  sign(cursor, '(');
  const keyspace = word(cursor);
  sign(cursor, ',');
  const name = Buffer.from(word(cursor), 'hex').toString();
  const fieldNames: string[] = [];
  const fieldTypes: CqlType[] = [];
  while (trySign(cursor, ',')) {
    fieldNames.push(Buffer.from(word(cursor), 'hex').toString());
    sign(cursor, ':');
    fieldTypes.push(required(cursor, depth + 1));
  }
  sign(cursor, ')');
  return Object.freeze({ kind: 'udt', keyspace, name, fieldNames, fieldTypes, frozen: false });
}
