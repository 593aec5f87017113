/**
 * Logged batches over several shards: written as a whole to `system.batches` first, so that after a crash in the
 * middle the rest is applied at the next start. Records merge idempotently, so applying one twice is no harm.
 */
import { Reader, Writer } from '../common/bytes.ts';
import type { TableDef } from '../schema/schema.ts';
import { writePartitionKey } from '../storage/keys.ts';
import type { LocalStore } from '../storage/local-store.ts';
import { decodeRecord, encodeRecord } from '../storage/record.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { applyMutations } from './apply-mutations.ts';
import type { Mutation } from './modify.ts';

const FORMAT = 1;

export interface BatchLogDeps {
  readonly store: LocalStore;
  /** `system.batches`: id timeuuid PRIMARY KEY, mutations blob. */
  readonly table: TableDef;
  newId(): Uint8Array;
  nowMicros(): bigint;
  /** By table id; undefined if it was dropped (or truncated) since. */
  findTable(id: string, generation: number): TableDef | undefined;
}

function encodeMutations(mutations: readonly Mutation[]): Buffer {
  const out = new Writer(1024);
  out.u8(FORMAT);
  out.i32(mutations.length);
  for (const { handle, key, record } of mutations) {
    out.string(handle.table.id);
    out.i32(handle.table.generation);
    out.bytes(key);
    out.bytes(record);
  }
  return out.copy();
}

export class BatchLog {
  private readonly deps: BatchLogDeps;
  private readonly handle: TableHandle;
  private readonly column: number;

  constructor(deps: BatchLogDeps) {
    this.deps = deps;
    this.handle = deps.store.handle(deps.table);
    this.column = deps.table.columns.find((column) => column.name === 'mutations')?.id ?? 0;
  }

  /** Applies all or, if the process dies, all at the next start. @throws CqlError */
  async apply(mutations: readonly Mutation[]): Promise<void> {
    const { store } = this.deps;
    const out = new Writer(64);
    writePartitionKey(this.handle.keys, [this.deps.newId()], out);
    const key = out.copy();
    const timestamp = this.deps.nowMicros();
    const record = encodeRecord({
      liveness: { timestamp, ttl: 0, expiry: 0 },
      deletion: null,
      ranges: [],
      cells: [
        {
          column: this.column,
          kind: 'live',
          timestamp,
          ttl: 0,
          localSeconds: 0,
          path: null,
          value: encodeMutations(mutations),
        },
      ],
    });
    await applyMutations(store, [{ handle: this.handle, key, record }]);
    await applyMutations(store, mutations);
    this.remove(key, timestamp);
  }

  private remove(key: Uint8Array, timestamp: bigint): Promise<void> {
    const deletion = { timestamp, localSeconds: Number(timestamp / 1_000_000n) };
    const record = encodeRecord({ liveness: null, deletion, ranges: [], cells: [] });
    // A deletion that is lost costs one more replay, which changes nothing.
    return applyMutations(this.deps.store, [{ handle: this.handle, key, record }]).catch(() => {});
  }

  /** At the start, before clients are served. @returns batches applied @throws CqlError */
  async replay(): Promise<number> {
    const { store } = this.deps;
    let count = 0;
    for (let shard = 0; shard < store.shardCount; shard++) {
      const scan = store.scan(this.handle, shard, {
        lower: null,
        upper: null,
        reverse: false,
        expected: 16,
      });
      try {
        for (;;) {
          const step = scan.next();
          const entries = typeof step === 'number' ? step : await step;
          if (entries === 0) break;
          const { buffer } = scan;
          let at = 0;
          const found: { readonly key: Uint8Array; readonly record: Uint8Array }[] = [];
          for (let i = 0; i < entries; i++) {
            const keyEnd = at + 8 + buffer.readUInt32LE(at);
            const end = keyEnd + buffer.readUInt32LE(at + 4);
            found.push({
              key: Buffer.from(buffer.subarray(at + 8, keyEnd)),
              record: Buffer.from(buffer.subarray(keyEnd, end)),
            });
            at = end;
          }
          for (const { key, record } of found) count += await this.replayOne(key, record);
        }
      } finally {
        scan.close();
      }
    }
    return count;
  }

  private async replayOne(key: Uint8Array, record: Uint8Array): Promise<number> {
    const state = decodeRecord(record);
    const cell = state.cells.find((candidate) => candidate.column === this.column);
    if (cell?.value == null) return 0;
    const reader = new Reader(cell.value);
    if (reader.u8() !== FORMAT) return 0;
    const mutations: Mutation[] = [];
    for (let left = reader.i32(); left > 0; left--) {
      const table = this.deps.findTable(reader.string(), reader.i32());
      const mutationKey = reader.bytes();
      const mutationRecord = reader.bytes();
      if (table === undefined || mutationKey === null || mutationRecord === null) continue;
      mutations.push({
        handle: this.deps.store.handle(table),
        key: mutationKey,
        record: mutationRecord,
      });
    }
    await applyMutations(this.deps.store, mutations);
    await this.remove(key, cell.timestamp);
    return 1;
  }
}
