/**
 * The side of a transfer that has the data. Each session pins the files of the wanted ranges by hard links, copies what
 * is only partly wanted, and says which files there are; whoever knows the session's token can then fetch them.
 */
import { timingSafeEqual } from 'node:crypto';
import type { TableDef } from '../schema/schema.ts';
import { type FamilyId, type KvStore, TOO_SMALL } from '../storage/kv.ts';
import { bucketsOf, keysOf, overlaps, type Part, partsOf, planFiles } from './file-plan.ts';
import {
  FILES_MAX,
  FileKind,
  type Hello,
  type Offer,
  type OfferedFile,
  type OpenRequest,
  type RowsPage,
  type RowsRequest,
  TOKEN_BYTES,
} from './messages.ts';
import { type StreamClock, StreamError, type StreamFiles, type StreamStores } from './ports.ts';
import { copySlice, usedBytes } from './slices.ts';

const SESSIONS_MAX = 64;
/** Of one page of rows. */
const ROWS_BYTES = 256 << 10;
/** A session that nobody has asked for, or fetched from, for so long is over. */
const IDLE_MILLIS = 10 * 60_000;

export interface StreamSourceDeps {
  readonly stores: StreamStores;
  readonly files: StreamFiles;
  readonly clock: StreamClock;
  /** For links to files and for slices; nobody else's. On the disk of the shards. */
  readonly directory: string;
  /** By id and generation; null: not known here. */
  tableOf(ref: Buffer): TableDef | null;
  /** Of the listener for data connections. */
  readonly port: number;
  /** Why this node gives nothing to `from`; null: it may have it. */
  refusal(from: string, request: OpenRequest): string | null;
  /** Resolves when older writes are refused from now on and what was accepted before has been applied. */
  fence(epoch: number): Promise<void>;
  randomBytes(count: number): Buffer;
}

interface OwnFile extends OfferedFile {
  readonly path: string;
}

interface Session {
  readonly from: string;
  readonly request: OpenRequest;
  readonly directory: string;
  readonly token: Buffer;
  files: readonly OwnFile[] | null;
  failure: unknown;
  usedMillis: number;
  /** Data connections that send from it now. */
  senders: number;
  isClosed: boolean;
}

/** A range of a file that may be sent. */
export interface SendJob {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** To be called when it was sent, or was not. */
  release(): void;
}

export class StreamSource {
  private readonly deps: StreamSourceDeps;
  private readonly sessions = new Map<string, Session>();
  private isStopped = false;

  constructor(deps: StreamSourceDeps) {
    this.deps = deps;
  }

  /** Removes what sessions of an earlier process have left. */
  async start(): Promise<void> {
    const { files, directory } = this.deps;
    await files.remove(directory);
    await files.make(directory);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all([...this.sessions.keys()].map((name) => this.end(name)));
  }

  get sessionCount(): number {
    return this.sessions.size;
  }

  /**
   * Opens a session, or says how far it is.
   * @param from host id of the target
   * @returns null: ask again
   * @throws StreamError REFUSED; what preparing failed with, once
   */
  open(from: string, request: OpenRequest): Offer | null {
    this.endIdle();
    const name = request.session.toString('hex');
    const known = this.sessions.get(name);
    if (known === undefined) {
      this.begin(name, from, request);
      return null;
    }
    if (known.from !== from) throw new StreamError('REFUSED', 'the session is of another node');
    known.usedMillis = this.deps.clock.nowMillis();
    if (known.failure !== null) {
      void this.end(name);
      throw known.failure;
    }
    const { token, files } = known;
    return files === null ? null : { token, port: this.deps.port, files };
  }

  private begin(name: string, from: string, request: OpenRequest): void {
    const { clock, directory, randomBytes } = this.deps;
    if (this.isStopped) throw new StreamError('REFUSED', 'this node is stopping');
    const reason = this.deps.refusal(from, request);
    if (reason !== null) throw new StreamError('REFUSED', reason);
    if (this.sessions.size >= SESSIONS_MAX) {
      throw new StreamError('REFUSED', `${SESSIONS_MAX} streams are open here: try again later`);
    }
    const session: Session = {
      from,
      request,
      directory: `${directory}/${name}`,
      token: randomBytes(TOKEN_BYTES),
      files: null,
      failure: null,
      usedMillis: clock.nowMillis(),
      senders: 0,
      isClosed: false,
    };
    this.sessions.set(name, session);
    const removeIfClosed = () => {
      if (session.isClosed) this.deps.files.remove(session.directory).catch(() => {});
    };
    this.prepare(session, request)
      .then(
        (files) => {
          session.files = files;
        },
        (error: unknown) => {
          session.failure = error;
        },
      )
      .finally(removeIfClosed);
  }

  private async prepare(session: Session, request: OpenRequest): Promise<readonly OwnFile[]> {
    const { files, stores } = this.deps;
    await this.deps.fence(request.epoch);
    await files.make(session.directory);
    if (request.asRows) return [];
    const offered: OwnFile[] = [];
    for (const [table, { table: ref, ranges }] of request.tables.entries()) {
      const def = this.deps.tableOf(ref);
      // Dropped meanwhile, or not known yet: the target finds out.
      if (def === null) throw new StreamError('REFUSED', 'a table that is not known here');
      const parts = partsOf(ranges, request.shards);
      for (const shard of this.shardsOf(parts)) {
        if (session.isClosed) throw new StreamError('CANCELLED', 'the stream was closed');
        const directory = `${session.directory}/${table}-${shard}`;
        const store = stores.store(shard);
        const family = stores.family(shard, def);
        const exported = await store.exportFamily(family, directory);
        const { whole, edges } = planFiles(exported.files, parts);
        for (const { file, part } of whole) {
          const path = `${directory}${file.name}`;
          const checksum = file.checksum || (await files.checksum(path));
          const { bytes } = file;
          offered.push({ table, part, kind: FileKind.WHOLE, bytes, checksum, path });
        }
        const kept = new Set([...whole.map(({ file }) => file), ...edges]);
        for (const file of exported.files) {
          if (!kept.has(file)) await files.remove(`${directory}${file.name}`);
        }
        if (edges.length === 0) continue;
        const staged = `stream:${session.directory.slice(-32)}:${table}-${shard}`;
        const names = edges.map(({ name }) => name);
        const options = stores.options(def);
        const edge = await store.importFamily(staged, options, directory, exported, {
          names,
          move: true,
        });
        try {
          for (const [part, { range }] of parts.entries()) {
            if (!edges.some((file) => overlaps(bucketsOf(file), range))) continue;
            const path = `${directory}/slice-${part}.sst`;
            const slice = { store, family: edge, target: family, range, path };
            const bytes = await copySlice(slice);
            if (bytes === 0) continue;
            const checksum = await files.checksum(path);
            offered.push({ table, part, kind: FileKind.SLICE, bytes, checksum, path });
          }
        } finally {
          await store.dropFamily(staged);
        }
      }
      if (offered.length > FILES_MAX) {
        throw new StreamError('REFUSED', `more than ${FILES_MAX} files: ask for fewer ranges`);
      }
    }
    return offered;
  }

  /** Of this node: those that have something of the parts. */
  private shardsOf(parts: readonly Part[]): number[] {
    const { count } = this.deps.stores;
    const perShard = 0x10000 / count;
    const shards: number[] = [];
    for (let shard = 0; shard < count; shard++) {
      const own = { first: shard * perShard, last: (shard + 1) * perShard - 1 };
      if (parts.some(({ range }) => overlaps(range, own))) shards.push(shard);
    }
    return shards;
  }

  /** A page of rows of a range, in the order of keys. @throws StreamError REFUSED; KvError */
  async rows(from: string, { session: id, table, range, after }: RowsRequest): Promise<RowsPage> {
    const session = this.sessions.get(id.toString('hex'));
    const wanted = session?.from === from ? session.request.tables[table] : undefined;
    const buckets = wanted?.ranges[range];
    const def = wanted === undefined ? null : this.deps.tableOf(wanted.table);
    if (session === undefined || buckets === undefined || def === null) {
      throw new StreamError('REFUSED', 'no such stream, or nothing of it');
    }
    session.usedMillis = this.deps.clock.nowMillis();
    const { stores } = this.deps;
    const { lower, upper } = keysOf(buckets);
    // The key after `after`: with a zero byte more.
    const start = after.length === 0 ? lower : Buffer.concat([after, Buffer.of(0)]);
    const perShard = 0x10000 / stores.count;
    const first = Math.floor(((start[0] << 8) | (start[1] ?? 0)) / perShard);
    const last = Math.floor(buckets.last / perShard);
    for (let shard = first; shard <= last; shard++) {
      const store = stores.store(shard);
      const page = await readPage(store, stores.family(shard, def), start, upper);
      if (page.length > 0) return { isLast: false, entries: page };
    }
    return { isLast: true, entries: Buffer.alloc(0) };
  }

  /** @throws StreamError REFUSED: no such session, another token, a file or a place in it that there is not */
  send({ session: id, token, file, offset }: Hello): SendJob {
    const session = this.sessions.get(id.toString('hex'));
    const isKnown = session !== undefined && timingSafeEqual(session.token, token);
    const own = isKnown ? session.files?.[file] : undefined;
    if (!isKnown || own === undefined || offset > own.bytes) {
      throw new StreamError('REFUSED', 'no such stream, or nothing of it');
    }
    session.senders++;
    return {
      path: own.path,
      offset,
      length: own.bytes - offset,
      release: () => {
        session.senders--;
        session.usedMillis = this.deps.clock.nowMillis();
      },
    };
  }

  /** The target has all, or wants no more. */
  async close(from: string, id: Buffer): Promise<void> {
    const name = id.toString('hex');
    if (this.sessions.get(name)?.from === from) await this.end(name);
  }

  /** Ends what is of other operations: the target may have had no way to say so. */
  retain(isGoing: (operation: string) => boolean): void {
    for (const [name, { request }] of this.sessions) {
      if (!isGoing(request.operation)) void this.end(name);
    }
  }

  private endIdle(): void {
    const oldest = this.deps.clock.nowMillis() - IDLE_MILLIS;
    for (const [name, { usedMillis, senders }] of this.sessions) {
      if (usedMillis < oldest && senders === 0) void this.end(name);
    }
  }

  private async end(name: string): Promise<void> {
    const session = this.sessions.get(name);
    if (session === undefined) return;
    session.isClosed = true;
    this.sessions.delete(name);
    // It may still be filled: what is left goes with the next start.
    await this.deps.files.remove(session.directory).catch(() => {});
  }
}

async function readPage(
  store: KvStore,
  family: FamilyId,
  lower: Uint8Array,
  upper: Uint8Array | null,
): Promise<Buffer> {
  const iterator = store.iterator(family, lower, upper, { noFill: true });
  try {
    for (let bytes = ROWS_BYTES; ; bytes *= 8) {
      const buffer = Buffer.allocUnsafe(bytes);
      const count = await iterator.nextAsync(buffer, Number.MAX_SAFE_INTEGER);
      if (count !== TOO_SMALL) return buffer.subarray(0, usedBytes(buffer, count));
    }
  } finally {
    iterator.close();
  }
}
