/** The functions of build/ilion.node, as src/napi/*-calls.cc define them. Handles are opaque. */
import type {
  ExportedFamily,
  FamilyOptions,
  FamilyPolicy,
  KvError,
  KvErrorCode,
  KvEvent,
  KvOpenOptions,
  KvProcessOptions,
  LiveFile,
} from '../src/storage/kv.ts';

declare const kind: unique symbol;
interface Handle<Kind extends string> {
  readonly [kind]: Kind;
}
export type NativeStore = Handle<'store'>;
export type NativeIterator = Handle<'iterator'>;
export type NativeSnapshot = Handle<'snapshot'>;
export type NativeSstWriter = Handle<'sst-writer'>;
export type NativeTls = Handle<'tls'>;

type Bytes = Uint8Array | null;
type NativeOpenOptions = Omit<KvOpenOptions, 'families'> & {
  readonly families: Readonly<Record<string, FamilyOptions>>;
};

/** Everything throws (or rejects with) KvError. */
export interface Addon {
  version(): { headers: string; library: string };
  cpuNanos(thisThread: boolean): number;
  /** Once in each worker. `onTickets` reads the arrays, which the addon fills before each call. */
  attach(
    options: KvProcessOptions,
    error: new (code: KvErrorCode, message: string) => KvError,
    tickets: Float64Array,
    statuses: Uint8Array,
    onTickets: (count: number) => void,
    onEvent: (store: number, event: KvEvent) => void,
  ): void;
  memoryUsage(): {
    cacheBytes: number;
    memtableBytes: number;
    tableReaderBytes: number;
  };

  open(path: string, options: NativeOpenOptions): Promise<NativeStore>;
  close(store: NativeStore): Promise<void>;
  storeId(store: NativeStore): number;
  listen(store: NativeStore): void;
  families(store: NativeStore): Record<string, number>;
  createFamilies(
    store: NativeStore,
    families: Readonly<Record<string, FamilyOptions>>,
  ): Promise<Record<string, number>>;
  dropFamily(store: NativeStore, name: string): Promise<void>;
  setPolicy(store: NativeStore, family: number, policy: FamilyPolicy): void;
  setGridBits(store: NativeStore, family: number, bits: number): void;
  submit(store: NativeStore, batch: Uint8Array, length: number, ticket: number): boolean;
  queuedBytes(store: NativeStore): number;
  syncWal(store: NativeStore): Promise<void>;
  flush(store: NativeStore, family: number | undefined): Promise<void>;
  compact(store: NativeStore, family: number, lower: Bytes, upper: Bytes): Promise<void>;
  deleteFilesInRange(store: NativeStore, family: number, lower: Bytes, upper: Bytes): Promise<void>;
  checkpoint(store: NativeStore, directory: string): Promise<void>;
  clearRange(
    store: NativeStore,
    family: number,
    lower: Uint8Array,
    upper: Uint8Array,
  ): Promise<void>;
  exportFamily(store: NativeStore, family: number, directory: string): Promise<ExportedFamily>;
  importFamily(
    store: NativeStore,
    name: string,
    options: FamilyOptions,
    directory: string,
    metadata: Uint8Array,
    names: readonly string[],
    move: boolean,
  ): Promise<number>;
  verifyChecksums(store: NativeStore): Promise<void>;
  property(store: NativeStore, family: number, name: string): string | undefined;
  statistics(store: NativeStore): Record<string, number>;

  multiGet(store: NativeStore, requests: Uint8Array, count: number, out: Uint8Array): number;
  multiGetAsync(store: NativeStore, requests: Uint8Array, count: number): Promise<Uint8Array>;
  iterator(
    store: NativeStore,
    family: number,
    lower: Bytes,
    upper: Bytes,
    flags: number,
    snapshot: NativeSnapshot | undefined,
  ): NativeIterator;
  iteratorNext(iterator: NativeIterator, out: Uint8Array, maxEntries: number): number;
  iteratorNextAsync(iterator: NativeIterator, out: Uint8Array, maxEntries: number): Promise<number>;
  iteratorSeek(iterator: NativeIterator, key: Uint8Array): void;
  iteratorClose(iterator: NativeIterator): void;
  snapshot(store: NativeStore): NativeSnapshot;
  snapshotRelease(snapshot: NativeSnapshot): void;
  mergeRecords(records: readonly Uint8Array[]): Uint8Array;

  liveFiles(store: NativeStore): LiveFile[];
  ingest(
    store: NativeStore,
    family: number,
    files: readonly string[],
    checksums: readonly string[],
    flags: number,
  ): Promise<void>;
  sstWriter(store: NativeStore, family: number, file: string): NativeSstWriter;
  sstPut(writer: NativeSstWriter, packed: Uint8Array, length: number): Promise<void>;
  sstFinish(writer: NativeSstWriter): Promise<number>;
  sstAbort(writer: NativeSstWriter): void;
  sendFile(
    socketFd: number,
    path: string,
    offset: number,
    length: number,
    timeoutMs: number,
  ): Promise<number> | undefined;
  receiveFile(
    socketFd: number,
    path: string,
    offset: number,
    length: number,
    timeoutMs: number,
    sync: boolean,
  ): Promise<number> | undefined;
  fileChecksum(path: string): Promise<string> | undefined;

  tlsOpen(
    socketFd: number,
    certificate: Bytes,
    key: Bytes,
    authorities: Bytes,
    peer: string,
    flags: number,
  ): NativeTls;
  tlsHandshake(stream: NativeTls, timeoutMs: number): Promise<void> | undefined;
  tlsRead(stream: NativeTls, length: number, timeoutMs: number): Promise<Buffer> | undefined;
  tlsWrite(stream: NativeTls, bytes: Uint8Array, timeoutMs: number): Promise<void> | undefined;
  tlsSend(
    stream: NativeTls,
    path: string,
    offset: number,
    length: number,
    timeoutMs: number,
  ): Promise<number> | undefined;
  tlsReceive(
    stream: NativeTls,
    path: string,
    offset: number,
    length: number,
    timeoutMs: number,
    sync: boolean,
  ): Promise<number> | undefined;
  tlsClose(stream: NativeTls): void;
}
