/** A node's store that keeps merged records in maps. */
import { bucketOfKey } from '../../cluster/grid.ts';
import { overloaded } from '../../common/errors.ts';
import type { TableDef } from '../../schema/schema.ts';
import { familyName } from '../../schema/schema.ts';
import { keyLayout, tokenPrefix } from '../../storage/keys.ts';
import type { WriteSink } from '../../storage/local-store.ts';
import { type MemoryRecord, MemoryRecords } from '../../storage/memory-records.ts';
import { mergeRecords } from '../../storage/merge.ts';
import type {
  PointReader,
  RecordScan,
  RecordSource,
  ScanOptions,
  TableHandle,
} from '../../storage/record-source.ts';

interface PendingWrite {
  readonly table: string;
  readonly key: Buffer;
  readonly record: Buffer;
}

const ASIDE = 'aside:';

export class MemoryStore implements RecordSource {
  readonly shardCount: number;
  /** Writes fail as if the engine could not keep up. */
  isStalled = false;
  private readonly tables = new Map<string, Map<string, MemoryRecord>>();
  private readonly handles = new Map<TableDef, TableHandle>();
  private readonly soon: (run: () => void) => void;
  private pending: PendingWrite[] = [];
  private sinks: WriteSink[] = [];
  private asked: Uint8Array[] = [];
  private askedOf: TableHandle | null = null;
  private isScheduled = false;
  private life = 0;
  private isAside: ((bucket: number) => boolean) | null = null;

  /** @param shardCount a power of two @param soon when what was written is durable, and read is there */
  constructor(shardCount: number, soon: (run: () => void) => void) {
    this.shardCount = shardCount;
    this.soon = soon;
  }

  handle(table: TableDef): TableHandle {
    let handle = this.handles.get(table);
    if (handle === undefined) {
      handle = { table, keys: keyLayout(table), families: [] };
      this.handles.set(table, handle);
    }
    return handle;
  }

  shardOf(key: Uint8Array): number {
    return Math.floor((tokenPrefix(key) / 2 ** 32) * this.shardCount);
  }

  merge(
    { table }: TableHandle,
    key: Uint8Array,
    keyLength: number,
    record: Uint8Array,
    recordLength: number,
  ): number {
    const isAside = this.isAside?.(bucketOfKey(key)) === true && table.keyspace === 'ks';
    this.pending.push({
      table: `${isAside ? ASIDE : ''}${familyName(table)}`,
      key: Buffer.from(key.subarray(0, keyLength)),
      record: Buffer.from(record.subarray(0, recordLength)),
    });
    this.schedule();
    return this.shardOf(key);
  }

  addSink(_shard: number, sink: WriteSink): void {
    this.sinks.push(sink);
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    const { life } = this;
    this.soon(() => {
      if (life === this.life) this.flush();
    });
  }

  private flush(): void {
    const { pending, sinks, isStalled } = this;
    this.pending = [];
    this.sinks = [];
    this.isScheduled = false;
    if (!isStalled) for (const write of pending) this.put(write);
    for (const sink of sinks) sink.written(isStalled ? overloaded('stalled') : null);
  }

  /** What is written into these buckets from now on is kept apart, unread, until `ingestAside`. */
  setAside(isAside: ((bucket: number) => boolean) | null): void {
    this.isAside = isAside;
  }

  ingestAside(): void {
    for (const [name, records] of [...this.tables]) {
      if (!name.startsWith(ASIDE)) continue;
      this.tables.delete(name);
      for (const { key, record } of records.values()) {
        const copy = { key: Buffer.from(key), record: Buffer.from(record) };
        this.put({ table: name.slice(ASIDE.length), ...copy });
      }
    }
  }

  /** Deletes what is of a table and of these buckets. */
  clear(table: TableDef, isMeant: (bucket: number) => boolean): void {
    const own = this.tables.get(familyName(table));
    for (const [name, { key }] of own ?? []) if (isMeant(bucketOfKey(key))) own?.delete(name);
  }

  private put({ table, key, record }: PendingWrite): void {
    const own = this.tables.get(table) ?? new Map<string, MemoryRecord>();
    this.tables.set(table, own);
    const name = key.toString('latin1');
    const before = own.get(name);
    own.set(name, {
      key,
      record: mergeRecords(before === undefined ? [record] : [before.record, record]),
    });
  }

  /** Adds a record at once, whatever is kept aside. */
  ingest(table: TableDef, key: Uint8Array, record: Uint8Array): void {
    this.put({ table: familyName(table), key: Buffer.from(key), record: Buffer.from(record) });
  }

  /** The process dies: what was not durable is lost, and nobody is told. */
  crash(): void {
    this.life++;
    this.pending = [];
    this.sinks = [];
    this.asked = [];
    this.isScheduled = false;
  }

  /** All records of a table, by key in latin1. */
  contents(table: TableDef): ReadonlyMap<string, MemoryRecord> {
    return this.tables.get(familyName(table)) ?? new Map();
  }

  private recordsOf(table: TableDef): MemoryRecords {
    return new MemoryRecords([...this.contents(table).values()]);
  }

  get(handle: TableHandle, _shard: number, key: Uint8Array, keyLength: number): void {
    this.askedOf = handle;
    this.asked.push(Buffer.from(key.subarray(0, keyLength)));
  }

  addReader(_shard: number, reader: PointReader, keyCount: number): void {
    const keys = this.asked.splice(0);
    const handle = this.askedOf;
    const { life } = this;
    this.soon(() => {
      if (life !== this.life || handle === null) return;
      const records = this.recordsOf(handle.table);
      for (const key of keys) records.get(handle, 0, key, key.length);
      records.addReader(0, reader, keyCount);
    });
  }

  scan({ table, ...handle }: TableHandle, shard: number, options: ScanOptions): RecordScan {
    const own = [...this.contents(table).values()].filter(({ key }) => this.shardOf(key) === shard);
    return new MemoryRecords(own).scan({ table, ...handle }, 0, options);
  }
}
