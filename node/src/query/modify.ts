/** What an INSERT, UPDATE or DELETE is, planned, and the mutations that a run of it makes. */
import { joinWords, Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import type { TableDef } from '../schema/schema.ts';
import { writePartitionKey } from '../storage/keys.ts';
import { mergeStates } from '../storage/merge.ts';
import { type Cell, encodeRecord, type RecordState } from '../storage/record.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { RecordWriter } from '../storage/record-writer.ts';
import type { ConditionPlan } from './conditions.ts';
import type { Operation, PriorRow, WriteContext } from './operations.ts';
import { type Range, sortDistinct } from './ranges.ts';
import type { Restrictions } from './restrictions.ts';
import type { Binding, CompiledTerm } from './term-values.ts';

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
export type ModificationAction =
  | 'insert'
  | 'update'
  | 'delete-cells'
  | 'delete-rows'
  | 'delete-ranges'
  | 'delete-partition';

export interface ModificationPlan {
  readonly kind: 'modification';
  readonly table: TableDef;
  readonly action: ModificationAction;
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

/** One modification with its bound values. */
export interface BoundModification {
  readonly plan: ModificationPlan;
  readonly handle: TableHandle;
  readonly binding: Binding;
}

const TTL_MAX = 20 * 365 * 24 * 60 * 60;

/** The statement's own timestamp, or the default. */
function writeTimestamp(plan: ModificationPlan, binding: Binding, options: WriteOptions): bigint {
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

/** Where `makeFastMutation` has put its key and record; good until its next call. */
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
