/**
 * `KvEngine` over a virtual disk: what one worker of a simulated node has in place of RocksDB. Held to the binding by a
 * property test. There are no files: what is about them (compaction, live files, statistics) has nothing to do or to say.
 */
import {
  ABSENT,
  type ExportedFamily,
  type FamilyId,
  type FamilyOptions,
  type FamilyPolicy,
  type ImportOptions,
  type IngestOptions,
  type IteratorOptions,
  KV_STATUS,
  type KvEngine,
  KvError,
  type KvErrorCode,
  type KvEvent,
  type KvIterator,
  type KvOpenOptions,
  type KvSnapshot,
  type KvStore,
  type LiveFile,
  NEEDS_DISK,
  type SstWriter,
} from '../storage/kv.ts';
import { readBatch } from './batch-reader.ts';
import {
  describeFile,
  MemorySstWriter,
  openFile,
  refuseOverlap,
  removeFile,
} from './memory-files.ts';
import { MemoryIterator } from './memory-iterator.ts';
import {
  keyText,
  MemoryTable,
  type StoredValue,
  type TableView,
  UNMERGEABLE,
  type Undo,
} from './memory-table.ts';
import { StoreState, type VirtualDisk } from './virtual-disk.ts';

type CompletionHandler = (tickets: Float64Array, statuses: Uint8Array, count: number) => void;

/** A worker's engine in one life of its process. */
export class MemoryEngine implements KvEngine {
  readonly disk: VirtualDisk;
  private handler: CompletionHandler = () => {};
  private dead = false;

  constructor(disk: VirtualDisk) {
    this.disk = disk;
    const forget = disk.atCrash(() => {
      this.dead = true;
      forget();
    });
  }

  open(path: string, options: KvOpenOptions): Promise<KvStore> {
    const { disk } = this;
    let state = disk.stores.get(path);
    if (state === undefined) {
      state = new StoreState(disk, path, options);
      disk.stores.set(path, state);
    }
    for (const [name, { policy }] of options.families) {
      const family = state.names.get(name) ?? state.createFamily(name, policy);
      state.table(family).policy = policy;
    }
    const store = new MemoryStore(this, state);
    return this.later(disk.faults.readMillis, () => store);
  }

  onComplete(handler: CompletionHandler): void {
    this.handler = handler;
  }

  memoryUsage(): {
    cacheBytes: number;
    memtableBytes: number;
    tableReaderBytes: number;
  } {
    return { cacheBytes: 0, memtableBytes: 0, tableReaderBytes: 0 };
  }

  /** The batches of these tickets are done. */
  complete(tickets: readonly number[], status: KvErrorCode | 'OK'): void {
    if (this.dead) return;
    const statuses = new Uint8Array(tickets.length).fill(KV_STATUS.indexOf(status));
    this.handler(Float64Array.from(tickets), statuses, tickets.length);
  }

  /** What `run` gives, after a time of the disk; never, if the process dies before. */
  later<T>(millis: number, run: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.disk.scheduler.after(this.disk.delay(millis), () => {
        if (this.dead) return;
        try {
          resolve(run());
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}

class MemorySnapshot implements KvSnapshot {
  readonly views = new Map<MemoryTable, TableView>();
  released = false;

  constructor(state: StoreState) {
    for (const table of state.tables.values()) this.views.set(table, table.view());
  }

  release(): void {
    this.released = true;
  }
}

/** Reads the keys of a multi-get. @throws KvError BAD_ARGUMENT */
function readRequests(
  state: StoreState,
  requests: Uint8Array,
  count: number,
): (StoredValue | undefined)[] {
  const bytes = Buffer.from(requests.buffer, requests.byteOffset, requests.byteLength);
  const values: (StoredValue | undefined)[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const start = at + 8;
    const end = start <= bytes.length ? start + bytes.readUInt32LE(at + 4) : start;
    if (end > bytes.length) throw new KvError('BAD_ARGUMENT', 'the requests are cut short');
    const key = keyText(bytes.subarray(start, end));
    values.push(state.table(bytes.readUInt32LE(at)).get(key));
    at = end;
  }
  return values;
}

class MemoryStore implements KvStore {
  readonly path: string;
  private readonly engine: MemoryEngine;
  private readonly state: StoreState;
  private closed = false;

  constructor(engine: MemoryEngine, state: StoreState) {
    this.engine = engine;
    this.state = state;
    this.path = state.path;
  }

  families(): ReadonlyMap<string, FamilyId> {
    return new Map(this.open().names);
  }

  createFamily(name: string, { policy }: FamilyOptions): Promise<FamilyId> {
    return this.changed((state) => {
      if (state.names.has(name)) {
        throw new KvError('BAD_ARGUMENT', `the column family ${name} exists`);
      }
      return state.createFamily(name, policy);
    });
  }

  async createFamilies(
    families: ReadonlyMap<string, FamilyOptions>,
  ): Promise<ReadonlyMap<string, FamilyId>> {
    const ids = new Map<string, FamilyId>();
    for (const [name, options] of families) ids.set(name, await this.createFamily(name, options));
    return ids;
  }

  dropFamily(name: string): Promise<void> {
    return this.changed((state) => {
      if (!state.dropFamily(name)) throw new KvError('BAD_ARGUMENT', `no column family ${name}`);
    });
  }

  setPolicy(family: FamilyId, policy: FamilyPolicy): void {
    this.open().table(family).policy = policy;
  }

  setGridBits(family: FamilyId, _bits: number): void {
    this.open().table(family);
  }

  submit(batch: Uint8Array, length: number, ticket: number): boolean {
    const state = this.open();
    const operations = readBatch(batch, length, (family) => state.tables.has(family));
    return state.submit({
      engine: this.engine,
      operations,
      bytes: length,
      ticket,
    });
  }

  queuedBytes(): number {
    return this.open().queuedBytes;
  }

  multiGet(requests: Uint8Array, count: number, out: Uint8Array): number {
    const { faults, random } = this.engine.disk;
    const values = readRequests(this.open(), requests, count);
    const missed = values.map((value) => value === UNMERGEABLE || random.chance(faults.missRate));
    const needed = packedBytes(values, missed);
    if (needed > out.length) return -needed;
    packAnswers(values, missed, out);
    return needed;
  }

  multiGetAsync(requests: Uint8Array, count: number): Promise<Uint8Array> {
    const asked = Uint8Array.from(requests);
    const { faults } = this.engine.disk;
    return this.attempt(faults.readMillis, (state) => {
      if (faults.readFailure !== null) throw new KvError(faults.readFailure, 'the disk fails');
      const values = readRequests(state, asked, count);
      if (values.includes(UNMERGEABLE)) throw new KvError('CORRUPTION', 'a value is no record');
      const out = new Uint8Array(packedBytes(values, []));
      packAnswers(values, [], out);
      return out;
    });
  }

  iterator(
    family: FamilyId,
    lower: Uint8Array | null,
    upper: Uint8Array | null,
    options: IteratorOptions = {},
  ): KvIterator {
    const table = this.open().table(family);
    const { snapshot } = options;
    let view = () => table.view();
    if (snapshot !== undefined) {
      if (!(snapshot instanceof MemorySnapshot) || snapshot.released) {
        throw new KvError('CLOSED', 'the snapshot is released, or of another engine');
      }
      const known = snapshot.views.get(table) ?? new MemoryTable().view();
      view = () => known;
    }
    return new MemoryIterator(this.engine, view, {
      lower: lower === null ? null : keyText(lower),
      upper: upper === null ? null : keyText(upper),
      reverse: options.reverse === true,
      cacheOnly: options.cacheOnly === true,
    });
  }

  snapshot(): KvSnapshot {
    return new MemorySnapshot(this.open());
  }

  syncWal(): Promise<void> {
    return this.changed(() => {});
  }

  flush(_family?: FamilyId): Promise<void> {
    return this.changed(() => {});
  }

  compact(family: FamilyId): Promise<void> {
    return this.changed((state) => {
      state.table(family);
    });
  }

  checkpoint(directory: string): Promise<void> {
    return this.changed((state) => state.copyTo(directory));
  }

  /** A file for each first byte of keys. */
  exportFamily(family: FamilyId, directory: string): Promise<ExportedFamily> {
    return this.changed((state) => {
      const { keys, values } = state.table(family).view();
      const tables = new Map<string, MemoryTable>();
      for (const key of keys) {
        const name = `/${key.charCodeAt(0)}.sst`;
        let table = tables.get(name);
        if (table === undefined) {
          table = new MemoryTable();
          tables.set(name, table);
        }
        table.set(key, values.get(key));
      }
      const files = [...tables].map(([name, table]) => {
        this.engine.disk.files.set(`${directory}${name}`, table);
        return describeFile(name, directory, table);
      });
      return { metadata: new Uint8Array(0), files };
    });
  }

  importFamily(
    name: string,
    { policy }: FamilyOptions,
    directory: string,
    _exported: Pick<ExportedFamily, 'metadata'>,
    { names, move }: ImportOptions,
  ): Promise<FamilyId> {
    return this.changed((state) => {
      const { files } = this.engine.disk;
      const all = [...files.keys()]
        .filter((path) => path.startsWith(`${directory}/`))
        .map((path) => path.slice(directory.length));
      const family = state.createFamily(name, policy);
      for (const file of names ?? all) {
        const path = `${directory}${file}`;
        const { keys, values } = openFile(this.engine.disk, path).view();
        for (const key of keys) state.table(family).set(key, values.get(key));
        if (move) removeFile(this.engine.disk, path);
      }
      return family;
    });
  }

  sstWriter(_family: FamilyId, file: string): SstWriter {
    return new MemorySstWriter(this.engine, file);
  }

  ingest(family: FamilyId, files: readonly string[], options: IngestOptions): Promise<void> {
    return this.changed((state) => {
      const table = state.table(family);
      const views = files.map((file) => openFile(this.engine.disk, file).view());
      const isEmpty = options.databaseMade === true;
      const undo: Undo[] = [];
      if (isEmpty) for (const view of views) refuseOverlap(table, view);
      for (const { keys, values } of views) {
        for (const key of keys) {
          const value = values.get(key);
          if (value === undefined) continue;
          if (isEmpty || value === UNMERGEABLE) table.put(key, value, undo);
          else table.merge(key, value, undo);
        }
      }
      if (options.move === true) for (const file of files) removeFile(this.engine.disk, file);
      state.ingested(undo);
    });
  }

  /** There are no files: none lies wholly in a range. */
  deleteFilesInRange(): Promise<void> {
    return this.changed(() => {});
  }

  clearRange(family: FamilyId, lower: Uint8Array, upper: Uint8Array): Promise<void> {
    return this.changed((state) => {
      state.table(family).deleteRange(keyText(lower), keyText(upper), []);
    });
  }

  verifyChecksums(): Promise<void> {
    return this.changed(() => {});
  }

  liveFiles(): readonly LiveFile[] {
    return [];
  }

  property(): string | undefined {
    return undefined;
  }

  statistics(): Record<string, number> {
    return {};
  }

  /** Nothing of what is told ever happens here. */
  onEvent(_listener: (event: KvEvent) => void): void {}

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  private open(): StoreState {
    if (this.closed) throw new KvError('CLOSED', `the store ${this.path} is closed`);
    return this.state;
  }

  private attempt<T>(millis: number, run: (state: StoreState) => T): Promise<T> {
    if (this.closed) return Promise.reject(new KvError('CLOSED', 'the store is closed'));
    return this.engine.later(millis, () => run(this.state));
  }

  /** A change of the store that is durable when the promise resolves, as all before it. */
  private changed<T>(run: (state: StoreState) => T): Promise<T> {
    const { faults } = this.engine.disk;
    return this.attempt(faults.syncMillis, (state) => {
      if (faults.writeFailure !== null) throw new KvError(faults.writeFailure, 'the disk fails');
      const result = run(state);
      state.sync();
      return result;
    });
  }
}

function packedBytes(
  values: readonly (StoredValue | undefined)[],
  missed: readonly boolean[],
): number {
  let bytes = 4 * values.length;
  for (const [i, value] of values.entries()) {
    if (value instanceof Uint8Array && missed[i] !== true) bytes += value.length;
  }
  return bytes;
}

function packAnswers(
  values: readonly (StoredValue | undefined)[],
  missed: readonly boolean[],
  out: Uint8Array,
): void {
  const lengths = Buffer.from(out.buffer, out.byteOffset, out.byteLength);
  let at = 4 * values.length;
  for (const [i, value] of values.entries()) {
    if (missed[i] === true) lengths.writeInt32LE(NEEDS_DISK, 4 * i);
    else if (value instanceof Uint8Array) {
      lengths.writeInt32LE(value.length, 4 * i);
      out.set(value, at);
      at += value.length;
    } else lengths.writeInt32LE(ABSENT, 4 * i);
  }
}
