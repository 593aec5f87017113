/**
 * The syntax tree of CQL: what the parser hands to the planner. Nothing here knows a schema.
 *
 * Every node is a frozen plain object. Identifiers are already folded: an unquoted name is lower case,
 * a quoted one is as written. `at` is the offset (UTF-16 units from the start of the text) of the token
 * that an error message about the node should point at; `positionAt` of errors.ts turns it into a line
 * and a column. Statements about schema, roles and DESCRIBE are in ast-schema.ts, re-exported here.
 */

import type { NativeTypeName } from '../types/cql-type.ts';
import type { SchemaStatement } from './ast-schema.ts';

export type * from './ast-schema.ts';

/** A name that may carry its keyspace: a table, a type, an index, a function. */
export interface QualifiedName {
  readonly keyspace?: string;
  readonly name: string;
}

// ---- Types ----------------------------------------------------------------------------------------

/** Native types that can be written; `varchar` is read as `text`. */
export type NativeTypeWord = Exclude<NativeTypeName, 'empty'>;

/** A type as written, user types not resolved and nothing checked (that is the planner's work). */
export type TypeAst =
  | { readonly kind: 'native'; readonly name: NativeTypeWord }
  | { readonly kind: 'list'; readonly element: TypeAst }
  | { readonly kind: 'set'; readonly element: TypeAst }
  | { readonly kind: 'map'; readonly key: TypeAst; readonly value: TypeAst }
  | { readonly kind: 'tuple'; readonly fields: readonly TypeAst[] }
  /** `dimension` is as written: it may be zero or negative, but fits an int. */
  | { readonly kind: 'vector'; readonly element: TypeAst; readonly dimension: number }
  | { readonly kind: 'frozen'; readonly type: TypeAst }
  | { readonly kind: 'udt'; readonly name: QualifiedName }
  /** `'org.apache.cassandra.db.marshal.…'`: a class name in single quotes. */
  | { readonly kind: 'custom'; readonly className: string };

// ---- Terms ----------------------------------------------------------------------------------------

/** Sorts of constants; `float` includes NaN, Infinity and -Infinity. */
export type LiteralSort = 'string' | 'integer' | 'float' | 'boolean' | 'uuid' | 'hex' | 'duration';

/**
 * A constant. `text` is the content of a string without its quotes; for the rest the text as written
 * (integers of any length, hex with its `0x`), except: booleans are lower case, a NaN is `NaN`,
 * infinities are `Infinity` and `-Infinity`.
 */
export interface Literal {
  readonly kind: 'literal';
  readonly sort: LiteralSort;
  readonly text: string;
  readonly at: number;
}
export interface NullTerm {
  readonly kind: 'null';
}
/** `?` or `:name`; `index` counts from 0 in order of appearance and points into `bindMarkers`. */
export interface Marker {
  readonly kind: 'marker';
  readonly index: number;
}
/** `[a, b]`: a list or a vector. */
export interface ListLiteral<E> {
  readonly kind: 'list';
  readonly elements: readonly E[];
}
/** `{a, b}`. The empty `{}` is read as a set: it may be meant as a map. */
export interface SetLiteral<E> {
  readonly kind: 'set';
  readonly elements: readonly E[];
}
export interface MapEntry<E> {
  readonly key: E;
  readonly value: E;
}
/** `{k: v}`. In a selection a key that is a bare column may be meant as the field of a user type. */
export interface MapLiteral<E> {
  readonly kind: 'map';
  readonly entries: readonly MapEntry<E>[];
}
/** `{field: value}`: a value of a user type; fields in the order written, duplicates kept. */
export interface UdtLiteral<E> {
  readonly kind: 'udt';
  readonly fields: readonly { readonly name: string; readonly value: E }[];
}
/** `(a, b)`. One element in a selection is a parenthesised expression or a tuple of one. */
export interface TupleLiteral<E> {
  readonly kind: 'tuple';
  readonly elements: readonly E[];
}
/** `f(a, b)`, also `token(…)` and `count(1)`. */
export interface FunctionCall<E> {
  readonly kind: 'function';
  readonly name: QualifiedName;
  readonly args: readonly E[];
  readonly at: number;
}
/** `CAST(value AS type)`. */
export interface Cast<E> {
  readonly kind: 'cast';
  readonly value: E;
  readonly type: TypeAst;
  readonly at: number;
}
/** `(type) value`. */
export interface TypeHint<E> {
  readonly kind: 'typeHint';
  readonly type: TypeAst;
  readonly value: E;
  readonly at: number;
}
export type ArithmeticOperator = '+' | '-' | '*' | '/' | '%';
/** Precedence is already in the shape of the tree; operators of one level group to the left. */
export interface Arithmetic<E> {
  readonly kind: 'arithmetic';
  readonly operator: ArithmeticOperator;
  readonly left: E;
  readonly right: E;
  readonly at: number;
}
/** Unary minus; `-5` is a literal, not a negation. */
export interface Negation<E> {
  readonly kind: 'negation';
  readonly value: E;
  readonly at: number;
}

/** A value in VALUES, SET, WHERE, IF and the like: it never refers to a column. */
export type Term =
  | Literal
  | NullTerm
  | Marker
  | UdtLiteral<Term>
  | ListLiteral<Term>
  | SetLiteral<Term>
  | MapLiteral<Term>
  | TupleLiteral<Term>
  | FunctionCall<Term>
  | Cast<Term>
  | TypeHint<Term>
  | Arithmetic<Term>
  | Negation<Term>;

// ---- Selection ------------------------------------------------------------------------------------

export interface ColumnRef {
  readonly kind: 'column';
  readonly name: string;
  readonly at: number;
}
/** `count(*)`. */
export interface CountRows {
  readonly kind: 'countRows';
  readonly at: number;
}
/** `writetime(x)`, `maxwritetime(x)`, `ttl(x)`: x is a column, an element, a slice or a field. */
export interface CellMetadata {
  readonly kind: 'cellMetadata';
  readonly metadata: 'writetime' | 'maxwritetime' | 'ttl';
  readonly of: Selectable;
  readonly at: number;
}
/** `m[k]`. */
export interface ElementSelection {
  readonly kind: 'element';
  readonly of: Selectable;
  readonly key: Term;
  readonly at: number;
}
/** `m[from..to]`, both ends included, at least one given. */
export interface SliceSelection {
  readonly kind: 'slice';
  readonly of: Selectable;
  readonly from?: Term;
  readonly to?: Term;
  readonly at: number;
}
/** `u.field`. */
export interface FieldSelection {
  readonly kind: 'field';
  readonly of: Selectable;
  readonly field: string;
  readonly at: number;
}

/** An expression of a SELECT clause or of GROUP BY. */
export type Selectable =
  | ColumnRef
  | CountRows
  | CellMetadata
  | ElementSelection
  | SliceSelection
  | FieldSelection
  | Literal
  | NullTerm
  | Marker
  | ListLiteral<Selectable>
  | SetLiteral<Selectable>
  | MapLiteral<Selectable>
  | TupleLiteral<Selectable>
  | FunctionCall<Selectable>
  | Cast<Selectable>
  | TypeHint<Selectable>
  | Arithmetic<Selectable>
  | Negation<Selectable>;

export interface Selector {
  readonly expression: Selectable;
  readonly alias?: string;
  readonly at: number;
}

// ---- Relations and conditions ---------------------------------------------------------------------

export type ComparisonOperator =
  | '='
  | '<'
  | '<='
  | '>'
  | '>='
  | '!='
  | 'LIKE'
  | 'CONTAINS'
  | 'CONTAINS KEY';

/** Left side of a relation or a condition. */
export type RelationTarget =
  | { readonly kind: 'column'; readonly column: string }
  /** `(a, b)`: also with a single column. */
  | { readonly kind: 'columns'; readonly columns: readonly string[] }
  | { readonly kind: 'token'; readonly columns: readonly string[] }
  /** `m[key]`. */
  | { readonly kind: 'element'; readonly column: string; readonly key: Term }
  /** `u.field`: only in an IF condition. */
  | { readonly kind: 'field'; readonly column: string; readonly field: string };

export interface Comparison {
  readonly kind: 'comparison';
  readonly target: RelationTarget;
  readonly operator: ComparisonOperator;
  readonly value: Term;
  readonly at: number;
}
/** `x IN (…)`, or `x IN ?` where the marker is bound to a list. */
export interface InRelation {
  readonly kind: 'in';
  readonly target: RelationTarget;
  readonly values: readonly Term[] | Marker;
  readonly at: number;
}
export interface IsNotNullRelation {
  readonly kind: 'isNotNull';
  readonly target: RelationTarget;
  readonly at: number;
}
/** `expr(index, value)`: a search in the language of a custom index. */
export interface IndexExpression {
  readonly kind: 'indexExpression';
  readonly index: QualifiedName;
  readonly value: Term;
  readonly at: number;
}
/** One conjunct of WHERE. */
export type Relation = Comparison | InRelation | IsNotNullRelation | IndexExpression;

/** One conjunct of IF. */
export type Condition = Comparison | InRelation;

// ---- Reading and changing data --------------------------------------------------------------------

/** `column [ANN OF term] [ASC|DESC]`. */
export interface Ordering {
  readonly column: string;
  readonly annOf?: Term;
  readonly direction: 'asc' | 'desc';
  readonly at: number;
}
/** A number given as a literal integer or a marker. */
export type IntegerTerm = Literal | Marker;

export interface SelectStatement {
  readonly kind: 'select';
  readonly json: boolean;
  readonly distinct: boolean;
  readonly selectors: '*' | readonly Selector[];
  readonly table: QualifiedName;
  readonly where: readonly Relation[];
  readonly groupBy: readonly Selectable[];
  readonly orderBy: readonly Ordering[];
  readonly perPartitionLimit?: IntegerTerm;
  readonly limit?: IntegerTerm;
  readonly allowFiltering: boolean;
  readonly at: number;
}

/** USING: `timestamp` in microseconds, `ttl` in seconds. */
export interface UsingClause {
  readonly timestamp?: IntegerTerm;
  readonly ttl?: IntegerTerm;
}

export interface InsertStatement {
  readonly kind: 'insert';
  readonly table: QualifiedName;
  readonly columns: readonly string[];
  /** Not checked to be as many as the columns. */
  readonly values: readonly Term[];
  readonly ifNotExists: boolean;
  readonly using: UsingClause;
  readonly at: number;
}
export interface InsertJsonStatement {
  readonly kind: 'insertJson';
  readonly table: QualifiedName;
  readonly json: Literal | Marker;
  /** What columns absent from the document become; without DEFAULT it is null. */
  readonly missing: 'null' | 'unset';
  readonly ifNotExists: boolean;
  readonly using: UsingClause;
  readonly at: number;
}

/**
 * One item of SET. `set`: c = t; `add`: c = c + t, c += t (`c = c -1` is the addition of `-1`);
 * `subtract`: c = c - t, c -= t; `prepend`: c = t + c; `setElement`: c[key] = t; `setField`: c.field = t.
 */
export type Assignment = (
  | { readonly kind: 'set' | 'add' | 'subtract' | 'prepend' }
  | { readonly kind: 'setElement'; readonly key: Term }
  | { readonly kind: 'setField'; readonly field: string }
) & { readonly column: string; readonly value: Term; readonly at: number };

/** IF: absent, IF EXISTS, or conditions (at least one). */
export type IfClause = 'exists' | readonly Condition[];

export interface UpdateStatement {
  readonly kind: 'update';
  readonly table: QualifiedName;
  readonly using: UsingClause;
  readonly assignments: readonly Assignment[];
  readonly where: readonly Relation[];
  readonly if?: IfClause;
  readonly at: number;
}

/** What DELETE removes: a column, `c[key]`, or `c.field`. */
export type Deletion = (
  | { readonly kind: 'column' }
  | { readonly kind: 'element'; readonly key: Term }
  | { readonly kind: 'field'; readonly field: string }
) & { readonly column: string; readonly at: number };

export interface DeleteStatement {
  readonly kind: 'delete';
  /** Empty: whole rows. */
  readonly deletions: readonly Deletion[];
  readonly table: QualifiedName;
  readonly timestamp?: IntegerTerm;
  readonly where: readonly Relation[];
  readonly if?: IfClause;
  readonly at: number;
}

export type ModificationStatement =
  | InsertStatement
  | InsertJsonStatement
  | UpdateStatement
  | DeleteStatement;

export interface BatchStatement {
  readonly kind: 'batch';
  readonly type: 'logged' | 'unlogged' | 'counter';
  readonly using: UsingClause;
  /** May be empty. Their markers are numbered through the whole batch. */
  readonly statements: readonly ModificationStatement[];
  readonly at: number;
}
export interface TruncateStatement {
  readonly kind: 'truncate';
  readonly table: QualifiedName;
  readonly at: number;
}
export interface UseStatement {
  readonly kind: 'use';
  readonly keyspace: string;
  readonly at: number;
}

export type DataStatement = SelectStatement | ModificationStatement | BatchStatement;

/** A bind marker of the text: `{}` for `?`, a name for `:name`. The same name may appear again. */
export interface BindMarker {
  readonly name?: string;
}

/** A statement without its bind markers. */
export type StatementBody = DataStatement | TruncateStatement | UseStatement | SchemaStatement;

/** One parsed statement; `bindMarkers[i]` describes the marker of index i. */
export type Statement = StatementBody & { readonly bindMarkers: readonly BindMarker[] };
