/** INSERT, UPDATE and DELETE checked against the schema and compiled. */
import { invalidRequest } from '../common/errors.ts';
import type {
  Comparison,
  DeleteStatement,
  InsertStatement,
  IntegerTerm,
  Relation,
  Term,
  UpdateStatement,
} from '../cql/ast.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { nativeType } from '../types/type-facts.ts';
import { type ConditionPlan, planConditions } from './conditions.ts';
import type { ModificationAction, ModificationPlan } from './modify.ts';
import { compileAssignment, compileDeletion, type Operation, setValue } from './operations.ts';
import { findColumn } from './relations.ts';
import type { WhereOwner } from './restriction-checks.ts';
import { analyzeWhere, type Restrictions } from './restrictions.ts';
import type { CompiledTerm, TermScope } from './term-values.ts';
import { compileTerm } from './terms.ts';

interface Parts {
  readonly table: TableDef;
  readonly action: 'insert' | 'update' | 'delete-cells' | 'delete-rows';
  readonly where: readonly Relation[];
  readonly operations: readonly Operation[];
  readonly using: { readonly timestamp?: IntegerTerm; readonly ttl?: IntegerTerm };
  readonly conditions: ConditionPlan | null;
}

function usingTerm(
  term: IntegerTerm | undefined,
  name: string,
  type: 'bigint' | 'int',
  scope: TermScope,
): CompiledTerm | null {
  return term === undefined ? null : compileTerm(term, { name, type: nativeType(type) }, scope);
}

type Owner = Exclude<WhereOwner, 'SELECT'>;

const OWNERS: Readonly<Record<'insert' | 'update' | 'delete-cells' | 'delete-rows', Owner>> = {
  insert: 'INSERT',
  update: 'UPDATE',
  'delete-cells': 'DELETE',
  'delete-rows': 'DELETE',
};

/** Statement and conditions are on static columns alone: they concern a partition, no row of it. */
function isOnStaticsAlone({ action, operations, conditions }: Parts): boolean {
  if (action === 'delete-rows') return false;
  const columns = [
    ...operations.map((operation) => operation.column),
    ...(conditions?.kind === 'columns' ? conditions.columns : []),
  ];
  return columns.length > 0 && columns.every((column) => column.kind === 'static');
}

/** The rows of a DELETE with IF: one, or none if all is about static columns. */
function checkConditionalDelete({ operations, conditions, table }: Parts, isPoint: boolean): void {
  if (conditions === null || isPoint) return;
  const start = 'DELETE statements must restrict all PRIMARY KEY columns with equality relations';
  const hasClustering = table.columns.some((column) => column.kind === 'clustering');
  if (
    hasClustering &&
    (operations.length === 0 || operations.some(({ column }) => column.kind !== 'static'))
  ) {
    throw invalidRequest(`${start} in order to delete non static columns`);
  }
  if (conditions.kind === 'columns' && !conditions.onStatics) {
    throw invalidRequest(`${start} in order to use IF condition on non static columns`);
  }
}

/** Refuses statements that do not name the rows that they must. */
function checkRows(parts: Parts, restrictions: Restrictions, owner: Owner): void {
  const { table, operations } = parts;
  const { otherColumns, clustering } = restrictions;
  const onStatics = isOnStaticsAlone(parts);
  if (onStatics && clustering.restricted.size > 0 && owner !== 'INSERT') {
    throw invalidRequest(
      `Invalid restrictions on clustering columns since the ${owner} statement modifies only static columns`,
    );
  }
  if (owner !== 'DELETE') {
    if (clustering.hasSlice) {
      throw invalidRequest(
        `Slice restrictions are not supported on the clustering columns in ${owner} statements`,
      );
    }
    const missing = table.columns.filter(
      (column) => column.kind === 'clustering' && !clustering.restricted.has(column),
    );
    if (missing.length > 0 && !(onStatics && clustering.restricted.size === 0)) {
      throw invalidRequest(
        `Some clustering keys are missing: ${missing.map((column) => column.name).join(', ')}`,
      );
    }
  }
  if (otherColumns.length > 0) {
    const names = otherColumns.map((column) => column.name).join(', ');
    throw invalidRequest(`Non PRIMARY KEY columns found in where clause: ${names} `);
  }
  if (owner !== 'DELETE') return;
  checkConditionalDelete(parts, clustering.isPoints);
  if (operations.length > 0 && !onStatics && !clustering.isPoints) {
    throw invalidRequest('Range deletions are not supported for specific columns');
  }
}

function finishPlan(parts: Parts, scope: TermScope): ModificationPlan {
  const { table, where, operations, using, conditions } = parts;
  const owner = OWNERS[parts.action];
  let action: ModificationAction = parts.action;
  const restrictions = analyzeWhere(where, table, scope, owner, false);
  checkRows(parts, restrictions, owner);
  const byId = [...operations].sort((a, b) => a.column.id - b.column.id);
  const statics = byId.filter((operation) => operation.column.kind === 'static');
  const regular = byId.filter((operation) => operation.column.kind !== 'static');
  const clusteringCount = table.columns.filter((column) => column.kind === 'clustering').length;
  const hasClustering = clusteringCount > 0;
  const { clustering } = restrictions;
  if (action === 'delete-rows') {
    if (!hasClustering || clustering.isWhole) action = 'delete-partition';
    else if (!clustering.isPoints) action = 'delete-ranges';
  }
  // Only an INSERT that names a row makes one of static columns alone.
  const touchesRows =
    statics.length === 0 ||
    regular.length > 0 ||
    (parts.action === 'insert' && !(hasClustering && clustering.isWhole));
  const timestamp = usingTerm(using.timestamp, '[timestamp]', 'bigint', scope);
  const ttl = usingTerm(using.ttl, '[ttl]', 'int', scope);
  if (table.isCounter && timestamp !== null) {
    throw invalidRequest('Cannot provide custom timestamp for counter updates');
  }
  if (table.isCounter && ttl !== null)
    throw invalidRequest('Cannot provide custom TTL for counter updates');
  if (conditions !== null && timestamp !== null) {
    throw invalidRequest('Cannot provide custom timestamp for conditional updates');
  }
  if (conditions !== null && table.isCounter) {
    throw invalidRequest('Conditional updates are not supported on counter tables');
  }
  const needsPrior = operations.some((operation) => operation.needsPrior);
  const simpleOnly = operations.every((operation) => operation.simple !== null);
  const isPoint =
    restrictions.partition.kind === 'keys' &&
    restrictions.partition.isSingle &&
    clustering.isPoints;
  const columnsDiffer =
    new Set(operations.map((operation) => operation.column)).size === operations.length;
  return {
    kind: 'modification',
    table,
    action,
    restrictions,
    regular,
    statics,
    touchesRows,
    timestamp,
    ttl,
    conditions,
    isCounter: table.isCounter && operations.some((operation) => operation.delta !== null),
    needsPrior,
    isFast:
      (action === 'insert' || action === 'update') &&
      isPoint &&
      touchesRows &&
      statics.length === 0 &&
      simpleOnly &&
      columnsDiffer &&
      conditions === null &&
      !table.isCounter &&
      clustering.fixedColumns === clusteringCount &&
      timestamp === null &&
      ttl === null &&
      table.options.default_time_to_live === 0,
    rebind: null,
  };
}

function equals(column: string, value: Term): Comparison {
  return { kind: 'comparison', target: { kind: 'column', column }, operator: '=', value, at: 0 };
}

function isKey(column: ColumnDef): boolean {
  return column.kind === 'partition_key' || column.kind === 'clustering';
}

/** @throws CqlError Invalid */
export function planInsert(
  statement: InsertStatement,
  table: TableDef,
  scope: TermScope,
): ModificationPlan {
  if (table.isCounter) {
    throw invalidRequest('INSERT statements are not allowed on counter tables, use UPDATE instead');
  }
  if (statement.columns.length !== statement.values.length) {
    throw invalidRequest('Unmatched column names/values');
  }
  const where: Relation[] = [];
  const operations: Operation[] = [];
  const seen = new Set<string>();
  for (const [i, name] of statement.columns.entries()) {
    const column = findColumn(table, name);
    if (seen.has(name)) throw invalidRequest(`The column names contains duplicates`);
    seen.add(name);
    const value = statement.values[i];
    if (isKey(column)) where.push(equals(name, value));
    else operations.push(setValue(column, compileTerm(value, column, scope)));
  }
  const missingKey = table.columns.filter((c) => c.kind === 'partition_key' && !seen.has(c.name));
  if (missingKey.length > 0) {
    throw invalidRequest(
      `Some partition key parts are missing: ${missingKey.map((c) => c.name).join(', ')}`,
    );
  }
  const conditions = statement.ifNotExists ? planConditions('not-exists', table, scope) : null;
  const using = statement.using;
  return finishPlan({ table, action: 'insert', where, operations, using, conditions }, scope);
}

/** @throws CqlError Invalid */
export function planUpdate(
  statement: UpdateStatement,
  table: TableDef,
  scope: TermScope,
): ModificationPlan {
  const operations = statement.assignments.map((assignment) => {
    const column = findColumn(table, assignment.column);
    if (isKey(column)) {
      throw invalidRequest(`PRIMARY KEY part ${column.name} found in SET part`);
    }
    return compileAssignment(column, assignment, scope);
  });
  const conditions = statement.if === undefined ? null : planConditions(statement.if, table, scope);
  const { where, using } = statement;
  return finishPlan({ table, action: 'update', where, operations, using, conditions }, scope);
}

/** @throws CqlError Invalid */
export function planDelete(
  statement: DeleteStatement,
  table: TableDef,
  scope: TermScope,
): ModificationPlan {
  const operations = statement.deletions.map((deletion) => {
    const column = findColumn(table, deletion.column);
    if (isKey(column)) {
      throw invalidRequest(
        `Invalid identifier ${column.name} for deletion (should not be a PRIMARY KEY part)`,
      );
    }
    return compileDeletion(column, deletion, scope);
  });
  const conditions = statement.if === undefined ? null : planConditions(statement.if, table, scope);
  const { where, timestamp } = statement;
  const using = timestamp === undefined ? {} : { timestamp };
  const action = operations.length > 0 ? 'delete-cells' : 'delete-rows';
  return finishPlan({ table, action, where, operations, using, conditions }, scope);
}
