/**
 * Conditional writes of ranges that move. What was accepted or committed by a quorum of the owners of before may be known to
 * no quorum of those of afterwards: a round of all of them, before anyone is read elsewhere, makes it known, and no ballot
 * from before is taken any more. Every source of a range does that for what it remembers, when it refuses older requests.
 */
import { decodePartitionKey, partitionLength } from '../storage/keys.ts';
import { decodeRecord } from '../storage/record.ts';
import type { TableHandle } from '../storage/record-source.ts';
import type { CoordinatorContext } from './context.ts';
import { Level } from './levels.ts';
import { localPage } from './local-page.ts';
import { columnId, entriesOf, systemTable } from './system-rows.ts';

const SCAN_ENTRIES = 512;
const AT_ONCE = 16;
const TRIES = 5;

/** Makes known what is decided of a partition, at a serial level. @throws CqlError */
export type Settle = (handle: TableHandle, partition: Uint8Array, serial: number) => Promise<void>;

interface Partition {
  readonly handle: TableHandle;
  readonly partition: Uint8Array;
}

/**
 * Settles every partition of a range that moves of which this node remembers conditional writes, of any worker.
 * @returns how many there were @throws CqlError: too few replicas are there, or answer; KvError
 */
export async function settleMoving(context: CoordinatorContext, settle: Settle): Promise<number> {
  const { deps, options } = context;
  const handle = deps.store.handle(systemTable('paxos_state'));
  const column = columnId(handle.table, 'state');
  let lower: Buffer | null = null;
  let count = 0;
  for (;;) {
    const page = await localPage(deps.store, handle, {
      lower,
      upper: null,
      reverse: false,
      bytesMax: options.pageBytes,
      entriesMax: SCAN_ENTRIES,
    });
    const moving: Partition[] = [];
    for (const [key, record] of entriesOf(page.entries)) {
      lower = Buffer.concat([key, Buffer.of(0)]);
      const one = isForgotten(context, record, column) ? null : movingOne(context, handle, key);
      if (one !== null) moving.push(one);
    }
    count += moving.length;
    for (let i = 0; i < moving.length; i += AT_ONCE) {
      await Promise.all(moving.slice(i, i + AT_ONCE).map((one) => settleOne(context, one, settle)));
    }
    if (page.isLast) return count;
  }
}

function isForgotten({ deps }: CoordinatorContext, record: Buffer, column: number): boolean {
  const cell = decodeRecord(record).cells.find((one) => one.column === column);
  if (cell === undefined || cell.value === null) return true;
  return cell.kind === 'expiring' && cell.localSeconds < deps.clock.micros() / 1e6;
}

/** @returns null: its table is gone, or it stays where it is */
function movingOne(
  { tables, topology }: CoordinatorContext,
  states: TableHandle,
  key: Buffer,
): Partition | null {
  const length = partitionLength(states.keys, key);
  const [table, partition] = decodePartitionKey(states.keys, key, 0, length);
  const handle = tables.find(Buffer.from(table));
  if (handle === null) return null;
  const moves = topology.replicatedOf(handle.table).moveOf(partition) !== null;
  return moves ? { handle, partition: Buffer.from(partition) } : null;
}

async function settleOne(
  { topology }: CoordinatorContext,
  { handle, partition }: Partition,
  settle: Settle,
): Promise<void> {
  const { quorums } = topology.replicatedOf(handle.table);
  // Of one datacenter the quorums of both levels are the same.
  const levels = quorums.size > 1 ? [Level.LOCAL_SERIAL, Level.SERIAL] : [Level.SERIAL];
  for (const level of levels) {
    for (let tries = 1; ; tries++) {
      try {
        await settle(handle, partition, level);
        break;
      } catch (error) {
        if (tries === TRIES) throw error;
      }
    }
  }
}
