/**
 * From CQL text to something that can be run: parsed, checked against the schema, compiled.
 */
import { CqlError, ErrorCode, invalidRequest } from '../common/errors.ts';
import type {
  BatchStatement,
  DescribeStatement,
  InsertJsonStatement,
  ModificationStatement,
  QualifiedName,
  SchemaStatement,
  Statement,
} from '../cql/ast.ts';
import { CqlSyntaxError, parseStatement } from '../cql/index.ts';
import { findKeyspace, findTable, type Schema, type TableDef } from '../schema/schema.ts';
import { nativeType } from '../types/type-facts.ts';
import type { BatchKind } from './execute.ts';
import { planInsertJson } from './insert-json.ts';
import type { ModificationPlan } from './modify.ts';
import { planDelete, planInsert, planUpdate } from './plan-modification.ts';
import { planSelect } from './plan-select.ts';
import type { SelectPlan } from './select.ts';
import type { ResultColumn } from './selection.ts';
import type { CompiledTerm, MarkerSpec, TermScope } from './term-values.ts';
import { compileTerm } from './terms.ts';

export interface BatchPlan {
  readonly kind: 'batch';
  readonly batchKind: BatchKind;
  readonly modifications: readonly ModificationPlan[];
  readonly timestamp: CompiledTerm | null;
}

export type Plan =
  | SelectPlan
  | ModificationPlan
  | BatchPlan
  | { readonly kind: 'use'; readonly keyspace: string }
  | { readonly kind: 'describe'; readonly statement: DescribeStatement }
  /** Changes the schema, or truncates: the whole process takes part. */
  | {
      readonly kind: 'schema';
      readonly statement: SchemaStatement | Extract<Statement, { kind: 'truncate' }>;
    };

export interface PlannedStatement {
  readonly text: string;
  /** The session's keyspace when it was planned; null: it had none. */
  readonly keyspace: string | null;
  /** Its tables' names carry their keyspaces. */
  readonly isQualified: boolean;
  readonly plan: Plan;
  readonly markers: readonly MarkerSpec[];
  /** Table of the markers; null if there are none or of several. */
  readonly table: TableDef | null;
  /** Index of the marker of each partition key column, if all have one. */
  readonly partitionKeyMarkers: readonly number[];
  /** Empty for statements without a result, and for conditional ones, whose result varies. */
  readonly resultColumns: readonly ResultColumn[];
}

/** A parser's error as the client's. */
export function parse(text: string): Statement {
  try {
    return parseStatement(text);
  } catch (error) {
    if (error instanceof CqlSyntaxError) {
      throw new CqlError(ErrorCode.SyntaxError, error.message, null, { cause: error });
    }
    throw error;
  }
}

function keyspaceOf(name: QualifiedName, session: string | null): string {
  const keyspace = name.keyspace ?? session;
  if (keyspace === null) {
    throw invalidRequest(
      'No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename',
    );
  }
  return keyspace;
}

/** @throws CqlError Invalid */
export function requireTable(
  schema: Schema,
  name: QualifiedName,
  session: string | null,
): TableDef {
  const keyspace = keyspaceOf(name, session);
  if (findKeyspace(schema, keyspace) === undefined) {
    throw invalidRequest(`keyspace ${keyspace} does not exist`);
  }
  const table = findTable(schema, keyspace, name.name);
  if (table === undefined) throw invalidRequest(`table ${name.name} does not exist`);
  return table;
}

function planModification(
  statement: ModificationStatement | InsertJsonStatement,
  table: TableDef,
  scope: TermScope,
): ModificationPlan {
  switch (statement.kind) {
    case 'insert':
      return planInsert(statement, table, scope);
    case 'insertJson':
      return planInsertJson(statement, table, scope);
    case 'update':
      return planUpdate(statement, table, scope);
    case 'delete':
      return planDelete(statement, table, scope);
  }
}

function planBatch(
  statement: BatchStatement,
  schema: Schema,
  session: string | null,
  scope: TermScope,
): { readonly plan: BatchPlan; readonly table: TableDef | null } {
  const tables = new Set<TableDef>();
  const modifications = statement.statements.map((one) => {
    const table = requireTable(schema, one.table, session);
    tables.add(table);
    const own: TermScope = { ...scope, keyspace: table.keyspace };
    const plan = planModification(one, table, own);
    if (statement.using.timestamp !== undefined && plan.timestamp !== null) {
      throw invalidRequest('Timestamp must be set either on BATCH or individual statements');
    }
    return plan;
  });
  if (statement.using.ttl !== undefined)
    throw invalidRequest('Global TTL on the BATCH statement is not supported.');
  if (statement.using.timestamp !== undefined) {
    if (modifications.some((plan) => plan.conditions !== null)) {
      throw invalidRequest('Cannot provide custom timestamp for conditional BATCH');
    }
    if (statement.type === 'counter') {
      throw invalidRequest('Cannot provide custom timestamp for counter BATCH');
    }
    if (modifications.some((plan) => plan.table.isCounter)) {
      throw invalidRequest('Cannot provide custom timestamp for a BATCH containing counters');
    }
  }
  checkBatch(statement.type, modifications);
  const { timestamp } = statement.using;
  const type = nativeType('bigint');
  const term =
    timestamp === undefined ? null : compileTerm(timestamp, { name: '[timestamp]', type }, scope);
  return {
    plan: { kind: 'batch', batchKind: statement.type, modifications, timestamp: term },
    table: tables.size === 1 ? [...tables][0] : null,
  };
}

/** What may stand together in a batch. @throws CqlError Invalid */
export function checkBatch(kind: BatchKind, modifications: readonly ModificationPlan[]): void {
  const counters = modifications.filter((plan) => plan.table.isCounter).length;
  if (kind === 'counter') {
    if (counters < modifications.length)
      throw invalidRequest('Cannot include non-counter statement in a counter batch');
    return;
  }
  if (counters === 0) return;
  if (kind === 'logged')
    throw invalidRequest('Cannot include a counter statement in a logged batch');
  if (counters < modifications.length) {
    throw invalidRequest('Counter and non-counter mutations cannot exist in the same batch');
  }
}

const SPECIAL_KEYSPACES = new Set([
  'system',
  'system_schema',
  'system_views',
  'system_virtual_schema',
]);

function refuseSystemWrite(table: TableDef): void {
  if (SPECIAL_KEYSPACES.has(table.keyspace)) {
    throw new CqlError(
      ErrorCode.Unauthorized,
      `${table.keyspace} keyspace is not user-modifiable.`,
    );
  }
}

/** Statements on anything but rows are not, whatever they name: as in Cassandra, which warns of preparing them. */
function isQualified(statement: Statement): boolean {
  switch (statement.kind) {
    case 'select':
    case 'insert':
    case 'insertJson':
    case 'update':
    case 'delete':
    case 'truncate':
      return statement.table.keyspace !== undefined;
    case 'batch':
      return statement.statements.every((one) => one.table.keyspace !== undefined);
    default:
      return false;
  }
}

/** Index of the last marker of each partition key column; empty if any has none. */
function partitionMarkers(
  table: TableDef,
  markers: readonly (MarkerSpec | undefined)[],
): readonly number[] {
  const indexes = table.columns
    .filter((column) => column.kind === 'partition_key')
    .map((column) => markers.findLastIndex((marker) => marker?.column === column));
  return indexes.includes(-1) ? [] : indexes;
}

/**
 * Plans one statement.
 * @param session the connection's keyspace
 * @throws CqlError SyntaxError, Invalid, Unauthorized
 */
export function planStatement(
  text: string,
  schema: Schema,
  session: string | null,
  nowMillis: number,
): PlannedStatement {
  const statement = parse(text);
  const markers: (MarkerSpec | undefined)[] = [];
  const base = {
    text,
    keyspace: session,
    isQualified: isQualified(statement),
    partitionKeyMarkers: [],
    resultColumns: [],
    table: null,
  };
  const scopeOf = (keyspace: string): TermScope => ({
    schema,
    keyspace,
    markers,
    markerCount: statement.bindMarkers.length,
    nowMillis: BigInt(nowMillis),
  });
  const done = (): MarkerSpec[] =>
    statement.bindMarkers.map((marker, i) => {
      const spec = markers[i];
      if (spec === undefined) throw invalidRequest(`Cannot infer the type of bind variable ${i}`);
      return marker.name === undefined ? spec : { ...spec, name: marker.name };
    });
  switch (statement.kind) {
    case 'select': {
      const table = requireTable(schema, statement.table, session);
      const plan = planSelect(statement, table, scopeOf(table.keyspace));
      const keys = partitionMarkers(table, markers);
      return {
        ...base,
        plan,
        markers: done(),
        table,
        resultColumns: plan.resultColumns,
        partitionKeyMarkers: keys,
      };
    }
    case 'insert':
    case 'insertJson':
    case 'update':
    case 'delete': {
      const table = requireTable(schema, statement.table, session);
      refuseSystemWrite(table);
      const plan = planModification(statement, table, scopeOf(table.keyspace));
      const keys = partitionMarkers(table, markers);
      return { ...base, plan, markers: done(), table, partitionKeyMarkers: keys };
    }
    case 'batch': {
      const { plan, table } = planBatch(statement, schema, session, scopeOf(session ?? ''));
      for (const { table: own } of plan.modifications) refuseSystemWrite(own);
      const keys = table === null ? [] : partitionMarkers(table, markers);
      return { ...base, plan, markers: done(), table, partitionKeyMarkers: keys };
    }
    case 'use':
      if (findKeyspace(schema, statement.keyspace) === undefined) {
        throw invalidRequest(`Keyspace '${statement.keyspace}' does not exist`);
      }
      return { ...base, plan: { kind: 'use', keyspace: statement.keyspace }, markers: [] };
    case 'describe':
      return { ...base, plan: { kind: 'describe', statement }, markers: [] };
    case 'truncate': {
      refuseSystemWrite(requireTable(schema, statement.table, session));
      return { ...base, plan: { kind: 'schema', statement }, markers: [] };
    }
    default:
      return { ...base, plan: { kind: 'schema', statement }, markers: [] };
  }
}
