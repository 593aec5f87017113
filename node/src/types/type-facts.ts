/** Facts about CQL types that need no value: constructors, equality, lengths, freezing. */
import {
  type CqlType,
  type ListType,
  type MapType,
  NATIVE_TYPE_NAMES,
  type NativeType,
  type NativeTypeName,
  type SetType,
  type TupleType,
  type UserType,
  type VectorType,
} from './cql-type.ts';

const NATIVES: ReadonlyMap<string, NativeType> = new Map(
  NATIVE_TYPE_NAMES.map((name) => [name, Object.freeze({ kind: 'native', name })]),
);

/** The one object of a native type. */
export function nativeType(name: NativeTypeName): NativeType {
  return NATIVES.get(name) as NativeType;
}

/** The native type of a CQL name in lower case (`varchar` is `text`), or null. */
export function lookupNativeType(name: string): NativeType | null {
  return NATIVES.get(name === 'varchar' ? 'text' : name) ?? null;
}

/** `list<element>`, multi-cell unless `frozen`. */
export function listType(element: CqlType, frozen = false): ListType {
  return Object.freeze({ kind: 'list', element, frozen });
}

/** `set<element>`, multi-cell unless `frozen`. */
export function setType(element: CqlType, frozen = false): SetType {
  return Object.freeze({ kind: 'set', element, frozen });
}

/** `map<key, value>`, multi-cell unless `frozen`. */
export function mapType(key: CqlType, value: CqlType, frozen = false): MapType {
  return Object.freeze({ kind: 'map', key, value, frozen });
}

/** `tuple<…>`. */
export function tupleType(fields: readonly CqlType[]): TupleType {
  return Object.freeze({ kind: 'tuple', fields });
}

/** `vector<element, dimension>`; dimension ≥ 1. */
export function vectorType(element: CqlType, dimension: number): VectorType {
  return Object.freeze({ kind: 'vector', element, dimension });
}

/** Whether two types are the same in everything, freezing and field names too. */
export function sameType(a: CqlType, b: CqlType): boolean {
  if (a === b) return true;
  switch (a.kind) {
    case 'native':
      return b.kind === 'native' && a.name === b.name;
    case 'list':
    case 'set':
      return b.kind === a.kind && a.frozen === b.frozen && sameType(a.element, b.element);
    case 'map':
      return (
        b.kind === 'map' &&
        a.frozen === b.frozen &&
        sameType(a.key, b.key) &&
        sameType(a.value, b.value)
      );
    case 'tuple':
      return b.kind === 'tuple' && sameTypes(a.fields, b.fields);
    case 'udt':
      return b.kind === 'udt' && sameUserType(a, b);
    case 'vector':
      return b.kind === 'vector' && a.dimension === b.dimension && sameType(a.element, b.element);
    case 'custom':
      return b.kind === 'custom' && a.className === b.className;
  }
}

function sameTypes(a: readonly CqlType[], b: readonly CqlType[]): boolean {
  return a.length === b.length && a.every((type, i) => sameType(type, b[i]));
}

function sameUserType(a: UserType, b: UserType): boolean {
  return (
    a.keyspace === b.keyspace &&
    a.name === b.name &&
    a.frozen === b.frozen &&
    sameTypes(a.fieldTypes, b.fieldTypes) &&
    a.fieldNames.every((name, i) => name === b.fieldNames[i])
  );
}

/** Whether values are kept as one cell an element: a collection or user type that is not frozen. */
export function isMultiCell(type: CqlType): boolean {
  return isFreezable(type) && !type.frozen;
}

/** Whether it is a list, set or map. */
export function isCollection(type: CqlType): type is ListType | SetType | MapType {
  return type.kind === 'list' || type.kind === 'set' || type.kind === 'map';
}

function isFreezable(type: CqlType): type is ListType | SetType | MapType | UserType {
  return isCollection(type) || type.kind === 'udt';
}

/** The type with itself and everything in it frozen. */
export function freeze(type: CqlType): CqlType {
  switch (type.kind) {
    case 'list':
    case 'set':
      return Object.freeze({ ...type, element: freeze(type.element), frozen: true });
    case 'map':
      return mapType(freeze(type.key), freeze(type.value), true);
    case 'tuple':
      return tupleType(type.fields.map(freeze));
    case 'udt':
      return Object.freeze({ ...type, fieldTypes: type.fieldTypes.map(freeze), frozen: true });
    case 'vector':
      return vectorType(freeze(type.element), type.dimension);
    default:
      return type;
  }
}

/** Calls `visit` with the type and every type in it, outermost first. */
export function visitTypes(type: CqlType, visit: (type: CqlType) => void): void {
  visit(type);
  switch (type.kind) {
    case 'list':
    case 'set':
    case 'vector':
      visitTypes(type.element, visit);
      break;
    case 'map':
      visitTypes(type.key, visit);
      visitTypes(type.value, visit);
      break;
    case 'tuple':
      for (const field of type.fields) visitTypes(field, visit);
      break;
    case 'udt':
      for (const field of type.fieldTypes) visitTypes(field, visit);
      break;
    default:
  }
}

/** Whether the type is `name` or has it somewhere inside. */
export function containsNative(type: CqlType, name: NativeTypeName): boolean {
  let found = false;
  visitTypes(type, (inner) => {
    if (inner.kind === 'native' && inner.name === name) found = true;
  });
  return found;
}

/**
 * Bytes of every non-empty value of the type, or 0 if they differ. These are the types whose
 * partition keys take the fixed form (storage-format.md, 2), and counter.
 */
export function fixedLength(type: CqlType): number {
  if (type.kind !== 'native') return 0;
  switch (type.name) {
    case 'boolean':
    case 'tinyint':
      return 1;
    case 'smallint':
      return 2;
    case 'int':
    case 'float':
    case 'date':
      return 4;
    case 'bigint':
    case 'counter':
    case 'double':
    case 'time':
    case 'timestamp':
      return 8;
    case 'uuid':
    case 'timeuuid':
      return 16;
    default:
      return 0;
  }
}

/**
 * Bytes of a vector's element, or 0 where elements have length prefixes. By an accident of history
 * that drivers share, Cassandra counts tinyint, smallint, date and time among the latter. Source:
 * AbstractType.valueLengthIfFixed.
 */
export function vectorElementLength(type: CqlType): number {
  if (type.kind === 'vector') return vectorElementLength(type.element) * type.dimension;
  if (type.kind !== 'native') return 0;
  switch (type.name) {
    case 'tinyint':
    case 'smallint':
    case 'date':
    case 'time':
      return 0;
    default:
      return fixedLength(type);
  }
}
