/**
 * The typed face of the native binding: `KvEngine` over RocksDB.
 *
 * All thinking about threads and lifetimes is in C++ (src/napi/worker.h, src/napi/handle.h); the classes here hold the
 * native handles and turn the port's objects into plain arguments.
 */
import { inspect } from 'node:util';
import {
  type ExportedFamily,
  type FamilyId,
  type FamilyOptions,
  type FamilyPolicy,
  type ImportOptions,
  type IngestOptions,
  type IteratorOptions,
  type KvEngine,
  KvError,
  type KvEvent,
  type KvIterator,
  type KvOpenOptions,
  type KvProcessOptions,
  type KvSnapshot,
  type KvStore,
  type LiveFile,
  type SstWriter,
} from '../src/storage/kv.ts';
import type { NativeIterator, NativeSnapshot, NativeSstWriter, NativeStore } from './addon.ts';
import { addon, attempt, onEngine, sumFlags } from './load.ts';

export { openTls, type TlsOptions, type TlsStream } from './tls.ts';

const TICKETS_PER_CALL = 4096;

const FLAGS = { reverse: 1, cacheOnly: 2, noFill: 4 } as const;
const INGEST_FLAGS = {
  move: 1,
  link: 2,
  databaseMade: 4,
  verifyChecksums: 8,
} as const;

class Snapshot implements KvSnapshot {
  native: NativeSnapshot | null;

  constructor(native: NativeSnapshot) {
    this.native = native;
  }

  release(): void {
    if (this.native !== null) addon.snapshotRelease(this.native);
    this.native = null;
  }
}

class Iterator implements KvIterator {
  private readonly native: NativeIterator;

  constructor(native: NativeIterator) {
    this.native = native;
  }

  next(out: Uint8Array, maxEntries: number): number {
    return addon.iteratorNext(this.native, out, maxEntries);
  }

  nextAsync(out: Uint8Array, maxEntries: number): Promise<number> {
    return attempt(() => addon.iteratorNextAsync(this.native, out, maxEntries));
  }

  seek(key: Uint8Array): void {
    addon.iteratorSeek(this.native, key);
  }

  close(): void {
    addon.iteratorClose(this.native);
  }
}

class NativeSst implements SstWriter {
  private readonly native: NativeSstWriter;

  constructor(native: NativeSstWriter) {
    this.native = native;
  }

  put(packed: Uint8Array, length: number): Promise<void> {
    return attempt(() => addon.sstPut(this.native, packed, length));
  }

  finish(): Promise<number> {
    return attempt(() => addon.sstFinish(this.native));
  }

  abort(): void {
    addon.sstAbort(this.native);
  }
}

type EventRoute = Map<number, ((event: KvEvent) => void)[]>;

class Store implements KvStore {
  readonly path: string;
  private readonly native: NativeStore;
  private readonly routes: EventRoute;
  private readonly id: number;
  private closing: Promise<void> | null = null;

  constructor(path: string, native: NativeStore, routes: EventRoute) {
    this.path = path;
    this.native = native;
    this.routes = routes;
    this.id = addon.storeId(native);
  }

  families(): ReadonlyMap<string, FamilyId> {
    return new Map(Object.entries(addon.families(this.native)));
  }

  async createFamily(name: string, options: FamilyOptions): Promise<FamilyId> {
    const ids = await this.createFamilies(new Map([[name, options]]));
    return ids.get(name) as FamilyId;
  }

  async createFamilies(
    families: ReadonlyMap<string, FamilyOptions>,
  ): Promise<ReadonlyMap<string, FamilyId>> {
    const wanted = Object.fromEntries(families);
    const ids = await attempt(() => addon.createFamilies(this.native, wanted));
    return new Map(Object.entries(ids));
  }

  dropFamily(name: string): Promise<void> {
    return attempt(() => addon.dropFamily(this.native, name));
  }

  setPolicy(family: FamilyId, policy: FamilyPolicy): void {
    addon.setPolicy(this.native, family, policy);
  }

  setGridBits(family: FamilyId, bits: number): void {
    addon.setGridBits(this.native, family, bits);
  }

  submit(batch: Uint8Array, length: number, ticket: number): boolean {
    return addon.submit(this.native, batch, length, ticket);
  }

  queuedBytes(): number {
    return addon.queuedBytes(this.native);
  }

  multiGet(requests: Uint8Array, count: number, out: Uint8Array): number {
    return addon.multiGet(this.native, requests, count, out);
  }

  multiGetAsync(requests: Uint8Array, count: number): Promise<Uint8Array> {
    return attempt(() => addon.multiGetAsync(this.native, requests, count));
  }

  iterator(
    family: FamilyId,
    lower: Uint8Array | null,
    upper: Uint8Array | null,
    options: IteratorOptions = {},
  ): KvIterator {
    const snapshot = options.snapshot === undefined ? undefined : nativeSnapshot(options.snapshot);
    const flags = sumFlags(FLAGS, options);
    return new Iterator(addon.iterator(this.native, family, lower, upper, flags, snapshot));
  }

  snapshot(): KvSnapshot {
    return new Snapshot(addon.snapshot(this.native));
  }

  syncWal(): Promise<void> {
    return attempt(() => addon.syncWal(this.native));
  }

  flush(family?: FamilyId): Promise<void> {
    return attempt(() => addon.flush(this.native, family));
  }

  compact(
    family: FamilyId,
    lower: Uint8Array | null = null,
    upper: Uint8Array | null = null,
  ): Promise<void> {
    return attempt(() => addon.compact(this.native, family, lower, upper));
  }

  checkpoint(directory: string): Promise<void> {
    return attempt(() => addon.checkpoint(this.native, directory));
  }

  clearRange(family: FamilyId, lower: Uint8Array, upper: Uint8Array): Promise<void> {
    return attempt(() => addon.clearRange(this.native, family, lower, upper));
  }

  exportFamily(family: FamilyId, directory: string): Promise<ExportedFamily> {
    return attempt(() => addon.exportFamily(this.native, family, directory));
  }

  importFamily(
    name: string,
    options: FamilyOptions,
    directory: string,
    { metadata }: ExportedFamily,
    { names, move }: ImportOptions,
  ): Promise<FamilyId> {
    return attempt(() =>
      addon.importFamily(this.native, name, options, directory, metadata, names ?? [], move),
    );
  }

  sstWriter(family: FamilyId, file: string): SstWriter {
    return new NativeSst(addon.sstWriter(this.native, family, file));
  }

  ingest(family: FamilyId, files: readonly string[], options: IngestOptions): Promise<void> {
    const { checksums = [], ...flags } = options;
    return attempt(() =>
      addon.ingest(this.native, family, files, checksums, sumFlags(INGEST_FLAGS, flags)),
    );
  }

  deleteFilesInRange(
    family: FamilyId,
    lower: Uint8Array | null,
    upper: Uint8Array | null,
  ): Promise<void> {
    return attempt(() => addon.deleteFilesInRange(this.native, family, lower, upper));
  }

  verifyChecksums(): Promise<void> {
    return attempt(() => addon.verifyChecksums(this.native));
  }

  liveFiles(): readonly LiveFile[] {
    return addon.liveFiles(this.native);
  }

  property(family: FamilyId, name: string): string | undefined {
    return addon.property(this.native, family, name);
  }

  statistics(): Record<string, number> {
    return addon.statistics(this.native);
  }

  onEvent(listener: (event: KvEvent) => void): void {
    addon.listen(this.native);
    const listeners = this.routes.get(this.id);
    if (listeners === undefined) this.routes.set(this.id, [listener]);
    else listeners.push(listener);
  }

  close(): Promise<void> {
    this.closing ??= addon.close(this.native).then(() => {
      this.routes.delete(this.id);
    });
    return this.closing;
  }

  [inspect.custom](): string {
    return `KvStore(${this.path})`;
  }
}

function nativeSnapshot(snapshot: KvSnapshot): NativeSnapshot {
  if (snapshot instanceof Snapshot && snapshot.native !== null) return snapshot.native;
  throw new KvError('CLOSED', 'the snapshot is released, or of another engine');
}

type CompletionHandler = (tickets: Float64Array, statuses: Uint8Array, count: number) => void;

class Engine implements KvEngine {
  private readonly routes: EventRoute = new Map();
  private handler: CompletionHandler = () => {};

  constructor(options: KvProcessOptions) {
    const tickets = new Float64Array(TICKETS_PER_CALL);
    const statuses = new Uint8Array(TICKETS_PER_CALL);
    addon.attach(
      options,
      KvError,
      tickets,
      statuses,
      (count) => this.handler(tickets, statuses, count),
      (store, event) => {
        for (const listener of this.routes.get(store) ?? []) listener(event);
      },
    );
  }

  open(path: string, options: KvOpenOptions): Promise<KvStore> {
    const plain = {
      ...options,
      families: Object.fromEntries(options.families),
    };
    return attempt(() => addon.open(path, plain)).then(
      (native) => new Store(path, native, this.routes),
    );
  }

  onComplete(handler: CompletionHandler): void {
    this.handler = handler;
  }

  memoryUsage(): {
    cacheBytes: number;
    memtableBytes: number;
    tableReaderBytes: number;
  } {
    return addon.memoryUsage();
  }
}

let engine: Engine | null = null;

/**
 * The engine of this worker; a second call gives the same one. The first call in the process decides on the options.
 * Open stores, iterators and work in flight end by themselves when the worker does.
 */
export function createNativeEngine(options: KvProcessOptions): KvEngine {
  engine ??= new Engine(options);
  return engine;
}

/** A range of a file to be sent; see `sendFile`. */
export interface SendFileOptions {
  /** Of a connected TCP or Unix socket with nothing left to write (`socket.writableLength` is 0), without TLS. */
  readonly socketFd: number;
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** Gives up when the peer took nothing for so long; 0: never. */
  readonly timeoutMs: number;
}

/**
 * Sends a file range by sendfile(2) on a thread of its own: the bytes do not pass through JavaScript, and libuv's pool
 * is not held. The descriptor is duplicated, so closing the socket does not redirect the rest.
 * @returns the bytes sent, which are `length`
 * @throws KvError IO (also when the peer is gone, or for the timeout), BAD_ARGUMENT
 */
export function sendFile(options: SendFileOptions): Promise<number> {
  const { socketFd, path, offset, length, timeoutMs } = options;
  return onEngine(() => addon.sendFile(socketFd, path, offset, length, timeoutMs));
}

/** See `receiveFile`. */
export interface ReceiveFileOptions {
  /** Of a connected socket that libuv does not read: paused on connect, or before its first read. */
  readonly socketFd: number;
  /** Made, if `offset` is 0. */
  readonly path: string;
  /** Where the first byte goes; what the file had from there on is lost. Default 0. */
  readonly offset?: number;
  readonly length: number;
  /** Gives up when nothing came for so long; 0: never. */
  readonly timeoutMs: number;
  /** The bytes are on disk when the promise resolves (the directory entry is the caller's). */
  readonly fsync?: boolean;
}

/**
 * Receives exactly `length` bytes into a file by splice(2), on a thread of its own.
 * @returns the bytes received, which are `length`
 * @throws KvError IO (also when the peer closed early, or for the timeout), NO_SPACE, BAD_ARGUMENT
 */
export function receiveFile(options: ReceiveFileOptions): Promise<number> {
  const { socketFd, path, offset = 0, length, timeoutMs, fsync } = options;
  return onEngine(() =>
    addon.receiveFile(socketFd, path, offset, length, timeoutMs, fsync === true),
  );
}

/**
 * CRC-32C of a file, read on a thread: what `LiveFile.checksum` says of it, if it is as it was written.
 * @returns 8 hex digits @throws KvError IO
 */
export function fileChecksum(path: string): Promise<string> {
  return onEngine(() => addon.fileChecksum(path));
}

/**
 * The join of records as the merge operator computes it: for holding it to node/src/storage/merge.ts.
 * @throws RangeError if one of them is not a record
 */
export function mergeRecords(records: readonly Uint8Array[]): Uint8Array {
  return addon.mergeRecords(records);
}

/** CPU time that this process has used, all threads. */
export function processCpuNanos(): number {
  return addon.cpuNanos(false);
}

/** CPU time that this thread has used. */
export function threadCpuNanos(): number {
  return addon.cpuNanos(true);
}
