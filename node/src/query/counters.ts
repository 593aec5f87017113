/** Counting on this node: its own part of each counter, read, raised and written. */
import { type Cell, compareCellPlaces, encodeRecord } from '../storage/record.ts';
import { applyMutations } from './apply-mutations.ts';
import type { CounterChange } from './data-path.ts';
import type { ExecutorDeps } from './execute.ts';
import { findRow } from './find-row.ts';
import type { Mutation } from './modify.ts';

/** No counter expires: rows are read as of any time. */
const ANY_SECONDS = 0;

/** Changes of one row, one after another, as one. */
function joinChanges(changes: readonly CounterChange[]): CounterChange[] {
  const joined: CounterChange[] = [];
  for (const change of changes) {
    const at = joined.findIndex(
      ({ handle, partition, point }) =>
        handle.table.id === change.handle.table.id &&
        Buffer.compare(partition, change.partition) === 0 &&
        (point === null) === (change.point === null) &&
        Buffer.compare(point ?? NO_POINT, change.point ?? NO_POINT) === 0,
    );
    if (at < 0) {
      joined.push(change);
      continue;
    }
    const sums = new Map(joined[at].deltas.map(({ column, delta }) => [column, delta]));
    for (const { column, delta } of change.deltas) {
      sums.set(column, (sums.get(column) ?? 0n) + delta);
    }
    const deltas = [...sums].map(([column, delta]) => ({ column, delta }));
    joined[at] = { ...change, deltas };
  }
  return joined;
}

const NO_POINT = new Uint8Array(0);

/**
 * Adds to this node's parts of counters; whoever calls holds the lock of their partition.
 * @returns what was written, all of it durable here @throws CqlError
 */
export async function countHere(
  deps: Pick<ExecutorDeps, 'store' | 'hostId' | 'serialMicros'>,
  changes: readonly CounterChange[],
): Promise<Mutation[]> {
  const { store, hostId } = deps;
  const mutations: Mutation[] = [];
  for (const { handle, partition, point, deltas } of joinChanges(changes)) {
    const { table } = handle;
    const columns = table.columns.filter(({ id }) => deltas.some(({ column }) => column === id));
    const { row } = await findRow(store, handle, partition, point, columns, ANY_SECONDS);
    const cells: Cell[] = [];
    for (const { column, delta } of deltas) {
      const index = table.columns.findIndex(({ id }) => id === column);
      const own = row.counterShard(index, hostId);
      const now = deps.serialMicros();
      cells.push({
        column,
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
  await applyMutations(store, mutations);
  return mutations;
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}
