/**
 * The side of a transfer that gets the data: asks a source for what it has of some ranges, fetches its files over a few
 * connections, checks each, and ingests them range by range.
 */
import { LinkError, type Links, type Peer, request, Verb } from '../internode/links.ts';
import type { TableDef } from '../schema/schema.ts';
import { KvError } from '../storage/kv.ts';
import { type Part, partsOf } from './file-plan.ts';
import {
  decodeOffer,
  decodeRowsPage,
  encodeClose,
  encodeOpen,
  encodeRowsRequest,
  FileKind,
  type Hello,
  type Offer,
  type OfferedFile,
  SESSION_BYTES,
} from './messages.ts';
import {
  type BucketRange,
  type StreamClock,
  StreamError,
  type StreamFiles,
  type StreamStores,
  sleep,
} from './ports.ts';
import { copySlice } from './slices.ts';

const LANES = 2;
const ASK_MILLIS = 10_000;
const PREPARING_MILLIS_MIN = 10;
const PREPARING_MILLIS = 200;
const ATTEMPTS_MAX = 6;
const RETRY_MILLIS = 200;
/** The disk keeps so much. */
const FREE_BYTES_MIN = 256 << 20;

/** One connection to a source, for one file after another. */
export interface FetchLane {
  /**
   * Appends to a file from `hello.offset` on; on disk when it resolves.
   * @throws StreamError BROKEN; KvError NO_SPACE
   */
  fetch(hello: Hello, path: string, length: number): Promise<void>;
  close(): void;
}

export interface Fetcher {
  /** @throws StreamError BROKEN */
  connect(address: string, port: number): Promise<FetchLane>;
}

export interface PullDeps {
  readonly links: Links;
  readonly stores: StreamStores;
  readonly files: StreamFiles;
  readonly fetcher: Fetcher;
  readonly clock: StreamClock;
  /** For what arrives; nobody else's. On the disk of the shards. */
  readonly directory: string;
  /** Row by row in place of whole files: slower, for stores that cannot take each other's files. */
  readonly asRows: boolean;
  /** Writes records into a table's families. @param entries each u32le key length, u32le record length, key, record */
  apply(table: TableDef, entries: Buffer): Promise<void>;
  randomBytes(count: number): Buffer;
}

export interface PullTable {
  readonly table: TableDef;
  /** Id and generation, 20 bytes. */
  readonly ref: Buffer;
  readonly ranges: readonly BucketRange[];
}

export interface PullRequest {
  readonly operation: string;
  readonly epoch: number;
  readonly source: Peer;
  readonly tables: readonly PullTable[];
}

/** What happens during a transfer. */
export interface PullListener {
  planned(files: number, bytes: number): void;
  fetched(file: OfferedFile): void;
  /** @param bytes of keys and records that came row by row */
  rowsTaken(bytes: number): void;
  /** All of a part is in the table's family and on disk. */
  ingested(table: TableDef, part: Part): Promise<void>;
}

/** What is still to come of one part of one table. */
interface Group {
  readonly table: TableDef;
  readonly part: Part;
  readonly whole: number[];
  readonly slices: number[];
  left: number;
}

export async function pull(
  deps: PullDeps,
  wanted: PullRequest,
  listener: PullListener,
  signal: AbortSignal,
): Promise<void> {
  const session = deps.randomBytes(SESSION_BYTES);
  const directory = `${deps.directory}/${session.toString('hex')}`;
  await deps.files.make(directory);
  try {
    await new Pull(deps, wanted, listener, signal, session, directory).run();
  } catch (error) {
    throw streamErrorOf(error, wanted.source);
  } finally {
    await deps.files.remove(directory);
    const { links } = deps;
    await request(links, wanted.source, Verb.StreamClose, encodeClose(session), ASK_MILLIS).catch(
      // The source ends what nobody asks for.
      () => {},
    );
  }
}

function streamErrorOf(error: unknown, { address }: Peer): StreamError {
  if (error instanceof StreamError) return error;
  if (error instanceof KvError && error.code === 'NO_SPACE') {
    return new StreamError('NO_SPACE', 'the disk is full: make room, it can be tried again', {
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof LinkError && error.code === 'FAILED' ? 'REFUSED' : 'BROKEN';
  return new StreamError(code, `streaming from ${address}: ${message}`, { cause: error });
}

/** Of packed entries, of which there is one at least. */
function lastKeyOf(entries: Buffer): Buffer {
  for (let at = 0; ; ) {
    const keyEnd = at + 8 + entries.readUInt32LE(at);
    const end = keyEnd + entries.readUInt32LE(at + 4);
    if (end >= entries.length) return entries.subarray(at + 8, keyEnd);
    at = end;
  }
}

class Pull {
  private readonly deps: PullDeps;
  private readonly wanted: PullRequest;
  private readonly listener: PullListener;
  private readonly signal: AbortSignal;
  private readonly session: Buffer;
  private readonly directory: string;
  private readonly groups = new Map<string, Group>();
  private ingesting: Promise<void> = Promise.resolve();
  private next = 0;

  constructor(
    deps: PullDeps,
    wanted: PullRequest,
    listener: PullListener,
    signal: AbortSignal,
    session: Buffer,
    directory: string,
  ) {
    this.deps = deps;
    this.wanted = wanted;
    this.listener = listener;
    this.signal = signal;
    this.session = session;
    this.directory = directory;
  }

  async run(): Promise<void> {
    const offer = await this.open();
    if (this.deps.asRows) {
      await this.takeRows();
      return;
    }
    this.group(offer);
    const { files } = offer;
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    await this.requireSpace(bytes);
    this.listener.planned(files.length, bytes);
    for (const group of this.groups.values()) if (group.left === 0) this.ingest(group, offer);
    const lanes = Array.from({ length: Math.min(LANES, files.length) }, () => this.lane(offer));
    // All have ended before anything is removed.
    const ended = await Promise.allSettled(lanes);
    const failed = ended.find(({ status }) => status === 'rejected');
    await this.ingesting;
    if (failed?.status === 'rejected') throw failed.reason;
  }

  private async takeRows(): Promise<void> {
    const { deps, wanted, listener, session } = this;
    for (const [t, { table, ranges }] of wanted.tables.entries()) {
      for (const [r, range] of ranges.entries()) {
        let after: Buffer = Buffer.alloc(0);
        for (;;) {
          if (this.signal.aborted) throw this.cancelled();
          const body = encodeRowsRequest({ session, table: t, range: r, after });
          const answer = await request(
            deps.links,
            wanted.source,
            Verb.StreamRows,
            body,
            ASK_MILLIS,
          );
          const { isLast, entries } = decodeRowsPage(answer);
          if (isLast) break;
          await deps.apply(table, entries);
          listener.planned(0, entries.length);
          listener.rowsTaken(entries.length);
          after = Buffer.from(lastKeyOf(entries));
        }
        for (const part of partsOf([range], deps.stores.count))
          await listener.ingested(table, part);
      }
    }
  }

  private cancelled(): StreamError {
    return new StreamError('CANCELLED', 'the transfer was cancelled');
  }

  private async open(): Promise<Offer> {
    const { deps, wanted } = this;
    const body = encodeOpen({
      session: this.session,
      operation: wanted.operation,
      epoch: wanted.epoch,
      asRows: deps.asRows,
      shards: deps.stores.count,
      tables: wanted.tables.map(({ ref, ranges }) => ({ table: ref, ranges })),
    });
    let attempts = 0;
    let pause = PREPARING_MILLIS_MIN;
    for (;;) {
      if (this.signal.aborted) throw this.cancelled();
      let offer: Offer | null = null;
      try {
        const answer = await request(deps.links, wanted.source, Verb.StreamOpen, body, ASK_MILLIS);
        offer = decodeOffer(answer);
        attempts = 0;
      } catch (error) {
        const isRefused = !(error instanceof LinkError) || error.code === 'FAILED';
        if (isRefused || ++attempts === ATTEMPTS_MAX) throw error;
        await sleep(deps.clock, RETRY_MILLIS * 2 ** attempts);
      }
      if (offer !== null) return offer;
      await sleep(deps.clock, pause);
      pause = Math.min(PREPARING_MILLIS, pause * 2);
    }
  }

  private group(offer: Offer): void {
    const { wanted, deps, groups } = this;
    for (const [t, { table, ranges }] of wanted.tables.entries()) {
      for (const [p, part] of partsOf(ranges, deps.stores.count).entries()) {
        groups.set(`${t}.${p}`, { table, part, whole: [], slices: [], left: 0 });
      }
    }
    for (const [i, file] of offer.files.entries()) {
      const group = groups.get(`${file.table}.${file.part}`);
      if (group === undefined) {
        throw new StreamError('MALFORMED', 'a file of something that was not asked for');
      }
      (file.kind === FileKind.WHOLE ? group.whole : group.slices).push(i);
      group.left++;
    }
  }

  private async requireSpace(bytes: number): Promise<void> {
    const free = await this.deps.files.freeBytes(this.directory);
    if (free - bytes >= FREE_BYTES_MIN) return;
    const mib = (count: number) => `${Math.ceil(count / (1 << 20))} MiB`;
    throw new StreamError(
      'NO_SPACE',
      `${mib(bytes)} are to come and ${mib(free)} are free, of which ${mib(FREE_BYTES_MIN)} are kept: make room, it can be tried again`,
    );
  }

  private pathOf(index: number): string {
    return `${this.directory}/${index}.sst`;
  }

  /** Fetches one file after another until there are none left. */
  private async lane(offer: Offer): Promise<void> {
    let lane: FetchLane | null = null;
    let attempts = 0;
    let index = this.next++;
    /** Of the file that is under way. */
    let arrived = 0;
    // The last file is checked while the next one comes.
    let checking: Promise<void> = Promise.resolve();
    try {
      while (index < offer.files.length) {
        if (this.signal.aborted) throw this.cancelled();
        try {
          lane ??= await this.deps.fetcher.connect(this.wanted.source.address, offer.port);
          await this.fetch(lane, offer, index, arrived);
          attempts = 0;
        } catch (error) {
          lane?.close();
          lane = null;
          const isBroken = error instanceof StreamError && error.code === 'BROKEN';
          const size = (await this.deps.files.size(this.pathOf(index))) ?? 0;
          if (size > arrived) attempts = 0;
          arrived = size;
          if (!isBroken || ++attempts === ATTEMPTS_MAX) throw error;
          await sleep(this.deps.clock, RETRY_MILLIS * 2 ** attempts);
          continue;
        }
        await checking;
        checking = this.arrived(offer, index);
        // Heard of at its turn.
        checking.catch(() => {});
        index = this.next++;
        arrived = 0;
      }
      await checking;
    } catch (error) {
      // The other lanes end with their files.
      this.next = offer.files.length;
      throw error;
    } finally {
      lane?.close();
      await checking.catch(() => {});
    }
  }

  /** @param arrived bytes that are there already: it goes on from where it stopped */
  private async fetch(
    lane: FetchLane,
    { token, files }: Offer,
    index: number,
    arrived: number,
  ): Promise<void> {
    const { bytes } = files[index];
    const offset = Math.min(arrived, bytes);
    if (offset === bytes && bytes > 0) return;
    const hello: Hello = { session: this.session, token, file: index, offset };
    await lane.fetch(hello, this.pathOf(index), bytes - offset);
  }

  private async arrived(offer: Offer, index: number): Promise<void> {
    const file = offer.files[index];
    const checksum = await this.deps.files.checksum(this.pathOf(index));
    if (checksum !== file.checksum) {
      throw new StreamError(
        'CORRUPT',
        `a file of ${file.bytes} bytes from ${this.wanted.source.address} has the checksum ${checksum}, and was written with ${file.checksum}: that node's disk is to be looked at; nothing of it was taken`,
      );
    }
    this.listener.fetched(file);
    const group = this.groups.get(`${file.table}.${file.part}`);
    if (group !== undefined && --group.left === 0) this.ingest(group, offer);
  }

  /** One part after another: the engine's manifest is written by one at a time anyway. */
  private ingest(group: Group, offer: Offer): void {
    const before = this.ingesting;
    const run = async () => {
      await before;
      if (this.signal.aborted) throw this.cancelled();
      await this.ingestGroup(group, offer);
      await this.listener.ingested(group.table, group.part);
    };
    this.ingesting = run();
    // Heard of at the end.
    this.ingesting.catch(() => {
      this.next = offer.files.length;
    });
  }

  private async ingestGroup({ table, part, whole, slices }: Group, offer: Offer): Promise<void> {
    const { stores } = this.deps;
    const store = stores.store(part.shard);
    const family = stores.family(part.shard, table);
    if (whole.length > 0) {
      const paths = whole.map((index) => this.pathOf(index));
      const checksums = whole.map((index) => offer.files[index].checksum);
      try {
        await store.ingest(family, paths, { databaseMade: true, move: true, checksums });
      } catch (error) {
        if (!(error instanceof KvError) || error.code !== 'BAD_ARGUMENT') throw error;
        // There is something in the range already, such as of a try before this one.
        await this.mergeFiles(table, part, paths);
      }
    }
    for (const index of slices) {
      const checksums = [offer.files[index].checksum];
      await store.ingest(family, [this.pathOf(index)], { move: true, checksums });
    }
  }

  /** By a family of their own into one file that is merged with what is there. */
  private async mergeFiles(table: TableDef, part: Part, paths: readonly string[]): Promise<void> {
    const { stores } = this.deps;
    const { shard, range } = part;
    const store = stores.store(shard);
    const target = stores.family(shard, table);
    const name = `stream:${this.session.toString('hex')}`;
    const family = await store.createFamily(name, stores.options(table));
    try {
      await store.ingest(family, paths, { databaseMade: true, link: true });
      const path = `${this.directory}/merged.sst`;
      const bytes = await copySlice({ store, family, target, range, path });
      if (bytes > 0) await store.ingest(target, [path], { move: true });
    } finally {
      await store.dropFamily(name);
    }
  }
}
