/**
 * A node's disk: what survives a crash, and what goes wrong with it. Stores write their log in order; a crash loses what
 * was not synced, or any end of it: what the disk had already taken by itself may stay.
 */
import type { MetadataFiles } from '../cluster/ports.ts';
import type { FamilyPolicy, KvErrorCode, KvOpenOptions } from '../storage/kv.ts';
import { KvError } from '../storage/kv.ts';
import type { BatchOperation } from './batch-reader.ts';
import type { MemoryEngine } from './memory-kv.ts';
import { MemoryTable, type Undo } from './memory-table.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface DiskFaults {
  /** Milliseconds of one read, write or fsync: drawn from up to twice of it. */
  readMillis: number;
  writeMillis: number;
  syncMillis: number;
  /** Share of reads that memory cannot answer. */
  missRate: number;
  /** Every write, or read, ends so. */
  writeFailure: KvErrorCode | null;
  readFailure: KvErrorCode | null;
}

export type CrashKind = 'process' | 'power';

const HEALTHY: DiskFaults = {
  readMillis: 0.2,
  writeMillis: 0.02,
  syncMillis: 1,
  missRate: 0.1,
  writeFailure: null,
  readFailure: null,
};

/** A batch that waits for the writer. */
interface QueuedBatch {
  readonly engine: MemoryEngine;
  readonly operations: readonly BatchOperation[];
  readonly bytes: number;
  readonly ticket: number;
}

export class VirtualDisk {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly faults: DiskFaults = { ...HEALTHY };
  /**
   * Bugs for a test to find; they do not heal. `syncLies`: fsync says that it is done, and is not. `lastArrivalWins`: a
   * record that is merged takes the place of what was there. `checksumsLie`: all files have the same. `ingestLies`: files are
   * told to be in a store and on disk, and are not on disk for some seconds. `flipsNextFile`: one bit of the next file that
   * is sent is another; this is no bug, but what disks do.
   */
  readonly planted = {
    syncLies: false,
    lastArrivalWins: false,
    checksumsLie: false,
    ingestLies: false,
    flipsNextFile: false,
  };
  readonly stores = new Map<string, StoreState>();
  /** The node's metadata log. */
  metadata: MetadataFiles | null = null;
  /** Sorted files and exports that are not in a store, by path. */
  readonly files = new Map<string, MemoryTable>();
  /** Other files: texts, and what has arrived of those of other nodes. */
  readonly blobs = new Map<string, Buffer>();
  private readonly onCrash = new Set<(kind: CrashKind) => void>();

  constructor(scheduler: Scheduler, random: SeededRandom) {
    this.scheduler = scheduler;
    this.random = random;
  }

  heal(): void {
    Object.assign(this.faults, HEALTHY);
  }

  /** Between nothing and twice `millis`. */
  delay(millis: number): number {
    return this.random.between(0, 2 * millis);
  }

  /** Runs at each crash. @returns takes it back */
  atCrash(run: (kind: CrashKind) => void): () => void {
    this.onCrash.add(run);
    return () => this.onCrash.delete(run);
  }

  /**
   * The process dies: what waited to be written is lost. `power`: the machine, too, and with it what was not synced, all
   * or an end of it.
   */
  crash(kind: CrashKind): void {
    for (const store of this.stores.values()) store.crash(kind);
    for (const run of [...this.onCrash]) run(kind);
  }

  /** Everything is gone, as with a new disk. */
  wipe(): void {
    this.crash('power');
    this.stores.clear();
    this.files.clear();
    this.blobs.clear();
    this.metadata = null;
  }
}

/** One store as the disk has it, and its writer. */
export class StoreState {
  readonly path: string;
  readonly disk: VirtualDisk;
  readonly options: KvOpenOptions;
  readonly names = new Map<string, number>();
  readonly tables = new Map<number, MemoryTable>();
  queuedBytes = 0;
  private nextFamily = 0;
  private queue: QueuedBatch[] = [];
  private writing = false;
  private syncDue = false;
  /** In the log and not yet synced: nobody reads it before that. */
  private syncing: readonly QueuedBatch[] = [];
  /** By batch, oldest first: what is applied and not on disk. */
  private unsynced: Undo[][] = [];
  /** The planted bug: what came as files, and when. */
  private lyingFiles: { readonly time: number; readonly undo: readonly Undo[] }[] = [];
  /** Grows with each crash: what was going on before ends unheard. */
  private life = 0;

  constructor(disk: VirtualDisk, path: string, options: KvOpenOptions) {
    this.disk = disk;
    this.path = path;
    this.options = options;
    this.createFamily('default', null);
  }

  createFamily(name: string, policy: FamilyPolicy | null): number {
    const id = this.nextFamily++;
    const table = new MemoryTable();
    table.policy = policy;
    this.names.set(name, id);
    this.tables.set(id, table);
    return id;
  }

  dropFamily(name: string): boolean {
    const id = this.names.get(name);
    if (id === undefined || id === 0) return false;
    this.names.delete(name);
    this.tables.delete(id);
    return true;
  }

  table(family: number): MemoryTable {
    const table = this.tables.get(family);
    if (table === undefined) throw new KvError('BAD_ARGUMENT', `no column family ${family}`);
    return table;
  }

  /** @returns false: the queue is full */
  submit(batch: QueuedBatch): boolean {
    const full =
      this.queuedBytes > 0 && this.queuedBytes + batch.bytes > this.options.queueBytesMax;
    if (full) return false;
    this.queue.push(batch);
    this.queuedBytes += batch.bytes;
    this.startWriter();
    return true;
  }

  /** All that is applied is on disk. */
  sync(): void {
    if (!this.disk.planted.syncLies) this.unsynced = [];
  }

  /** @param undo what takes back the files that were just ingested */
  ingested(undo: readonly Undo[]): void {
    const { planted, scheduler } = this.disk;
    if (planted.ingestLies) this.lyingFiles.push({ time: scheduler.now, undo });
  }

  crash(kind: CrashKind): void {
    this.life++;
    this.queue = [];
    this.queuedBytes = 0;
    this.writing = false;
    this.syncDue = false;
    this.applyAll(this.syncing);
    this.syncing = [];
    // What the system has taken of a process that died, it writes.
    if (kind === 'process') return;
    const kept = this.disk.random.below(this.unsynced.length + 1);
    for (const undo of this.unsynced.slice(kept).reverse()) {
      for (const { table, key, before } of undo.reverse()) table.set(key, before);
    }
    this.unsynced = [];
    const recent = this.lyingFiles.filter(({ time }) => time > this.disk.scheduler.now - 5_000);
    for (const { undo } of recent.reverse()) {
      for (const { table, key, before } of [...undo].reverse()) table.set(key, before);
    }
    this.lyingFiles = [];
  }

  /** Runs after `millis`, unless the process has died. */
  later(millis: number, run: () => void): void {
    const { life } = this;
    this.disk.scheduler.after(millis, () => {
      if (this.life === life) run();
    });
  }

  /** A copy as it is now, under another path. */
  copyTo(path: string): void {
    const copy = new StoreState(this.disk, path, this.options);
    copy.names.clear();
    for (const [name, id] of this.names) copy.names.set(name, id);
    for (const [id, table] of this.tables) copy.tables.set(id, table.copy());
    copy.nextFamily = this.nextFamily;
    this.disk.stores.set(path, copy);
  }

  private startWriter(): void {
    if (this.writing || this.queue.length === 0) return;
    this.writing = true;
    this.later(this.disk.delay(this.disk.faults.writeMillis), () => this.write());
  }

  /** Writes all that waits, as one. */
  private write(): void {
    const batches = this.queue;
    this.queue = [];
    const { faults } = this.disk;
    if (faults.writeFailure !== null) {
      this.complete(batches, faults.writeFailure);
      return;
    }
    if (this.options.durability === 'periodic') {
      this.applyAll(batches);
      this.complete(batches, 'OK');
      this.syncLater();
      return;
    }
    // As RocksDB does: what is not durable is not seen.
    this.syncing = batches;
    this.later(this.disk.delay(faults.syncMillis), () => {
      this.syncing = [];
      this.applyAll(batches);
      this.sync();
      this.complete(batches, this.disk.faults.writeFailure ?? 'OK');
    });
  }

  private complete(batches: readonly QueuedBatch[], status: KvErrorCode | 'OK'): void {
    this.writing = false;
    const byEngine = new Map<MemoryEngine, number[]>();
    for (const { engine, ticket, bytes } of batches) {
      this.queuedBytes -= bytes;
      const tickets = byEngine.get(engine);
      if (tickets === undefined) byEngine.set(engine, [ticket]);
      else tickets.push(ticket);
    }
    this.startWriter();
    for (const [engine, tickets] of byEngine) engine.complete(tickets, status);
  }

  private syncLater(): void {
    if (this.syncDue) return;
    this.syncDue = true;
    this.later(this.options.syncPeriodMs, () => {
      this.syncDue = false;
      this.sync();
    });
  }

  private applyAll(batches: readonly QueuedBatch[]): void {
    for (const { operations } of batches) this.apply(operations);
  }

  private apply(operations: readonly BatchOperation[]): void {
    const undo: Undo[] = [];
    for (const operation of operations) {
      // The family may have been dropped since: then there is nothing to write into.
      const table = this.tables.get(operation.family);
      if (table === undefined) continue;
      switch (operation.kind) {
        case 'put':
          table.put(operation.key, operation.value, undo);
          break;
        case 'merge':
          if (this.disk.planted.lastArrivalWins) table.put(operation.key, operation.value, undo);
          else table.write(operation.key, operation.value, undo);
          break;
        case 'delete':
          table.delete(operation.key, undo);
          break;
        case 'delete-range':
          table.deleteRange(operation.key, operation.upper, undo);
          break;
      }
    }
    this.unsynced.push(undo);
  }
}
