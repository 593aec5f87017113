/** INSERT, UPDATE, DELETE: planned once, run many times; a run makes mutations. */
import { joinWords, Writer } from '../common/bytes.ts';
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
import { writePartitionKey } from '../storage/keys.ts';
import { mergeStates } from '../storage/merge.ts';
import { type Cell, encodeRecord, type RecordState } from '../storage/record.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { RecordWriter } from '../storage/record-writer.ts';
import { nativeType } from '../types/type-facts.ts';
import { type ConditionPlan, planConditions } from './conditions.ts';
import {
  compileAssignment,
  compileDeletion,
  type Operation,
  type PriorRow,
  setValue,
  type WriteContext,
} from './operations.ts';
import { type Range, sortDistinct } from './ranges.ts';
import { findColumn } from './relations.ts';
import { analyzeWhere, type Restrictions, type WhereOwner } from './restrictions.ts';
import { type Binding, type CompiledTerm, compileTerm, type TermScope } from './terms.ts';

/** One record to merge into a table. */
export interface Mutation {
  readonly handle: TableHandle;
  readonly key: Uint8Array;
  readonly record: Uint8Array;
}

/** How and when a statement writes. */
export interface WriteOptions {
  /** The statement's timestamp unless USING TIMESTAMP says otherwise: int64 microseconds as two int32. */
  readonly stampHigh: number;
  readonly stampLow: number;
  readonly nowSeconds: number;
  listPlace(end: 'last' | 'first'): Uint8Array;
}

/** What a modification does to the rows it finds. */
type Action =
  | 'insert'
  | 'update'
  | 'delete-cells'
  | 'delete-rows'
  | 'delete-ranges'
  | 'delete-partition';

export interface ModificationPlan {
  readonly kind: 'modification';
  readonly table: TableDef;
  readonly action: Action;
  readonly restrictions: Restrictions;
  /** Sorted by column id. */
  readonly regular: readonly Operation[];
  readonly statics: readonly Operation[];
  readonly touchesRows: boolean;
  readonly timestamp: CompiledTerm | null;
  readonly ttl: CompiledTerm | null;
  readonly conditions: ConditionPlan | null;
  readonly isCounter: boolean;
  /** The row must be read before it can be written (lists by index or value). */
  readonly needsPrior: boolean;
  /** One row, plain values, nothing to read: written without intermediate values. */
  readonly isFast: boolean;
  /** Turns the bound values into those that the plan was made for (INSERT JSON); null: they are. */
  readonly rebind: ((binding: Binding) => Binding) | null;
}

const TTL_MAX = 20 * 365 * 24 * 60 * 60;

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
  let action: Action = parts.action;
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

/** The statement's own timestamp, or the default. */
export function writeTimestamp(
  plan: ModificationPlan,
  binding: Binding,
  options: WriteOptions,
): bigint {
  if (plan.timestamp !== null) {
    const value = plan.timestamp.evaluate(binding);
    if (value === null) throw invalidRequest('Invalid null value of timestamp');
    if (value !== undefined) {
      const timestamp = Buffer.from(value).readBigInt64BE(0);
      if (timestamp === -(2n ** 63n)) {
        throw invalidRequest(
          `Out of bound timestamp, must be in [${-(2n ** 63n) + 1n}, ${2n ** 63n - 1n}]`,
        );
      }
      return timestamp;
    }
  }
  return joinWords(options.stampHigh, options.stampLow);
}

/** Seconds to live; 0: for ever. */
function timeToLive(plan: ModificationPlan, binding: Binding): number {
  const fallback = plan.table.options.default_time_to_live;
  if (plan.ttl === null) return fallback;
  const value = plan.ttl.evaluate(binding);
  if (value === null || value === undefined) return fallback;
  const ttl = Buffer.from(value).readInt32BE(0);
  if (ttl < 0) throw invalidRequest(`A TTL must be greater or equal to 0, but was ${ttl}`);
  if (ttl > TTL_MAX) {
    throw invalidRequest(`ttl is too large. requested (${ttl}) maximum (${TTL_MAX})`);
  }
  return ttl;
}

const EMPTY_STATE: RecordState = { liveness: null, deletion: null, ranges: [], cells: [] };

/** Cells of several operations as one record's. */
function joinCells(operations: readonly Operation[], context: WriteContext): readonly Cell[] {
  let state = EMPTY_STATE;
  for (const operation of operations) {
    const cells = operation.cells(context);
    if (cells.length > 0) state = mergeStates(state, { ...EMPTY_STATE, cells });
  }
  return state.cells;
}

function partitionKeys(
  plan: ModificationPlan,
  handle: TableHandle,
  binding: Binding,
): Uint8Array[] {
  const { partition } = plan.restrictions;
  if (partition.kind !== 'keys') return [];
  const keys = partition.keys(binding).map((values) => {
    checkKeyLength(values);
    const out = new Writer(64);
    writePartitionKey(handle.keys, values, out);
    return out.copy();
  });
  return keys.length > 1 ? sortDistinct(keys) : keys;
}

const KEY_BYTES_MAX = 65535;

function checkKeyLength(values: readonly Uint8Array[]): void {
  const length = values.reduce((sum, value) => sum + value.length, 0);
  if (length > KEY_BYTES_MAX) {
    throw invalidRequest(`Key length of ${length} is longer than maximum of ${KEY_BYTES_MAX}`);
  }
}

/** The rows a statement names: token and partition key, and the clustering bytes of each row. */
export interface Targets {
  readonly partitions: readonly Uint8Array[];
  readonly points: readonly Uint8Array[];
}

export function targetsOf(plan: ModificationPlan, handle: TableHandle, binding: Binding): Targets {
  const { clustering } = plan.restrictions;
  return {
    partitions: partitionKeys(plan, handle, binding),
    points: clustering.isPoints ? clustering.points(binding) : [],
  };
}

function rowRecord(plan: ModificationPlan, context: WriteContext): Uint8Array | null {
  const { timestamp, ttl, nowSeconds } = context;
  if (plan.action === 'delete-rows') {
    const deletion = { timestamp: context.deletionTimestamp, localSeconds: nowSeconds };
    return encodeRecord({ ...EMPTY_STATE, deletion });
  }
  const cells = joinCells(plan.regular, context);
  const liveness =
    plan.action === 'insert' ? { timestamp, ttl, expiry: ttl === 0 ? 0 : nowSeconds + ttl } : null;
  if (cells.length === 0 && liveness === null) return null;
  return encodeRecord({ liveness, deletion: null, ranges: [], cells });
}

function rangesRecord(ranges: readonly Range[], context: WriteContext): Uint8Array {
  const { deletionTimestamp: timestamp, nowSeconds } = context;
  return encodeRecord({
    ...EMPTY_STATE,
    ranges: ranges.map(({ lower, upper }) => ({
      start: lower,
      end: upper,
      timestamp,
      localSeconds: nowSeconds,
    })),
  });
}

/**
 * What a statement writes.
 * @param timestamp overrides the statement's (conditional updates)
 * @param priors the rows as they are, by partition and point in the order of `targets`; null if not needed
 * @throws CqlError Invalid
 */
export function makeMutations(
  plan: ModificationPlan,
  handle: TableHandle,
  binding: Binding,
  options: WriteOptions,
  timestamp: bigint | null = null,
  priors: readonly (PriorRow | null)[] | null = null,
): Mutation[] {
  const { partitions, points } = targetsOf(plan, handle, binding);
  const written = timestamp ?? writeTimestamp(plan, binding, options);
  const context: Omit<WriteContext, 'prior'> = {
    timestamp: written,
    // Conditional statements of one batch share their time: what they write outlives what they delete.
    deletionTimestamp: timestamp === null ? written : timestamp - 1n,
    nowSeconds: options.nowSeconds,
    ttl: timeToLive(plan, binding),
    binding,
    listPlace: options.listPlace,
  };
  const mutations: Mutation[] = [];
  for (const [p, partition] of partitions.entries()) {
    const own = { ...context, prior: priors?.[p * Math.max(points.length, 1)] ?? null };
    if (plan.action === 'delete-partition') {
      const deletion = { timestamp: own.deletionTimestamp, localSeconds: own.nowSeconds };
      mutations.push({
        handle,
        key: partition,
        record: encodeRecord({ ...EMPTY_STATE, deletion }),
      });
      continue;
    }
    if (plan.action === 'delete-ranges') {
      const ranges = plan.restrictions.clustering.ranges(binding);
      if (ranges.length > 0)
        mutations.push({ handle, key: partition, record: rangesRecord(ranges, own) });
      continue;
    }
    const staticCells = joinCells(plan.statics, own);
    if (staticCells.length > 0) {
      const record = encodeRecord({ ...EMPTY_STATE, cells: staticCells });
      mutations.push({ handle, key: partition, record });
    }
    if (!plan.touchesRows) continue;
    for (const [i, point] of points.entries()) {
      const prior = priors?.[p * points.length + i] ?? null;
      const record = rowRecord(plan, { ...context, prior });
      if (record === null) continue;
      const key = point.length === 0 ? partition : Buffer.concat([partition, point]);
      mutations.push({ handle, key, record });
    }
  }
  return mutations;
}

const FAST_KEY = new Writer(256);
const FAST_RECORD = new RecordWriter();

/** Where `writeFast` has put its key and record; good until its next call. */
export interface FastMutation {
  readonly key: Buffer;
  readonly keyLength: number;
  readonly record: Buffer;
  readonly recordLength: number;
}

const FAST = { key: FAST_KEY.buffer, keyLength: 0, record: FAST_RECORD.bytes, recordLength: 0 };

/**
 * What a statement with `isFast` writes.
 * @hot
 * @throws CqlError Invalid
 */
export function makeFastMutation(
  plan: ModificationPlan,
  handle: TableHandle,
  binding: Binding,
  options: WriteOptions,
): FastMutation {
  const { partition, clustering } = plan.restrictions;
  if (partition.kind !== 'keys') throw invalidRequest('the partition key is missing');
  const [values] = partition.keys(binding);
  if (handle.keys.fixedPartitionKeyBytes === 0) checkKeyLength(values);
  FAST_KEY.reset();
  writePartitionKey(handle.keys, values, FAST_KEY);
  if (handle.keys.clustering.length > 0) FAST_KEY.raw(clustering.points(binding)[0]);
  FAST_RECORD.begin(options.stampHigh, options.stampLow, plan.action === 'insert', 0, 0);
  for (const operation of plan.regular) {
    const value = operation.simple?.evaluate(binding);
    if (value === undefined) continue;
    if (value === null) FAST_RECORD.tombstone(operation.column.id, options.nowSeconds);
    else FAST_RECORD.value(operation.column.id, value);
  }
  FAST.key = FAST_KEY.buffer;
  FAST.keyLength = FAST_KEY.length;
  FAST.record = FAST_RECORD.bytes;
  FAST.recordLength = FAST_RECORD.length;
  return FAST;
}
