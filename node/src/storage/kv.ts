/**
 * The port to the key-value engine under the storage room: RocksDB in production (`node/native`),
 * an ordered map with a lossy disk in the simulation. One `KvStore` is one shard's instance.
 *
 * Every call either returns at once or hands its work to a thread of the engine: none may block an
 * event loop on a disk or on a write stall. Handles are process-wide: each worker attaches its own
 * `KvEngine` and opens the same path to share the instance.
 */

/** Number of a column family in one store; not the same in two stores. */
export type FamilyId = number;

export type KvErrorCode =
  | 'CLOSED' // the handle was closed
  | 'BAD_BATCH' // malformed batch or unknown family: nothing was written
  | 'BAD_ARGUMENT'
  | 'CORRUPTION' // the message names the file
  | 'LOCKED' // another process holds the directory
  | 'NO_SPACE'
  | 'IO'
  | 'STALLED' // only where `noStall` was asked
  | 'ABORTED'; // the engine is closing

export class KvError extends Error {
  readonly code: KvErrorCode;
  constructor(code: KvErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KvError';
    this.code = code;
  }
}

/** How the merge operator's and compaction filter's rules apply to one family (storage-format.md, 5). */
export interface FamilyPolicy {
  readonly clustering: boolean;
  /** Bytes of a partition key in the fixed form; 0: stuffed form. */
  readonly fixedPartitionKeyBytes: number;
  readonly gcGraceSeconds: number;
  /** Ids of the regular columns, ascending, if each of them is one cell; else null (storage-format.md, 6). */
  readonly rowColumns: readonly number[] | null;
  /** Column ids below it have been given. */
  readonly columnsKnown: number;
}

export interface FamilyOptions {
  readonly policy: FamilyPolicy;
  /** SST files are cut where the top `gridBits` bits of the token change; 0: not cut. */
  readonly gridBits: number;
  /** RocksDB column family option string, on top of the engine's defaults. */
  readonly options?: string;
}

export interface KvProcessOptions {
  /** Block cache of the whole process, bytes. */
  readonly cacheBytes: number;
  /** Memtables of the whole process, bytes (a WriteBufferManager charged to no cache). */
  readonly memtableBytes: number;
  /** Flush and compaction writes, bytes per second; 0: no limit. */
  readonly backgroundBytesPerSecond: number;
  readonly backgroundThreads: number;
  /** Threads for reads that need the disk. */
  readonly readThreads: number;
}

export type Durability = 'group' | 'periodic';

export interface KvOpenOptions {
  readonly durability: Durability;
  /** `periodic`: the longest time an acknowledged write may be unsynced. */
  readonly syncPeriodMs: number;
  /** Bytes of batches that may wait for the store's writer thread before `submit` refuses. */
  readonly queueBytesMax: number;
  /** RocksDB DB option string, on top of the engine's defaults. */
  readonly options?: string;
  /** Families that must exist or be made; other families found are listed by `families()` and opened with the defaults. */
  readonly families: ReadonlyMap<string, FamilyOptions>;
}

export interface LiveFile {
  readonly family: string;
  readonly name: string;
  readonly directory: string;
  readonly level: number;
  readonly bytes: number;
  readonly entries: number;
  readonly deletions: number;
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
  readonly smallestSequence: number;
  readonly largestSequence: number;
  /** CRC-32C of the whole file as it was written, 8 hex digits; '' where an older version made it. */
  readonly checksum: string;
}

/** Hard links to the files of a family at one moment, in a directory of their own. */
export interface ExportedFamily {
  /** For `importFamily`. */
  readonly metadata: Uint8Array;
  readonly files: readonly LiveFile[];
}

export interface ImportOptions {
  /** Those of the export's files that are wanted, by `LiveFile.name`; without it all. */
  readonly names?: readonly string[];
  /** The links go; else the files are copied. */
  readonly move: boolean;
}

export interface IteratorOptions {
  readonly reverse?: boolean;
  /** Answer from memory only; `next` then may return `NEEDS_DISK`. */
  readonly cacheOnly?: boolean;
  /** Do not put what is read into the block cache. */
  readonly noFill?: boolean;
  readonly snapshot?: KvSnapshot;
}

/** `KvIterator.next` and `multiGet`: memory could not answer; ask again with the async form. */
export const NEEDS_DISK = -2;
/** `multiGet`: no such key. */
export const ABSENT = -1;
/** The given buffer is too small for even one entry (or, `multiGet`, for all values). */
export const TOO_SMALL = -3;

export interface KvIterator {
  /**
   * Fills `out` with entries, each `u32le key length | u32le value length | key | value`, values merged.
   * @returns the number of entries, 0 at the end, `NEEDS_DISK` (cacheOnly; the position is kept: entries
   * already in `out` are counted first, so it is only returned with none), or `TOO_SMALL`.
   */
  next(out: Uint8Array, maxEntries: number): number;
  /** As `next`, on a thread of the engine. `out` is borrowed until the promise settles. Never `NEEDS_DISK`. */
  nextAsync(out: Uint8Array, maxEntries: number): Promise<number>;
  seek(key: Uint8Array): void;
  close(): void;
}

export interface KvSnapshot {
  release(): void;
}

export interface SstWriter {
  /** Entries as `KvIterator.next` packs them, ascending; they are merged with what the range has where it is ingested. */
  put(packed: Uint8Array, length: number): Promise<void>;
  /** @returns bytes of the finished file. */
  finish(): Promise<number>;
  abort(): void;
}

export interface IngestOptions {
  readonly move?: boolean;
  readonly link?: boolean;
  /**
   * Files of a store, the oldest first where they overlap: sequence numbers stay as they are, so the range must be empty
   * (KvError BAD_ARGUMENT, or IO).
   */
  readonly databaseMade?: boolean;
  /** Of the files, in their order: what `LiveFile.checksum` will say of them. Not verified here. */
  readonly checksums?: readonly string[];
  readonly verifyChecksums?: boolean;
}

/** What a store tells about itself; polled, or pushed by `onEvent`. */
export type KvEvent =
  | {
      readonly kind: 'flush' | 'compaction';
      readonly family: string;
      readonly bytes: number;
      readonly micros: number;
    }
  | {
      readonly kind: 'stall';
      readonly family: string;
      readonly state: 'normal' | 'delayed' | 'stopped';
    }
  | {
      readonly kind: 'error';
      readonly code: KvErrorCode;
      readonly message: string;
    }
  | {
      readonly kind: 'ingest' | 'file-deleted';
      readonly family: string;
      readonly name: string;
    };

export interface KvStore {
  readonly path: string;
  families(): ReadonlyMap<string, FamilyId>;
  createFamily(name: string, options: FamilyOptions): Promise<FamilyId>;
  /** In one step, which takes hardly longer than one of them. After an error the first of them may be there. */
  createFamilies(
    families: ReadonlyMap<string, FamilyOptions>,
  ): Promise<ReadonlyMap<string, FamilyId>>;
  dropFamily(name: string): Promise<void>;
  setPolicy(family: FamilyId, policy: FamilyPolicy): void;
  /** `FamilyOptions.gridBits` for files that are written from now on. */
  setGridBits(family: FamilyId, bits: number): void;

  /**
   * Hands one write batch (RocksDB's own WriteBatch bytes; see `WriteBatchBuilder`) to the store's writer thread. The
   * bytes are copied before it returns. When the batch is applied (and, durability `group`, on disk) the engine calls
   * the completion handler with `ticket`. Batches of one worker are applied in order.
   * @returns false if the queue is full (nothing taken).
   * @throws KvError BAD_BATCH, CLOSED
   */
  submit(batch: Uint8Array, length: number, ticket: number): boolean;
  /** Bytes now waiting in the queue, of all workers. */
  queuedBytes(): number;

  /**
   * Point reads from memory. `requests`: `count` times `u32le family | u32le key length | key`.
   * `out`: `count` × i32le (value length, `ABSENT` or `NEEDS_DISK`), then the values one after another.
   * @returns bytes used in `out`, or `-needed` if `out` is too small.
   */
  multiGet(requests: Uint8Array, count: number, out: Uint8Array): number;
  /** As `multiGet` on a thread, reading the disk; never `NEEDS_DISK`. @returns a buffer laid out as `out`. `requests` is copied. */
  multiGetAsync(requests: Uint8Array, count: number): Promise<Uint8Array>;

  /** @param lower inclusive @param upper exclusive; null: open */
  iterator(
    family: FamilyId,
    lower: Uint8Array | null,
    upper: Uint8Array | null,
    options?: IteratorOptions,
  ): KvIterator;
  snapshot(): KvSnapshot;

  /** Makes all that was applied before durable. */
  syncWal(): Promise<void>;
  flush(family?: FamilyId): Promise<void>;
  compact(family: FamilyId, lower?: Uint8Array | null, upper?: Uint8Array | null): Promise<void>;
  /** Hard-linked copy of the whole store in a new directory. */
  checkpoint(directory: string): Promise<void>;
  /** Flushes the family. `directory` must not exist. */
  exportFamily(family: FamilyId, directory: string): Promise<ExportedFamily>;
  importFamily(
    name: string,
    options: FamilyOptions,
    directory: string,
    exported: Pick<ExportedFamily, 'metadata'>,
    how: ImportOptions,
  ): Promise<FamilyId>;
  sstWriter(family: FamilyId, file: string): SstWriter;
  ingest(family: FamilyId, files: readonly string[], options: IngestOptions): Promise<void>;
  deleteFilesInRange(
    family: FamilyId,
    lower: Uint8Array | null,
    upper: Uint8Array | null,
  ): Promise<void>;
  /** Everything from `lower` to before `upper` is gone, from the disk too. Nothing may be written there meanwhile. */
  clearRange(family: FamilyId, lower: Uint8Array, upper: Uint8Array): Promise<void>;
  verifyChecksums(): Promise<void>;
  liveFiles(): readonly LiveFile[];
  property(family: FamilyId, name: string): string | undefined;
  /** RocksDB tickers and histograms by name. */
  statistics(): Record<string, number>;
  onEvent(listener: (event: KvEvent) => void): void;
  /** Idempotent. The instance closes when the last worker's handle does; work in flight ends first. */
  close(): Promise<void>;
}

/** A worker's door to the engine. */
export interface KvEngine {
  /** Shared by the process: the first caller's options count. */
  open(path: string, options: KvOpenOptions): Promise<KvStore>;
  /**
   * Called on this worker's loop with the tickets whose batches are done: `tickets[i]` ended with `statuses[i]`
   * (0 applied, else an index into `KV_STATUS`), `count` of them; the arrays are reused.
   */
  onComplete(handler: (tickets: Float64Array, statuses: Uint8Array, count: number) => void): void;
  memoryUsage(): {
    readonly cacheBytes: number;
    readonly memtableBytes: number;
    readonly tableReaderBytes: number;
  };
}

export const KV_STATUS: readonly (KvErrorCode | 'OK')[] = [
  'OK',
  'CLOSED',
  'BAD_BATCH',
  'BAD_ARGUMENT',
  'CORRUPTION',
  'LOCKED',
  'NO_SPACE',
  'IO',
  'STALLED',
  'ABORTED',
];
