/**
 * Runs planned statements on this node: reads, writes, conditional writes, counters, batches.
 */
import { Writer } from '../common/bytes.ts';
import { type CqlError, casWriteUnknown, invalidRequest, writeTimeout } from '../common/errors.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { decodePartitionKey } from '../storage/keys.ts';
import type { LocalStore, WriteSink } from '../storage/local-store.ts';
import { type Cell, compareCellPlaces, encodeRecord } from '../storage/record.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { nativeType } from '../types/type-facts.ts';
import type { BatchLog } from './batch-log.ts';
import type { ConditionPlan } from './conditions.ts';
import {
  type ModificationPlan,
  type Mutation,
  makeMutations,
  targetsOf,
  type WriteOptions,
} from './modify.ts';
import type { PriorRow } from './operations.ts';
import { sortDistinct } from './ranges.ts';
import { RowReader } from './read.ts';
import { wholePartition } from './read-plan.ts';
import { readRecords } from './read-records.ts';
import { TableRow } from './row.ts';
import type { RowsResult } from './select.ts';
import type { ResultColumn } from './selection.ts';
import type { Binding } from './term-values.ts';

/** Keeps work on one partition in one line, in the whole process. */
export interface PartitionLocks {
  /**
   * Waits for all of the partitions (token and key).
   * @returns what gives them free, or null if `timeoutMs` passed
   */
  acquire(partitions: readonly Uint8Array[], timeoutMs: number): Promise<(() => void) | null>;
}

export interface ExecutorDeps {
  readonly store: LocalStore;
  readonly locks: PartitionLocks;
  readonly batchLog: BatchLog;
  /** Who counts: the path of this node's counter cells, 16 bytes. */
  readonly hostId: Uint8Array;
  /** Microseconds; greater than any it gave before in this process. */
  serialMicros(): bigint;
}

/** One modification with its bound values. */
export interface BoundModification {
  readonly plan: ModificationPlan;
  readonly handle: TableHandle;
  readonly binding: Binding;
}

export type BatchKind = 'logged' | 'unlogged' | 'counter';

const CAS_TIMEOUT_MS = 1_000;
const COUNTER_TIMEOUT_MS = 5_000;
const SERIAL = 8;
const APPLIED: ResultColumn = { name: '[applied]', type: nativeType('boolean') };

/** One promise for entries in several shards. */
class WriteGroup implements WriteSink {
  readonly promise: Promise<void>;
  private waiting = 0;
  private failure: CqlError | null = null;
  private resolve!: () => void;
  private reject!: (error: CqlError) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  expect(count: number): void {
    this.waiting += count;
  }

  written(error: CqlError | null): void {
    this.failure ??= error;
    this.waiting--;
    if (this.waiting > 0) return;
    if (this.failure === null) this.resolve();
    else this.reject(this.failure);
  }
}

/** Merges records and resolves when all are applied (and durable, in `group`). @throws CqlError */
export function applyMutations(store: LocalStore, mutations: readonly Mutation[]): Promise<void> {
  if (mutations.length === 0) return Promise.resolve();
  const shards = new Set<number>();
  for (const { handle, key, record } of mutations) {
    shards.add(store.merge(handle, key, key.length, record, record.length));
  }
  const group = new WriteGroup();
  group.expect(shards.size);
  for (const shard of shards) store.addSink(shard, group);
  return group.promise;
}

/** A row as it was before a statement. */
interface FoundRow {
  readonly row: TableRow;
  /** The row, or for a statement on static columns alone the partition's static content, is alive. */
  readonly exists: boolean;
}

async function findRow(
  store: LocalStore,
  handle: TableHandle,
  partition: Uint8Array,
  point: Uint8Array | null,
  wanted: readonly ColumnDef[],
  nowSeconds: number,
): Promise<FoundRow> {
  const row = new TableRow(handle, wanted, nowSeconds);
  row.startPartition(partition, 0, partition.length);
  const hasClustering = handle.keys.clustering.length > 0;
  const positions: Uint8Array[] = hasClustering ? [EMPTY] : [];
  if (point !== null) positions.push(point);
  const records = await readRecords(store, handle, partition, positions);
  if (hasClustering) {
    const own = records.shift();
    if (own) row.loadPartition(own, 0, own.length);
  }
  const record = point === null ? null : records[0];
  if (!record) {
    row.loadStaticOnly();
    return { row, exists: point === null && row.hasStatic };
  }
  const exists = row.loadRow(point ?? EMPTY, 0, point?.length ?? 0, record, 0, record.length);
  return { row, exists };
}

const EMPTY = new Uint8Array(0);

function priorOf({ row }: FoundRow, table: TableDef): PriorRow {
  return {
    value: (column) => {
      const value = row.value(table.columns.indexOf(column));
      return value === null ? null : Uint8Array.from(value);
    },
    paths: (column) =>
      row
        .stamps(table.columns.indexOf(column))
        .map((stamp) => Uint8Array.from(stamp.path ?? EMPTY)),
  };
}

/** The row, or the partition alone, that a statement of a conditional batch is about. */
interface Target {
  readonly partition: Uint8Array;
  /** Null: the static content, or several rows. */
  readonly point: Uint8Array | null;
}

function conditionalTarget({ plan, handle, binding }: BoundModification): Target {
  const { partition, clustering } = plan.restrictions;
  const what =
    plan.action === 'insert' || plan.action === 'update'
      ? 'conditional updates'
      : 'conditional deletions';
  if (partition.kind === 'keys' && !partition.isSingle) {
    throw invalidRequest(`IN on the partition key is not supported with ${what}`);
  }
  if (clustering.hasIn) {
    throw invalidRequest(`IN on the clustering key columns is not supported with ${what}`);
  }
  const found = targetsOf(plan, handle, binding);
  const onRow = clustering.isPoints && (handle.keys.clustering.length === 0 || !clustering.isWhole);
  return { partition: found.partitions[0], point: onRow ? (found.points[0] ?? null) : null };
}

/** Refuses conditions of different kinds on one row. */
function checkMixed(modifications: readonly BoundModification[], targets: readonly Target[]): void {
  const kinds = new Map<string, ConditionPlan['kind']>();
  for (const [i, { plan }] of modifications.entries()) {
    if (plan.conditions === null) continue;
    const { point } = targets[i];
    const place = point === null ? 'static' : Buffer.from(point).toString('hex');
    const { kind } = plan.conditions;
    const before = kinds.get(place);
    if (before === undefined) kinds.set(place, kind);
    else if (before !== kind) throw mixed(before, kind);
  }
}

function mixed(before: ConditionPlan['kind'], kind: ConditionPlan['kind']): Error {
  if (kind === 'columns') {
    return invalidRequest('Cannot mix IF conditions and IF NOT EXISTS for the same row');
  }
  return invalidRequest(
    before === 'columns'
      ? `Cannot mix IF conditions and IF ${kind === 'exists' ? '' : 'NOT '}EXISTS for the same row`
      : 'Cannot mix IF EXISTS and IF NOT EXISTS conditions for the same row',
  );
}

/**
 * The rows of a partition at `points`, or if none is alive or `points` is null the first one, which may be the
 * static content alone.
 */
async function firstRows(
  { store, handle, binding, nowSeconds }: ReadContext,
  partition: Uint8Array,
  points: readonly Uint8Array[] | null,
  columns: readonly ColumnDef[],
): Promise<(Uint8Array | null)[][]> {
  const found: (Uint8Array | null)[][] = [];
  const indexes = columns.map((column) => handle.table.columns.indexOf(column));
  const keep = (row: TableRow) => {
    found.push(
      indexes.map((index) => {
        const value = row.value(index);
        return value === null ? null : Uint8Array.from(value);
      }),
    );
  };
  for (const point of points ?? []) {
    const { row, exists } = await findRow(store, handle, partition, point, columns, nowSeconds);
    if (exists) keep(row);
  }
  if (found.length > 0) return found;
  if (points !== null) {
    if (handle.keys.clustering.length === 0) return found;
    const { row } = await findRow(store, handle, partition, null, columns, nowSeconds);
    if (row.hasStatic) keep(row);
    return found;
  }
  const visitor = {
    row: (row: TableRow): 'stop' => {
      keep(row);
      return 'stop';
    },
  };
  const keys = decodePartitionKey(handle.keys, partition, 0, partition.length);
  const plan = wholePartition(keys, columns);
  await new RowReader(store, handle, plan, binding, nowSeconds, visitor).read(binding, null);
  return found;
}

interface ReadContext {
  readonly store: LocalStore;
  readonly handle: TableHandle;
  readonly binding: Binding;
  readonly nowSeconds: number;
}

export class Executor {
  private readonly deps: ExecutorDeps;

  constructor(deps: ExecutorDeps) {
    this.deps = deps;
  }

  /** A modification outside of a batch. @returns rows for a conditional one, else null @throws CqlError */
  async modify(modification: BoundModification, options: WriteOptions): Promise<RowsResult | null> {
    const { plan } = modification;
    if (plan.conditions !== null) return this.conditional([modification], options, false);
    if (plan.isCounter) {
      await this.count([modification], options);
      return null;
    }
    await applyMutations(this.deps.store, await this.mutations(modification, options));
    return null;
  }

  private async mutations(
    modification: BoundModification,
    options: WriteOptions,
    timestamp: bigint | null = null,
  ): Promise<Mutation[]> {
    const { plan, handle, binding } = modification;
    if (!plan.needsPrior) return makeMutations(plan, handle, binding, options, timestamp);
    const { partitions, points } = targetsOf(plan, handle, binding);
    const wanted = [...plan.regular, ...plan.statics]
      .filter((operation) => operation.needsPrior)
      .map((operation) => operation.column);
    const priors: PriorRow[] = [];
    for (const partition of partitions) {
      for (const point of points.length === 0 ? [null] : points) {
        const found = await findRow(
          this.deps.store,
          handle,
          partition,
          point,
          wanted,
          options.nowSeconds,
        );
        priors.push(priorOf(found, plan.table));
      }
    }
    return makeMutations(plan, handle, binding, options, timestamp, priors);
  }

  /** @returns rows for a conditional batch, else null @throws CqlError */
  async batch(
    kind: BatchKind,
    modifications: readonly BoundModification[],
    options: WriteOptions,
  ): Promise<RowsResult | null> {
    if (modifications.some(({ plan }) => plan.conditions !== null)) {
      return this.conditional(modifications, options, true);
    }
    if (modifications.some(({ plan }) => plan.table.isCounter)) {
      await this.count(modifications, options);
      return null;
    }
    const mutations: Mutation[] = [];
    for (const modification of modifications) {
      mutations.push(...(await this.mutations(modification, options)));
    }
    const { store, batchLog } = this.deps;
    const shards = new Set(mutations.map(({ key }) => store.shardOf(key)));
    if (kind === 'logged' && shards.size > 1) await batchLog.apply(mutations);
    else await applyMutations(store, mutations);
    return null;
  }

  private async lock(partitions: readonly Uint8Array[], timeoutMs: number): Promise<() => void> {
    const release = await this.deps.locks.acquire(partitions, timeoutMs);
    if (release === null) {
      throw writeTimeout({ consistency: SERIAL, received: 0, required: 1 }, 'CAS', 0);
    }
    return release;
  }

  private async conditional(
    modifications: readonly BoundModification[],
    options: WriteOptions,
    isBatch: boolean,
  ): Promise<RowsResult> {
    const { store } = this.deps;
    const [{ handle }] = modifications;
    if (modifications.some((modification) => modification.plan.table.id !== handle.table.id)) {
      throw invalidRequest('Batch with conditions cannot span multiple tables');
    }
    const targets = modifications.map(conditionalTarget);
    const [{ partition }] = targets;
    if (targets.some((target) => Buffer.compare(target.partition, partition) !== 0)) {
      throw invalidRequest('Batch with conditions cannot span multiple partitions');
    }
    checkMixed(modifications, targets);
    const release = await this.lock([partition], CAS_TIMEOUT_MS);
    try {
      let applies = true;
      for (const [i, { plan, binding }] of modifications.entries()) {
        if (plan.conditions === null) continue;
        const { columns } = plan.table;
        const { point } = targets[i];
        const { nowSeconds } = options;
        const { row, exists } = await findRow(store, handle, partition, point, columns, nowSeconds);
        const tested = plan.conditions.kind === 'columns' || exists ? row : null;
        applies &&= plan.conditions.holds(tested, binding);
      }
      if (!applies) return await this.refused(modifications, targets, options, isBatch);
      const timestamp = this.deps.serialMicros();
      const mutations: Mutation[] = [];
      for (const modification of modifications) {
        mutations.push(...(await this.mutations(modification, options, timestamp)));
      }
      try {
        await applyMutations(store, mutations);
      } catch (error) {
        if (mutations.length === 0) throw error;
        throw casWriteUnknown({ consistency: SERIAL, received: 0, required: 1 });
      }
      return { ...rows([APPLIED], [[TRUE]]), table: handle.table };
    } finally {
      release();
    }
  }

  /** What a client is shown when conditions are not met: the rows that they are about. */
  private async refused(
    modifications: readonly BoundModification[],
    targets: readonly Target[],
    options: WriteOptions,
    isBatch: boolean,
  ): Promise<RowsResult> {
    const [{ handle, binding }] = modifications;
    const { table } = handle;
    const conditions = modifications.flatMap(({ plan }) => plan.conditions ?? []);
    const shown = new Set<ColumnDef>(
      isBatch ? [...handle.keys.partitionKey, ...handle.keys.clustering] : [],
    );
    for (const { columns } of conditions) for (const column of columns) shown.add(column);
    const isWhole = conditions.some(({ kind }) => kind !== 'columns');
    const columns = isWhole ? table.columns : [...shown];
    const points = targets.flatMap(({ point }, i) =>
      point === null || modifications[i].plan.conditions === null ? [] : [point],
    );
    const found = await firstRows(
      { store: this.deps.store, handle, binding, nowSeconds: options.nowSeconds },
      targets[0].partition,
      points.length === 0 ? null : sortDistinct(points),
      columns,
    );
    const values = found.map((row) => [FALSE, ...row]);
    if (values.length === 0) return { ...rows([APPLIED], [[FALSE]]), table };
    const shownColumns = columns.map(({ name, type }) => ({ name, type }));
    return { ...rows([APPLIED, ...shownColumns], values), table };
  }

  private async count(
    modifications: readonly BoundModification[],
    options: WriteOptions,
  ): Promise<void> {
    const { store, hostId } = this.deps;
    const targets = modifications.map(({ plan, handle, binding }) =>
      targetsOf(plan, handle, binding),
    );
    const partitions = targets.flatMap((target) => target.partitions);
    const release = await this.lock(partitions, COUNTER_TIMEOUT_MS);
    try {
      // In one batch the same counter may be counted twice: each statement sees what those before it wrote.
      for (const [i, { plan, handle, binding }] of modifications.entries()) {
        const mutations: Mutation[] = [];
        if (!plan.isCounter) {
          mutations.push(...makeMutations(plan, handle, binding, options));
        }
        for (const partition of targets[i].partitions) {
          const points = plan.touchesRows ? targets[i].points : [null];
          for (const point of plan.isCounter ? points : []) {
            const operations = [...plan.regular, ...plan.statics];
            const columns = operations.map((operation) => operation.column);
            const { row } = await findRow(
              store,
              handle,
              partition,
              point,
              columns,
              options.nowSeconds,
            );
            const cells: Cell[] = [];
            for (const operation of operations) {
              const delta = operation.delta?.(binding);
              if (delta === undefined) continue;
              const own = row.counterShard(plan.table.columns.indexOf(operation.column), hostId);
              const now = this.deps.serialMicros();
              cells.push({
                column: operation.column.id,
                kind: 'live',
                timestamp: own !== null && own.timestamp >= now ? own.timestamp + 1n : now,
                ttl: 0,
                localSeconds: 0,
                path: hostId,
                value: int64(BigInt.asIntN(64, (own?.value ?? 0n) + delta)),
              });
            }
            if (cells.length === 0) continue;
            cells.sort(compareCellPlaces);
            const key =
              point === null || point.length === 0 ? partition : Buffer.concat([partition, point]);
            const record = encodeRecord({ liveness: null, deletion: null, ranges: [], cells });
            mutations.push({ handle, key, record });
          }
        }
        await applyMutations(store, mutations);
      }
    } finally {
      release();
    }
  }
}

const TRUE = Uint8Array.of(1);
const FALSE = Uint8Array.of(0);

function int64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

/** A small result made here. */
export function rows(
  columns: readonly ResultColumn[],
  values: readonly (readonly (Uint8Array | null)[])[],
): RowsResult {
  const out = new Writer(256);
  for (const row of values) {
    for (const value of row) out.bytes(value);
  }
  return { columns, rowCount: values.length, content: out.view(), pagingState: null, warnings: [] };
}
