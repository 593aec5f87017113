/**
 * Runs planned modifications on this node: writes, conditional writes, counters, batches.
 */
import { Writer } from '../common/bytes.ts';
import { casWriteUnknown, invalidRequest, writeTimeout } from '../common/errors.ts';
import type { ColumnDef } from '../schema/schema.ts';
import type { LocalStore } from '../storage/local-store.ts';
import { type Cell, compareCellPlaces, encodeRecord } from '../storage/record.ts';
import { nativeType } from '../types/type-facts.ts';
import { applyMutations } from './apply-mutations.ts';
import type { BatchLog } from './batch-log.ts';
import { checkMixed, conditionalTarget, type Target } from './conditional-targets.ts';
import { findRow, firstRows, priorOf } from './find-row.ts';
import {
  type BoundModification,
  type Mutation,
  makeMutations,
  targetsOf,
  type WriteOptions,
} from './modify.ts';
import type { PriorRow } from './operations.ts';
import { sortDistinct } from './ranges.ts';
import type { RowsResult } from './select.ts';
import type { ResultColumn } from './selection.ts';

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

export type BatchKind = 'logged' | 'unlogged' | 'counter';

const CAS_TIMEOUT_MS = 1_000;
const COUNTER_TIMEOUT_MS = 5_000;
const SERIAL = 8;
const APPLIED: ResultColumn = { name: '[applied]', type: nativeType('boolean') };

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
