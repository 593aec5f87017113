/** CQL types as immutable values. Everyone may import this. */

/** Every native type. `empty` is no type of a column; `counter` is one of special tables. */
export const NATIVE_TYPE_NAMES = [
  'ascii',
  'bigint',
  'blob',
  'boolean',
  'counter',
  'date',
  'decimal',
  'double',
  'duration',
  'empty',
  'float',
  'inet',
  'int',
  'smallint',
  'text',
  'time',
  'timestamp',
  'timeuuid',
  'tinyint',
  'uuid',
  'varint',
] as const;

export type NativeTypeName = (typeof NATIVE_TYPE_NAMES)[number];

export interface NativeType {
  readonly kind: 'native';
  readonly name: NativeTypeName;
}
export interface ListType {
  readonly kind: 'list';
  readonly element: CqlType;
  readonly frozen: boolean;
}
export interface SetType {
  readonly kind: 'set';
  readonly element: CqlType;
  readonly frozen: boolean;
}
export interface MapType {
  readonly kind: 'map';
  readonly key: CqlType;
  readonly value: CqlType;
  readonly frozen: boolean;
}
/** Always frozen. */
export interface TupleType {
  readonly kind: 'tuple';
  readonly fields: readonly CqlType[];
}
export interface UserType {
  readonly kind: 'udt';
  readonly keyspace: string;
  readonly name: string;
  readonly fieldNames: readonly string[];
  readonly fieldTypes: readonly CqlType[];
  readonly frozen: boolean;
}
/** Always frozen. Elements of a fixed-length type are packed without lengths. */
export interface VectorType {
  readonly kind: 'vector';
  readonly element: CqlType;
  readonly dimension: number;
}
export interface CustomType {
  readonly kind: 'custom';
  readonly className: string;
}
export type CqlType =
  | NativeType
  | ListType
  | SetType
  | MapType
  | TupleType
  | UserType
  | VectorType
  | CustomType;
