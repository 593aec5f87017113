/**
 * Runs planned modifications: writes, conditional writes, counters, batches. Where rows are is the data path's business.
 */
import { Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import type { ColumnDef } from '../schema/schema.ts';
import type { LocalStore } from '../storage/local-store.ts';
import type { RecordSource, TableHandle } from '../storage/record-source.ts';
import { nativeType } from '../types/type-facts.ts';
import type { BatchLog } from './batch-log.ts';
import { checkMixed, conditionalTarget, type Target } from './conditional-targets.ts';
import type { CounterChange, DataPath, Decision } from './data-path.ts';
import { findRow, firstRows, priorOf } from './find-row.ts';
import { LocalPath } from './local-path.ts';
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
  readonly store: RecordSource & Pick<LocalStore, 'merge' | 'addSink'>;
  readonly locks: PartitionLocks;
  readonly batchLog: BatchLog;
  /** Who counts: the path of this node's counter cells, 16 bytes. */
  readonly hostId: Uint8Array;
  /** Microseconds; greater than any it gave before in this process. */
  serialMicros(): bigint;
}

export type BatchKind = 'logged' | 'unlogged' | 'counter';

const APPLIED: ResultColumn = { name: '[applied]', type: nativeType('boolean') };

export class Executor {
  /** That of a node alone. */
  private readonly localPath: DataPath;

  constructor(deps: ExecutorDeps) {
    this.localPath = new LocalPath(deps);
  }

  /**
   * A modification outside of a batch.
   * @param path where rows are; null: on this node alone
   * @returns rows for a conditional one, else null @throws CqlError
   */
  async modify(
    modification: BoundModification,
    options: WriteOptions,
    path: DataPath | null = null,
  ): Promise<RowsResult | null> {
    const { plan } = modification;
    const on = path ?? this.localPath;
    if (plan.conditions !== null) return this.conditional([modification], options, on, false);
    if (plan.isCounter) {
      await this.count([modification], options, on);
      return null;
    }
    await on.write(await mutationsOf(modification, options, on), 'SIMPLE');
    return null;
  }

  /** @param path where rows are; null: on this node alone @returns rows for a conditional batch, else null @throws CqlError */
  async batch(
    kind: BatchKind,
    modifications: readonly BoundModification[],
    options: WriteOptions,
    path: DataPath | null = null,
  ): Promise<RowsResult | null> {
    const on = path ?? this.localPath;
    if (modifications.some(({ plan }) => plan.conditions !== null)) {
      return this.conditional(modifications, options, on, true);
    }
    if (modifications.some(({ plan }) => plan.table.isCounter)) {
      await this.count(modifications, options, on);
      return null;
    }
    const mutations: Mutation[] = [];
    for (const modification of modifications) {
      mutations.push(...(await mutationsOf(modification, options, on)));
    }
    if (kind === 'logged') await on.writeLogged(mutations);
    else await on.write(mutations, 'UNLOGGED_BATCH');
    return null;
  }

  private async conditional(
    modifications: readonly BoundModification[],
    options: WriteOptions,
    path: DataPath,
    isBatch: boolean,
  ): Promise<RowsResult> {
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
    const target = { handle, partition, keys: keysOf(targets, handle) };
    return path.conditional(target, async (source): Promise<Decision<RowsResult>> => {
      if (!(await this.holds(modifications, targets, options, source))) {
        const result = await this.refused(modifications, targets, options, source, isBatch);
        return { applies: false, result };
      }
      return {
        applies: true,
        mutations: async (timestamp) => {
          const mutations: Mutation[] = [];
          for (const modification of modifications) {
            mutations.push(...(await mutationsOf(modification, options, path, source, timestamp)));
          }
          return mutations;
        },
        result: { ...rows([APPLIED], [[TRUE]]), table: handle.table },
      };
    });
  }

  /** Whether all of the conditions are met. */
  private async holds(
    modifications: readonly BoundModification[],
    targets: readonly Target[],
    { nowSeconds }: WriteOptions,
    source: RecordSource,
  ): Promise<boolean> {
    for (const [i, { plan, handle, binding }] of modifications.entries()) {
      if (plan.conditions === null) continue;
      const { partition, point } = targets[i];
      const { columns } = plan.table;
      const { row, exists } = await findRow(source, handle, partition, point, columns, nowSeconds);
      const tested = plan.conditions.kind === 'columns' || exists ? row : null;
      if (!plan.conditions.holds(tested, binding)) return false;
    }
    return true;
  }

  /** What a client is shown when conditions are not met: the rows that they are about. */
  private async refused(
    modifications: readonly BoundModification[],
    targets: readonly Target[],
    options: WriteOptions,
    store: RecordSource,
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
      { store, handle, binding, nowSeconds: options.nowSeconds },
      targets[0].partition,
      points.length === 0 ? null : sortDistinct(points),
      columns,
    );
    const values = found.map((row) => [FALSE, ...row]);
    if (values.length === 0) return { ...rows([APPLIED], [[FALSE]]), table };
    const shownColumns = columns.map(({ name, type }) => ({ name, type }));
    return { ...rows([APPLIED, ...shownColumns], values), table };
  }

  /** In one batch the same counter may be counted twice, and deleted in between: one statement after another. */
  private async count(
    modifications: readonly BoundModification[],
    options: WriteOptions,
    path: DataPath,
  ): Promise<void> {
    let changes: CounterChange[] = [];
    const flush = async () => {
      const byPartition = new Map<string, CounterChange[]>();
      for (const change of changes) {
        const name = `${change.handle.table.id} ${Buffer.from(change.partition).toString('latin1')}`;
        const known = byPartition.get(name);
        if (known === undefined) byPartition.set(name, [change]);
        else known.push(change);
      }
      changes = [];
      for (const own of byPartition.values()) await path.count(own);
    };
    for (const modification of modifications) {
      const { plan, handle, binding } = modification;
      if (plan.isCounter) {
        changes.push(...changesOf(modification));
        continue;
      }
      await flush();
      await path.write(makeMutations(plan, handle, binding, options), 'COUNTER');
    }
    await flush();
  }
}

/** The records that conditions on these rows look at. */
function keysOf(targets: readonly Target[], handle: TableHandle): Uint8Array[] {
  const [{ partition }] = targets;
  const keys: Uint8Array[] = [];
  const points = targets.flatMap(({ point }) => (point === null ? [] : [point]));
  if (points.length === 0 || handle.keys.clustering.length > 0) keys.push(partition);
  for (const point of sortDistinct(points)) keys.push(Buffer.concat([partition, point]));
  return keys;
}

/** What an UPDATE adds to counters. */
function changesOf({ plan, handle, binding }: BoundModification): CounterChange[] {
  const { partitions, points } = targetsOf(plan, handle, binding);
  const deltas = [...plan.regular, ...plan.statics].flatMap((operation) => {
    const delta = operation.delta?.(binding);
    return delta === undefined ? [] : [{ column: operation.column.id, delta }];
  });
  if (deltas.length === 0) return [];
  const rowPoints = plan.touchesRows ? points : [null];
  return partitions.flatMap((partition) =>
    rowPoints.map((point) => ({ handle, partition, point, deltas })),
  );
}

/** What a modification writes; if it depends on rows, they are read from `source` first. */
async function mutationsOf(
  { plan, handle, binding }: BoundModification,
  options: WriteOptions,
  path: DataPath,
  source: RecordSource | null = null,
  timestamp: bigint | null = null,
): Promise<Mutation[]> {
  if (!plan.needsPrior) return makeMutations(plan, handle, binding, options, timestamp);
  const { partitions, points } = targetsOf(plan, handle, binding);
  const wanted = [...plan.regular, ...plan.statics]
    .filter((operation) => operation.needsPrior)
    .map((operation) => operation.column);
  const store = source ?? path.source;
  const priors: PriorRow[] = [];
  for (const partition of partitions) {
    for (const point of points.length === 0 ? [null] : points) {
      const found = await findRow(store, handle, partition, point, wanted, options.nowSeconds);
      priors.push(priorOf(found, plan.table));
    }
  }
  return makeMutations(plan, handle, binding, options, timestamp, priors);
}

const TRUE = Uint8Array.of(1);
const FALSE = Uint8Array.of(0);

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
