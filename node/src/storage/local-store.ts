/**
 * This node's shards as one worker uses them. What arrives in one turn of the event loop is gathered here and goes to the
 * engine in one call per shard: writes as one batch, point reads as one multi-get answered from memory where it can be.
 * @hot
 */

import { Writer } from '../common/bytes.ts';
import { type CqlError, overloaded, serverError } from '../common/errors.ts';
import type { TableDef } from '../schema/schema.ts';
import { familyName } from '../schema/schema.ts';
import { Aside, type TableAside } from './aside.ts';
import { keyLayout, tokenPrefix } from './keys.ts';
import { ABSENT, KV_STATUS, type KvEngine, KvError, type KvStore, NEEDS_DISK } from './kv.ts';
import type { PointReader, RecordSource, ScanOptions, TableHandle } from './record-source.ts';
import { Scan } from './scan.ts';
import { WriteBatchBuilder } from './write-batch.ts';

/** Point reads of one multi-get; more go in the next. */
const GETS_PER_CALL = 512;
/** Values of one multi-get above this are read on a thread, reader by reader, not on the loop. */
const OUT_BYTES_MAX = 16 << 20;

/** Waits for one or more entries that went into a shard's batch of this turn. */
export interface WriteSink {
  /** @param error null: applied (and durable, in `group`); else nothing of it is promised */
  written(error: CqlError | null): void;
}

/** What became of a failed engine call, for the client. */
export function engineFailure(error: unknown): CqlError {
  if (error instanceof KvError) {
    if (error.code === 'STALLED')
      return overloaded('The storage engine cannot keep up with writes');
    if (error.code === 'NO_SPACE') {
      return serverError(
        'The disk is full: writes are refused until there is room again (NO_SPACE)',
        { cause: error },
      );
    }
    return serverError(`Storage engine: ${error.message} (${error.code})`, { cause: error });
  }
  return serverError(`Storage engine: ${String(error)}`, { cause: error });
}

class Shard {
  readonly store: KvStore;
  readonly batch = new WriteBatchBuilder();
  sinks: WriteSink[] = [];
  readonly gets = new Writer(1 << 16);
  getCount = 0;
  readers: PointReader[] = [];
  readerKeys: number[] = [];

  constructor(store: KvStore) {
    this.store = store;
  }
}

export interface LocalStoreOptions {
  /** Runs `flush` once, soon, after what this turn of the loop still brings in. */
  readonly scheduleFlush: (flush: () => void) => void;
  /** Called after answers were handed out, so that connections write them. */
  readonly afterAnswers: () => void;
}

export class LocalStore implements RecordSource {
  private readonly shards: readonly Shard[];
  private readonly shift: number;
  private readonly options: LocalStoreOptions;
  private readonly inFlight = new Map<number, WriteSink[]>();
  private readonly handles = new Map<string, TableHandle>();
  private nextTicket = 1;
  private aside: Aside | null = null;
  /** Wait for the tickets below `before`. */
  private drains: { readonly before: number; resolve(): void }[] = [];
  private flushScheduled = false;
  private out = Buffer.allocUnsafeSlow(1 << 18);
  private starts = new Int32Array(GETS_PER_CALL);
  private ends = new Int32Array(GETS_PER_CALL);
  private readonly flushTurn = () => this.flush();

  /** @param stores a power of two of them, in token order */
  constructor(engine: KvEngine, stores: readonly KvStore[], options: LocalStoreOptions) {
    this.shards = stores.map((store) => new Shard(store));
    this.shift = 32 - Math.log2(stores.length);
    this.options = options;
    engine.onComplete((tickets, statuses, count) => {
      for (let i = 0; i < count; i++) this.completed(tickets[i], statuses[i]);
      options.afterAnswers();
    });
  }

  /** From now on records of these ranges are kept aside, and no others. */
  setAside(tables: readonly TableAside[]): void {
    const stores = this.shards.map(({ store }) => store);
    this.aside = tables.length === 0 ? null : new Aside(tables, stores);
  }

  /** Resolves when everything that was added before has been applied, or has failed. */
  drained(): Promise<void> {
    this.flush();
    if (this.inFlight.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.drains.push({ before: this.nextTicket, resolve });
    });
  }

  private lookAtDrains(): void {
    const [oldest = this.nextTicket] = this.inFlight.keys();
    const over = this.drains.filter(({ before }) => before <= oldest);
    if (over.length === 0) return;
    this.drains = this.drains.filter(({ before }) => before > oldest);
    for (const { resolve } of over) resolve();
  }

  get shardCount(): number {
    return this.shards.length;
  }

  /** The table's handle, found again after each schema change of the table. @throws KvError if it has no families */
  handle(table: TableDef): TableHandle {
    const name = familyName(table);
    const known = this.handles.get(name);
    if (known !== undefined && known.table === table) return known;
    const families = this.shards.map(({ store }) => {
      const family = store.families().get(name);
      if (family === undefined) {
        throw new KvError('BAD_ARGUMENT', `${store.path} has no column family ${name}`);
      }
      return family;
    });
    const handle = { table, keys: keyLayout(table), families };
    this.handles.set(name, handle);
    return handle;
  }

  /** Forgets the handles of tables that are not among `tables`: dropped or truncated ones. */
  retain(tables: readonly TableDef[]): void {
    const names = new Set(tables.map(familyName));
    for (const name of this.handles.keys()) if (!names.has(name)) this.handles.delete(name);
  }

  shardOf(key: Uint8Array): number {
    return this.shift === 32 ? 0 : Math.floor(tokenPrefix(key) / 2 ** this.shift);
  }

  store(shard: number): KvStore {
    return this.shards[shard].store;
  }

  /** Bytes of writes that wait for the shards' writer threads. */
  queuedBytes(): number {
    let bytes = 0;
    for (const shard of this.shards) bytes += shard.store.queuedBytes();
    return bytes;
  }

  /**
   * Adds a record to this turn's batch. All entries of one shard and turn are applied as one.
   * @returns the shard, for `addSink`
   * @throws CqlError Overloaded: see `Aside.familyOf`
   */
  merge(
    handle: TableHandle,
    key: Uint8Array,
    keyLength: number,
    record: Uint8Array,
    recordLength: number,
  ): number {
    const index = this.shardOf(key);
    const { aside } = this;
    const family = aside === null ? handle.families[index] : aside.familyOf(handle, index, key);
    this.shards[index].batch.merge(family, key, keyLength, record, recordLength);
    return index;
  }

  /** `sink` hears what became of the entries that this turn has added to `shard`. */
  addSink(shard: number, sink: WriteSink): void {
    this.shards[shard].sinks.push(sink);
    this.schedule();
  }

  get(handle: TableHandle, shard: number, key: Uint8Array, keyLength: number): void {
    const target = this.shards[shard];
    const { gets } = target;
    const at = gets.reserve(8 + keyLength);
    const { buffer } = gets;
    buffer.writeUInt32LE(handle.families[shard], at);
    buffer.writeUInt32LE(keyLength, at + 4);
    for (let i = 0; i < keyLength; i++) buffer[at + 8 + i] = key[i];
    target.getCount++;
  }

  addReader(shard: number, reader: PointReader, keyCount: number): void {
    const target = this.shards[shard];
    target.readers.push(reader);
    target.readerKeys.push(keyCount);
    this.schedule();
    if (target.getCount >= GETS_PER_CALL) this.flushReads(target);
  }

  scan(handle: TableHandle, shard: number, options: ScanOptions): Scan {
    return new Scan(this.shards[shard].store, handle.families[shard], options);
  }

  private schedule(): void {
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    this.options.scheduleFlush(this.flushTurn);
  }

  /** Hands everything gathered to the engine. */
  flush(): void {
    this.flushScheduled = false;
    let answered = false;
    for (const shard of this.shards) {
      if (shard.batch.count > 0) this.flushWrites(shard);
      if (shard.getCount > 0) {
        this.flushReads(shard);
        answered = true;
      }
    }
    if (answered) this.options.afterAnswers();
  }

  private flushWrites(shard: Shard): void {
    const { batch, sinks } = shard;
    shard.sinks = [];
    const ticket = this.nextTicket++;
    let failure: CqlError | null = null;
    try {
      if (shard.store.submit(batch.bytes, batch.length, ticket)) this.inFlight.set(ticket, sinks);
      else failure = overloaded('Too many writes are waiting for the storage engine');
    } catch (error) {
      failure = engineFailure(error);
    }
    batch.clear();
    if (failure === null) return;
    for (const sink of sinks) sink.written(failure);
    this.options.afterAnswers();
  }

  private completed(ticket: number, status: number): void {
    const sinks = this.inFlight.get(ticket);
    if (sinks === undefined) return;
    this.inFlight.delete(ticket);
    const code = KV_STATUS[status];
    const error =
      code === 'OK'
        ? null
        : engineFailure(new KvError(code, 'the write was not applied, see the log'));
    for (const sink of sinks) sink.written(error);
    if (this.drains.length > 0) this.lookAtDrains();
  }

  private flushReads(shard: Shard): void {
    const { gets, readers, readerKeys, getCount } = shard;
    shard.readers = [];
    shard.readerKeys = [];
    shard.getCount = 0;
    const requests = gets.view();
    gets.reset();
    if (getCount > this.starts.length) {
      this.starts = new Int32Array(getCount * 2);
      this.ends = new Int32Array(getCount * 2);
    }
    try {
      let used = shard.store.multiGet(requests, getCount, this.out);
      if (used < 0 && -used <= OUT_BYTES_MAX) {
        this.out = Buffer.allocUnsafeSlow(Math.min(OUT_BYTES_MAX, -used * 2));
        used = shard.store.multiGet(requests, getCount, this.out);
      }
      this.deliver(shard, requests, readers, readerKeys, getCount, used >= 0);
    } catch (error) {
      const failure = engineFailure(error);
      for (const reader of readers) reader.failed(failure);
    }
  }

  /** Gives each reader its records; those whose records memory does not have ask again on a thread, together. */
  private deliver(
    shard: Shard,
    requests: Uint8Array,
    readers: readonly PointReader[],
    readerKeys: readonly number[],
    getCount: number,
    haveOut: boolean,
  ): void {
    const { out, starts, ends } = this;
    if (haveOut) locate(out, getCount, starts, ends);
    const missed: Uint8Array[] = [];
    const waiting: PointReader[] = [];
    const waitingKeys: number[] = [];
    let first = 0;
    let requestAt = 0;
    for (let i = 0; i < readers.length; i++) {
      const count = readerKeys[i];
      let needsDisk = !haveOut;
      for (let k = first; k < first + count; k++) needsDisk ||= starts[k] === NEEDS_DISK;
      const from = requestAt;
      requestAt = skipRequests(requests, requestAt, count);
      if (needsDisk) {
        missed.push(requests.subarray(from, requestAt));
        waiting.push(readers[i]);
        waitingKeys.push(count);
      } else {
        readers[i].records(out, starts, ends, first, count);
      }
      first += count;
    }
    if (waiting.length > 0) this.readOnThread(shard, Buffer.concat(missed), waiting, waitingKeys);
  }

  private readOnThread(
    shard: Shard,
    requests: Uint8Array,
    readers: readonly PointReader[],
    readerKeys: readonly number[],
  ): void {
    const count = readerKeys.reduce((sum, keys) => sum + keys, 0);
    shard.store
      .multiGetAsync(requests, count)
      .then((out) => {
        const starts = new Int32Array(count);
        const ends = new Int32Array(count);
        locate(Buffer.from(out.buffer, out.byteOffset, out.byteLength), count, starts, ends);
        let first = 0;
        for (const [i, reader] of readers.entries()) {
          reader.records(out, starts, ends, first, readerKeys[i]);
          first += readerKeys[i];
        }
      })
      .catch((error: unknown) => {
        const failure = engineFailure(error);
        for (const reader of readers) reader.failed(failure);
      })
      .finally(this.options.afterAnswers);
  }
}

/** Turns the lengths at the head of a multi-get's answer into places. */
function locate(out: Buffer, count: number, starts: Int32Array, ends: Int32Array): void {
  let at = count * 4;
  for (let i = 0; i < count; i++) {
    const length = out.readInt32LE(i * 4);
    if (length < 0) {
      starts[i] = length === NEEDS_DISK ? NEEDS_DISK : ABSENT;
      ends[i] = starts[i];
    } else {
      starts[i] = at;
      at += length;
      ends[i] = at;
    }
  }
}

function skipRequests(requests: Uint8Array, from: number, count: number): number {
  let at = from;
  for (let i = 0; i < count; i++) {
    const length = requests[at + 4] | (requests[at + 5] << 8) | (requests[at + 6] << 16);
    at += 8 + length;
  }
  return at;
}
