/** A node: opens the data, starts the workers, keeps the schema, stops in order. */
import { randomBytes, randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  createNativeEngine,
  fileChecksum,
  openTls,
  receiveFile,
  sendFile,
} from '../../native/index.ts';
import type { Logger } from '../adapters/logger.ts';
import { newLockMemory } from '../adapters/shared-locks.ts';
import { createFetcher, listenForStreams } from '../adapters/stream-connections.ts';
import { createStreamFiles } from '../adapters/stream-files.ts';
import { createSystemClock } from '../adapters/system-clock.ts';
import type { ClusterState } from '../cluster/cluster-state.ts';
import { EMPTY_CLUSTER } from '../cluster/commands.ts';
import { ownedShare } from '../cluster/ring.ts';
import { schemaChangeOf } from '../cluster/schema-change.ts';
import { CqlError, ErrorCode } from '../common/errors.ts';
import type { Settings } from '../config/settings.ts';
import {
  dropUnknownFamilies,
  SchemaAuthority,
  type SchemaStep,
} from '../query/schema-authority.ts';
import {
  isVirtual,
  withoutSystemKeyspaces,
  withSystemKeyspaces,
} from '../query/virtual/definitions.ts';
import type { Schema } from '../schema/schema.ts';
import { schemaFromJson, schemaToJson } from '../schema/schema-json.ts';
import { storedTables } from '../storage/families.ts';
import { KvError, type KvStore } from '../storage/kv.ts';
import { engineFailure } from '../storage/local-store.ts';
import { DataMovements } from '../streaming/data-movements.ts';
import type { MovementProgress } from '../streaming/movement-progress.ts';
import { createRowApplier } from '../streaming/row-applier.ts';
import { TopologyPublisher } from '../streaming/topology-publisher.ts';
import { RingAdmin } from './admin-server-ring.ts';
import { TopologyAdmin } from './admin-server-topology.ts';
import { type ClusterView, clusterView, loneView } from './cluster-view.ts';
import type { ControlPlane } from './control-plane.ts';
import { keepGrids } from './grid-keeper.ts';
import { JoinUndoneError } from './join-undone.ts';
import { leftOverOf } from './left-over-of.ts';
import type {
  AsideTable,
  PreparedText,
  SchemaNews,
  ToMain,
  ToWorker,
  WorkerInput,
  WorkerStatus,
} from './messages.ts';
import type { Metadata } from './metadata-file.ts';
import { prepareData } from './prepare-data.ts';
import { openShards, processOptions } from './shards.ts';
import { WorkerHandle } from './worker-handle.ts';

const PREPARED_MAX = 50_000;
/** Schema changes that are agreed with the other nodes at one time. */
const CHANGES_MAX = 64;

const STREAM_CLOCK = {
  nowMillis: () => performance.now(),
  after: (millis: number, run: () => void) => {
    const timer = setTimeout(run, millis);
    return () => clearTimeout(timer);
  },
};

export interface Node {
  readonly hostId: string;
  readonly stores: readonly KvStore[];
  schema(): Schema;
  /** Runs a statement that changes the schema. @throws CqlError */
  define(text: string): Promise<void>;
  cluster(): ClusterView;
  /** joining: clients are not served yet. left: for good. From the call of `stop` on: draining. */
  phase(): 'joining' | 'serving' | 'left' | 'draining';
  /** Resolves when the node owns something and serves clients. */
  readonly joined: Promise<void>;
  /** How far the ranges are that this node is getting. */
  movements(): readonly MovementProgress[];
  readonly topology: TopologyAdmin;
  readonly ring: RingAdmin;
  status(): Promise<readonly WorkerStatus[]>;
  /** Other settings from now on, of those that may change. Resolves when all threads have them. */
  configure(settings: Settings, settingsTable: WorkerInput['settingsTable']): Promise<void>;
  /** Stops to accept, answers what is in flight, closes the data. */
  stop(): Promise<void>;
  /** Settles if a worker dies by itself. */
  readonly failed: Promise<Error>;
}

/** Nodes of each datacenter. */
function datacentersOf(state: ClusterState): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { datacenter, state: phase } of state.nodes.values()) {
    if (phase !== 'left') counts.set(datacenter, (counts.get(datacenter) ?? 0) + 1);
  }
  return counts;
}

/** @returns null: this node is to be alone */
async function joinCluster(
  settings: Settings,
  { hostId, schema }: Metadata,
  logger: Logger,
  onFatal: (error: Error) => void,
): Promise<ControlPlane | null> {
  const { cluster } = settings;
  if (cluster === null) return null;
  // A node that is alone does without gRPC between nodes, and its memory.
  const { startControlPlane } = await import('./control-plane.ts');
  return startControlPlane({ settings, cluster, hostId, schema, logger, onFatal });
}

/** @throws DataDirectoryError, KvError, JoinRefusedError; what listening fails with */
export async function startNode(
  settings: Settings,
  logger: Logger,
  settingsTable: WorkerInput['settingsTable'],
): Promise<Node> {
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const { file, metadata: found } = await prepareData(settings, logger);
  let metadata = found;
  const { hostId } = metadata;
  const control = await joinCluster(settings, metadata, logger, fail);
  if (control !== null && control.current().schema.epoch > metadata.schema.epoch) {
    // What was agreed while this node was away. Its column families are made, or dropped, as the shards are opened.
    metadata = { ...metadata, schema: control.current().schema };
    await file.save(metadata);
  }
  const clock = createSystemClock();
  const engine = createNativeEngine(processOptions(settings));
  const schema = withSystemKeyspaces(schemaFromJson(metadata.schema));
  const tables = storedTables(schema, isVirtual);
  const stores = await openShards(engine, settings, metadata, tables);
  const isMoving = control !== null && control.current().operations.length > 0;
  const dropped = await dropUnknownFamilies(stores, tables, isMoving);
  if (dropped > 0) logger.info('dropped column families without a table', { count: dropped });
  for (const [shard, store] of stores.entries()) {
    store.onEvent((event) => {
      if (event.kind === 'error') logger.error('storage engine', { shard, ...event });
      else if (event.kind === 'stall')
        logger.warn('writes are slowed down by the storage engine', { shard, ...event });
      else logger.debug('storage engine', { shard, ...event });
    });
  }

  const workers: WorkerHandle[] = [];
  /** @returns what each has answered */
  const tellWorkers = (make: (call: number) => ToWorker): Promise<readonly unknown[]> =>
    Promise.all(workers.map((worker) => worker.call(make)));
  const view = () => (control === null ? loneView(settings, hostId) : clusterView(control, hostId));
  const authority: SchemaAuthority = new SchemaAuthority(schema, {
    datacenters: () => datacentersOf(view().state),
    stores,
    // Alone, nobody puts them in order.
    changesMax: control === null ? 1 : CHANGES_MAX,
    agree: async (base, next) => {
      if (control === null) {
        await authority.follow(next, async (step) => {
          if (step === null) return;
          const news = newsOf(step);
          await tellWorkers((call) => ({ kind: 'schema', news, call }));
        });
        return true;
      }
      const isAgreed = await control.proposeSchema(schemaChangeOf(base, next));
      await followLog();
      return isAgreed;
    },
    refresh: async () => {
      if (control === null) return;
      await control.caughtUp();
      await followLog();
    },
    settled: async (epoch) => control?.settled(epoch),
    newId: randomUUID,
    nowMicros: clock.micros,
    save: async (next) => {
      metadata = { ...metadata, schema: schemaToJson(withoutSystemKeyspaces(next)) };
      await file.save(metadata);
    },
  });
  const newsOf = ({ schema: next, events }: SchemaStep): SchemaNews => ({
    schema: schemaToJson(withoutSystemKeyspaces(next)),
    events,
  });

  const letGridsBe = keepGrids({
    stores,
    tables: () => storedTables(authority.current, isVirtual),
    ownedShare: ({ keyspace }) => {
      const replication = authority.current.keyspaces.get(keyspace)?.replication ?? {};
      return ownedShare(view().state, replication, hostId);
    },
  });

  let phase: ReturnType<Node['phase']> = 'joining';
  let isMember = () => {};
  const joined = new Promise<void>((resolve) => {
    isMember = () => {
      if (phase === 'joining') phase = 'serving';
      resolve();
    };
  });
  const { cluster } = settings;
  let latest = settings;
  const movements =
    control === null || cluster === null
      ? null
      : new DataMovements({
          hostId,
          datacenter: settings.datacenter,
          directory: join(settings.dataDirectory, 'streams'),
          bytesPerSecond: cluster.streamBytesPerSecond,
          get asRows() {
            return !(latest.cluster ?? cluster).streamEntireSstables;
          },
          apply: createRowApplier(engine, stores, (flush) => setImmediate(flush)),
          files: createStreamFiles(fileChecksum),
          fetcher: createFetcher(control.tls, { sendFile, receiveFile, openTls }),
          listen: (send, throttle) =>
            listenForStreams({
              host: cluster.listenAddress,
              port: cluster.streamPort,
              tls: control.tls,
              throttle,
              mover: { sendFile, receiveFile, openTls },
              send,
              log: logger,
            }),
          clock: STREAM_CLOCK,
          randomBytes,
          stores,
          links: control.links,
          logger,
          state: control.current,
          schema: () => withoutSystemKeyspaces(authority.current),
          isAlive: (id) => control.alive().has(id),
          done: async (id) => {
            const { applied, reason } = await control.propose({
              kind: 'operation-done',
              id,
              hostId,
            });
            if (!applied) logger.warn('what was streamed is not wanted', { id, reason });
          },
          fence: async (epoch) => {
            await publisher.reached(epoch);
            await tellAside();
            const [worker] = workers;
            const problem = await worker.call((call) => ({ kind: 'settle', call }));
            if (typeof problem === 'string') throw new TypeError(problem);
          },
          asideChanged: () => tellAside(),
        });
  const tellAside = async () => {
    const aside = asideTables(movements);
    await tellWorkers((call) => ({ kind: 'aside', aside, call }));
  };
  /** Taken at one time: the schema and all else are of one position of the log. */
  const position = () => ({ state: control?.current() ?? EMPTY_CLUSTER, cluster: view() });
  const publisher = new TopologyPublisher<ReturnType<typeof position>, SchemaStep>({
    position,
    followSchema: ({ schema: agreed }, tell) => {
      // Most positions differ in something else.
      const isNew = agreed.epoch > authority.current.epoch;
      const next = isNew ? withSystemKeyspaces(schemaFromJson(agreed)) : authority.current;
      return authority.follow(next, tell);
    },
    movements,
    tell: async ({ cluster: next }, step) => {
      const aside = asideTables(movements);
      const news = step === null ? null : newsOf(step);
      await tellWorkers((call) => ({ kind: 'cluster', cluster: next, aside, news, call }));
      if (step !== null) control?.announceSchema(step.schema);
    },
    reached: ({ state }) => {
      control?.announceTopology(state.topologyEpoch);
      const { state: own } = state.nodes.get(hostId) ?? {};
      if (own === 'normal' || own === 'leaving') isMember();
      if (own !== 'left' || phase === 'left') return;
      if (phase === 'joining') fail(new JoinUndoneError(state, hostId));
      if (phase === 'serving') phase = 'left';
    },
    clock: STREAM_CLOCK,
    failed: (error) => logger.error('workers cannot be told of the cluster', { error }),
  });
  const followLog = async () => {
    const failure = await publisher.follow();
    if (failure !== null) throw failure;
  };
  // What an earlier process has begun goes on, before there is anybody who writes.
  await movements?.start();
  const first = position();
  if (control !== null) {
    // The log may be further than it was when the shards were opened.
    const agreed = withSystemKeyspaces(schemaFromJson(first.state.schema));
    await authority.follow(agreed, async () => movements?.before(first.state));
  }

  const prepared = new Map<string, PreparedText>();
  let isCatchingUp = false;
  /** Many requests notice it at one time. */
  const catchUp = (epoch: number) => {
    if (control === null || isCatchingUp || control.current().topologyEpoch >= epoch) return;
    isCatchingUp = true;
    void control.caughtUp().finally(() => {
      isCatchingUp = false;
    });
  };
  const onMessage = (message: ToMain, from: WorkerHandle) => {
    switch (message.kind) {
      case 'ddl':
        authority.apply(message.text, message.keyspace).then(
          (value) => from.post({ kind: 'answer', call: message.call, value }),
          (reason: unknown) => {
            const error = reason instanceof KvError ? engineFailure(reason) : reason;
            const isCql = error instanceof CqlError;
            if (!isCql) logger.error('a schema change failed', { error });
            from.post({
              kind: 'failure',
              call: message.call,
              code: isCql ? error.code : ErrorCode.ServerError,
              message: error instanceof Error ? error.message : String(error),
              detail: isCql ? error.detail : null,
            });
          },
        );
        break;
      case 'prepared':
        prepared.delete(message.prepared.id);
        prepared.set(message.prepared.id, message.prepared);
        if (prepared.size > PREPARED_MAX) {
          const [oldest] = prepared.keys();
          prepared.delete(oldest);
        }
        break;
      case 'log':
        logger[message.level](message.message, { worker: from.index, ...message.fields });
        break;
      case 'behind':
        catchUp(message.epoch);
        break;
      case 'lookup':
        from.post({ kind: 'answer', call: message.call, value: prepared.get(message.id) ?? null });
        break;
    }
  };

  const locks = newLockMemory();
  const serialClock = new SharedArrayBuffer(8);
  for (let index = 0; index < settings.workers; index++) {
    const input: WorkerInput = {
      index,
      settings,
      // That for which it is prepared; what came meanwhile they are told when they are there.
      cluster: first.cluster,
      aside: asideTables(movements),
      schema: metadata.schema,
      layout: { shards: metadata.shards, layout: metadata.layout },
      locks,
      serialClock,
      settingsTable,
    };
    workers.push(new WorkerHandle(input, onMessage, (error) => fail(error)));
  }
  try {
    const [replayed] = await Promise.all(workers.map((worker) => worker.ready));
    if (replayed > 0) logger.info('replayed logged batches', { count: replayed });
  } catch (error) {
    await control?.stop();
    for (const worker of workers) await worker.terminate();
    for (const store of stores) await store.close();
    throw error;
  }
  if (control !== null) {
    control.serveLeftOver(leftOverOf(workers, logger, STREAM_CLOCK.nowMillis));
    control.announceSchema(authority.current);
    // The first turn lets clients come: not before the peers send this node their writes.
    await control.serve();
    control.onChange(() => void publisher.follow());
    // What has changed while the workers started.
    await publisher.follow();
  } else isMember();

  return {
    hostId,
    stores,
    failed,
    joined,
    movements: () => movements?.progress() ?? [],
    topology: new TopologyAdmin({ hostId, control, movements }),
    ring: new RingAdmin({
      ...{ hostId, control, stores },
      schema: () => withoutSystemKeyspaces(authority.current),
    }),
    schema: () => authority.current,
    define: async (text) => {
      await authority.apply(text, null);
    },
    cluster: view,
    phase: () => phase,
    status: async () =>
      (await tellWorkers((call) => ({ kind: 'status', call }))) as readonly WorkerStatus[],
    configure: async (next, table) => {
      latest = next;
      if (next.cluster !== null) {
        control?.configure(next.cluster);
        movements?.throttle.setLimit(next.cluster.streamBytesPerSecond);
      }
      const told = { kind: 'settings', settings: next, settingsTable: table } as const;
      await tellWorkers((call) => ({ ...told, call }));
    },
    stop: async () => {
      phase = 'draining';
      letGridsBe();
      publisher.stop();
      await movements?.stop();
      await control?.stop();
      await tellWorkers((call) => ({ kind: 'drain', call }));
      for (const worker of workers) await worker.terminate();
      for (const store of stores) await store.syncWal();
      for (const store of stores) await store.close();
    },
  };
}

function asideTables(movements: DataMovements | null): readonly AsideTable[] {
  return (movements?.aside() ?? []).map(({ table: { keyspace, name, generation }, ranges }) => ({
    keyspace,
    table: name,
    generation,
    ranges,
  }));
}

/** One event loop a core, and a power of two of shards not above. */
export function defaultParallelism(): { readonly workers: number; readonly shards: number } {
  const cores = availableParallelism();
  return { workers: cores, shards: 2 ** Math.floor(Math.log2(cores)) };
}
