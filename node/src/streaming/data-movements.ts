/**
 * What this node moves when the ring changes: it gets the ranges that are to be its own, gives others what they are to
 * get, and clears what it has given up.
 */
import type { ClusterState, NodeInfo, TopologyOperation } from '../cluster/cluster-state.ts';
import { movementsOf } from '../cluster/movements.ts';
import { type Links, type Responder, Verb } from '../internode/links.ts';
import { QuietLog } from '../internode/quiet-log.ts';
import { familyName, type Schema, type TableDef } from '../schema/schema.ts';
import { familyOptions } from '../storage/families.ts';
import { KvError, type KvStore } from '../storage/kv.ts';
import { normalized } from './file-plan.ts';
import { type AsideRanges, Gain, type GainProgress, gainStateFile, newProgress } from './gain.ts';
import { GivenUp } from './given-up.ts';
import { KeptAside } from './kept-aside.ts';
import {
  decodeClose,
  decodeOpen,
  decodeRowsRequest,
  encodeOffer,
  encodeRowsPage,
  type OpenRequest,
} from './messages.ts';
import { encodeProgress, type MovementProgress } from './movement-progress.ts';
import {
  type BucketRange,
  type StreamClock,
  StreamError,
  type StreamFiles,
  type StreamStores,
  sleep,
} from './ports.ts';
import { ownRanges, REBUILD, type RebuildRequest, rebuild } from './rebuild.ts';
import { StreamSource } from './stream-source.ts';
import type { Fetcher } from './stream-target.ts';
import { Throttle } from './throttle.ts';

/** Operations whose progress is remembered after they are over. */
const ENDED_MAX = 16;
const DONE_RETRY_MILLIS = 1_000;

type Fields = Readonly<Record<string, unknown>>;

/** Log sink: constant message, fields as object. */
export interface MovementLog {
  debug(message: string, fields: Fields): void;
  info(message: string, fields: Fields): void;
  warn(message: string, fields: Fields): void;
  error(message: string, fields: Fields): void;
}

/** Where targets fetch files. */
export interface StreamPort {
  /** What targets connect to. */
  readonly port: number;
  close(): Promise<void>;
}

export interface DataMovementsDeps {
  readonly hostId: string;
  readonly datacenter: string;
  /** On the disk of the shards. */
  readonly directory: string;
  /** For all that this node sends; 0: no limit. */
  readonly bytesPerSecond: number;
  /** See `PullDeps`. */
  readonly asRows: boolean;
  apply(table: TableDef, entries: Buffer): Promise<void>;
  readonly files: StreamFiles;
  readonly fetcher: Fetcher;
  /** Listens for targets. @param send what a target asks for; throws StreamError @throws what listening fails with */
  listen(send: StreamSource['send'], throttle: Throttle): Promise<StreamPort>;
  readonly clock: StreamClock;
  randomBytes(count: number): Buffer;
  readonly stores: readonly KvStore[];
  readonly links: Links;
  readonly logger: MovementLog;
  /** As the log has it now. */
  state(): ClusterState;
  /** User keyspaces as the workers have them. */
  schema(): Schema;
  isAlive(hostId: string): boolean;
  /** Says in the log that this node has all of an operation. @throws what proposing fails with */
  done(operationId: string): Promise<void>;
  /** Workers have this topology, and what they accepted before has been applied. */
  fence(epoch: number): Promise<void>;
  /** `aside` has changed; resolves when every worker knows and has applied what it accepted before. */
  asideChanged(): Promise<void>;
}

/** A table for messages: id and generation. */
export function tableRefOf(table: TableDef): Buffer {
  const ref = Buffer.alloc(20);
  ref.write(table.id.replaceAll('-', ''), 'hex');
  ref.writeInt32BE(table.generation, 16);
  return ref;
}

function tablesOf(schema: Schema): TableDef[] {
  return [...schema.keyspaces.values()].flatMap((keyspace) => [...keyspace.tables.values()]);
}

function streamStores(stores: readonly KvStore[]): StreamStores {
  return {
    count: stores.length,
    store: (shard) => stores[shard],
    family: (shard, table) => {
      const family = stores[shard].families().get(familyName(table));
      if (family !== undefined) return family;
      throw new KvError('BAD_ARGUMENT', `${table.keyspace}.${table.name} has no column family`);
    },
    options: familyOptions,
  };
}

export class DataMovements {
  readonly throttle: Throttle;
  private readonly deps: DataMovementsDeps;
  private readonly stores: StreamStores;
  private readonly keptAside: KeptAside;
  private readonly givenUp: GivenUp;
  private readonly gains = new Map<string, Gain>();
  private readonly running = new Map<string, Promise<void>>();
  /** By operation. */
  private readonly ended = new Map<string, MovementProgress>();
  private rebuilding: { readonly progress: GainProgress; readonly abort: AbortController } | null =
    null;
  /** As the workers have it. */
  private operations: readonly TopologyOperation[] = [];
  private source: StreamSource | null = null;
  /** Whose operations are over, or are switched, and what they kept aside is still there. */
  private readonly stopped = new Set<Gain>();
  private closeListener: () => Promise<void> = async () => {};
  private isStopped = false;
  private hasCleared = false;

  constructor(deps: DataMovementsDeps) {
    this.deps = deps;
    this.stores = streamStores(deps.stores);
    this.throttle = new Throttle(deps.clock, deps.bytesPerSecond);
    const { stores } = this;
    const { hostId, clock, logger, state, schema } = deps;
    this.keptAside = new KeptAside({ stores, clock, logger });
    this.givenUp = new GivenUp({ hostId, stores, clock, logger, state, schema });
  }

  /** Listens. @throws what listening fails with */
  async start(): Promise<void> {
    const { deps, stores } = this;
    const listener = await deps.listen((hello) => source.send(hello), this.throttle);
    this.closeListener = () => listener.close();
    const { files, clock, randomBytes } = deps;
    const source = new StreamSource({
      ...{ stores, files, clock, randomBytes },
      directory: `${deps.directory}/out`,
      tableOf: (ref) => tablesOf(deps.schema()).find((one) => tableRefOf(one).equals(ref)) ?? null,
      port: listener.port,
      refusal: (from, request) => this.refusal(from, request),
      fence: deps.fence,
    });
    this.source = source;
    await source.start();
    // What an earlier process has left and nobody comes back to.
    const arriving = `${deps.directory}/in`;
    const going = new Set(deps.state().operations.map(({ id }) => gainStateFile(id)));
    for (const name of await files.list(arriving)) {
      if (!going.has(name)) await files.remove(`${arriving}/${name}`);
    }
    const serve = (responder: Responder, work: () => Uint8Array) => {
      try {
        responder.answer(work());
      } catch (error) {
        responder.fail('FAILED', error instanceof Error ? error.message : String(error));
      }
    };
    const log = new QuietLog(deps.logger, clock);
    deps.links.handle(Verb.StreamOpen, (from, body, responder) =>
      serve(responder, () => {
        try {
          return encodeOffer(source.open(from, decodeOpen(body)));
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error);
          log.line('warn', from, 'a stream was not opened', { from, reason });
          throw error;
        }
      }),
    );
    deps.links.handle(Verb.StreamRows, (from, body, responder) => {
      const copy = Buffer.from(body);
      const read = async () => encodeRowsPage(await source.rows(from, decodeRowsRequest(copy)));
      read().then(
        (page) => responder.answer(page),
        (error: unknown) =>
          responder.fail('FAILED', error instanceof Error ? error.message : String(error)),
      );
    });
    deps.links.handle(Verb.StreamProgress, (_from, _body, responder) =>
      responder.answer(encodeProgress(this.progress())),
    );
    deps.links.handle(Verb.StreamClose, (from, body, responder) =>
      serve(responder, () => {
        void source.close(from, decodeClose(body));
        return Buffer.of(1);
      }),
    );
  }

  /** Why `from` gets nothing: it is to get these ranges by an operation in progress, or it is not. */
  private refusal(from: string, request: OpenRequest): string | null {
    const state = this.deps.state();
    const operation = state.operations.find(({ id }) => id === request.operation);
    const isRebuild = request.operation.startsWith(REBUILD);
    if (operation === undefined && !isRebuild) return 'there is no such operation in progress here';
    const schema = this.deps.schema();
    const tables = tablesOf(schema);
    for (const { table: ref, ranges } of request.tables) {
      const table = tables.find((one) => tableRefOf(one).equals(ref));
      if (table === undefined) return 'a table that is not known here';
      const replication = schema.keyspaces.get(table.keyspace)?.replication ?? {};
      const gained =
        operation === undefined
          ? ownRanges(state, replication, from)
          : normalized(movementsOf(state, operation, replication).get(from) ?? []);
      const isGained = ({ first, last }: BucketRange) =>
        gained.some((range) => range.first <= first && last <= range.last);
      if (!ranges.every(isGained)) return 'these ranges are not to be moved to the node that asks';
    }
    return null;
  }

  /** Before the workers hear of a state: what has to be there when writes of the new placement come. */
  async before(state: ClusterState): Promise<void> {
    const { hostId } = this.deps;
    for (const operation of state.operations) {
      const isOurs = operation.phase === 'streaming' && !operation.done.includes(hostId);
      if (!isOurs || this.gains.has(operation.id) || !this.gainsBy(state, operation)) continue;
      // It may be about a range that is to arrive.
      await this.givenUp.stepped();
      const gain = new Gain(this.gainDeps(), operation);
      await this.keptAside.prepare(gain);
      this.gains.set(operation.id, gain);
    }
    for (const [id, gain] of this.gains) {
      const operation = state.operations.find((one) => one.id === id);
      if (operation !== undefined && operation.phase !== 'switched') continue;
      gain.stop();
      this.gains.delete(id);
      this.stopped.add(gain);
    }
  }

  /** The workers keep nothing aside for it any more. */
  private async forget(gain: Gain): Promise<void> {
    const { deps } = this;
    const { id } = gain.operation;
    await this.running.get(id);
    // What they took before is where it was to go.
    await deps.asideChanged();
    await this.keptAside.release(gain);
    await deps.files.remove(`${deps.directory}/in/${gainStateFile(id)}`);
  }

  private gainsBy(state: ClusterState, operation: TopologyOperation): boolean {
    return [...this.deps.schema().keyspaces.values()].some(({ replication }) =>
      movementsOf(state, operation, replication).has(this.deps.hostId),
    );
  }

  private gainDeps(): ConstructorParameters<typeof Gain>[0] {
    const { deps, stores } = this;
    const { hostId, datacenter, files, fetcher, clock, randomBytes } = deps;
    const distance = (node: NodeInfo) =>
      (node.datacenter === datacenter ? 0 : 1e6) + (deps.links.latencyMillis(node.hostId) ?? 1);
    return {
      links: deps.links,
      ...{ stores, files, fetcher, clock, randomBytes },
      directory: `${deps.directory}/in`,
      self: { hostId, datacenter },
      state: deps.state,
      schema: deps.schema,
      refOf: tableRefOf,
      isAlive: deps.isAlive,
      byProximity: (nodes) => [...nodes].sort((a, b) => distance(a) - distance(b)),
      asRows: deps.asRows,
      apply: deps.apply,
      asideChanged: deps.asideChanged,
      log: deps.logger,
    };
  }

  /** What the workers have to keep aside. */
  aside(): readonly AsideRanges[] {
    return [...this.gains.values()].flatMap((gain) => gain.aside());
  }

  /** The workers have this state. */
  after(state: ClusterState): void {
    for (const [id, gain] of this.gains) {
      const isDone = state.operations.some(
        (one) => one.id === id && one.done.includes(this.deps.hostId),
      );
      if (isDone || this.running.has(id)) continue;
      const run = this.run(gain).finally(() => this.running.delete(id));
      this.running.set(id, run);
    }
    for (const gain of this.stopped) {
      this.forget(gain).catch((error: unknown) =>
        this.deps.logger.warn('what was kept aside cannot be dropped', { error }),
      );
    }
    this.stopped.clear();
    const over = this.operations.filter(({ id }) => !state.operations.some((one) => one.id === id));
    this.operations = state.operations;
    const ids = new Set(this.deps.state().operations.map(({ id }) => id));
    this.source?.retain((id) => id.startsWith(REBUILD) || ids.has(id));
    // At the start, too: what an earlier process did not come to.
    if (over.length === 0 && this.hasCleared) return;
    if (!this.hasCleared) void this.keptAside.drop();
    this.hasCleared = true;
    const { files, directory } = this.deps;
    for (const { id } of over) void files.remove(`${directory}/in/${gainStateFile(id)}`);
    this.givenUp.clear();
  }

  private async run(gain: Gain): Promise<void> {
    const { logger, hostId, state, clock } = this.deps;
    const { id, kind } = gain.operation;
    logger.info('streaming begins', { operation: id, kind });
    try {
      await gain.run();
      await this.keptAside.release(gain);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn('streaming ended early', { operation: id, reason });
      return;
    }
    this.remember(gain);
    const { bytesDone, filesDone, startedMillis } = gain.progress;
    const seconds = Math.round((clock.nowMillis() - startedMillis) / 100) / 10;
    logger.info('streaming is done', {
      operation: id,
      bytes: bytesDone,
      files: filesDone,
      seconds,
    });
    for (;;) {
      const operation = state().operations.find((one) => one.id === id);
      if (operation === undefined || operation.done.includes(hostId) || this.isStopped) return;
      try {
        await this.deps.done(id);
      } catch (error) {
        logger.warn('what was streamed cannot be reported yet', { operation: id, error });
      }
      await sleep(clock, DONE_RETRY_MILLIS);
    }
  }

  /**
   * Gets what this node owns from another datacenter.
   * @throws StreamError REFUSED, NO_SPACE, CANCELLED
   */
  async rebuild(request: RebuildRequest): Promise<MovementProgress> {
    if (this.rebuilding !== null) {
      throw new StreamError(
        'REFUSED',
        'this node is being rebuilt already: `ilion operations` shows it',
      );
    }
    if (this.deps.state().operations.length > 0) {
      throw new StreamError(
        'REFUSED',
        'ranges move in the ring: `ilion operations` shows them, try again when they are done',
      );
    }
    const { clock, logger } = this.deps;
    const id = `${REBUILD}${this.deps.randomBytes(8).toString('hex')}`;
    const progress = newProgress(id, clock.nowMillis());
    const abort = new AbortController();
    this.rebuilding = { progress, abort };
    logger.info('rebuilding begins', { ...request });
    try {
      await rebuild(
        { ...this.gainDeps(), state: this.deps.state },
        request,
        progress,
        abort.signal,
      );
      const done = this.shown(progress);
      logger.info('rebuilding is done', { bytes: done.bytesDone, seconds: done.seconds });
      return done;
    } finally {
      this.rebuilding = null;
    }
  }

  progress(): readonly MovementProgress[] {
    const going = [...this.gains.values()].filter(({ operation: { id } }) => !this.ended.has(id));
    const all = going.map(({ progress }) => this.shown(progress));
    const own = this.rebuilding === null ? [] : [this.shown(this.rebuilding.progress)];
    return [...this.ended.values(), ...all, ...own];
  }

  private shown({ startedMillis, ...progress }: GainProgress): MovementProgress {
    return { ...progress, seconds: (this.deps.clock.nowMillis() - startedMillis) / 1000 };
  }

  /** The last few are shown as long as others are not done. */
  private remember(gain: Gain): void {
    this.ended.set(gain.operation.id, this.shown(gain.progress));
    const [oldest] = this.ended.keys();
    if (this.ended.size > ENDED_MAX) this.ended.delete(oldest);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.keptAside.stop();
    this.givenUp.stop();
    for (const gain of this.gains.values()) gain.stop();
    this.rebuilding?.abort.abort();
    await Promise.all(this.running.values());
    await this.source?.stop();
    await this.closeListener();
  }
}
