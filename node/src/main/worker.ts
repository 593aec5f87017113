/** A worker thread: one event loop that serves CQL clients from all shards of the node. */
import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { createNativeEngine } from '../../native/index.ts';
import { openClientCertificates } from '../adapters/certificate-files.ts';
import { createSharedLocks } from '../adapters/shared-locks.ts';
import { createSerialClock, createSystemClock } from '../adapters/system-clock.ts';
import { createTcpListener } from '../adapters/tcp-listener.ts';
import { NOTHING_LEFT } from '../cluster/left-over.ts';
import { CqlError } from '../common/errors.ts';
import type { Settings } from '../config/settings.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import { Level } from '../coordinator/levels.ts';
import { BatchLog } from '../query/batch-log.ts';
import type { DataPath } from '../query/data-path.ts';
import { Executor } from '../query/execute.ts';
import type { SchemaEvent } from '../query/schema-authority.ts';
import { isVirtual, SYSTEM_KEYSPACES, withSystemKeyspaces } from '../query/virtual/definitions.ts';
import { VirtualTables } from '../query/virtual/rows.ts';
import { familyName, type Schema, type TableDef } from '../schema/schema.ts';
import { schemaFromJson } from '../schema/schema-json.ts';
import { Latencies } from '../server/latency.ts';
import { RequestHandlerImpl } from '../server/request-handler.ts';
import { Tracer } from '../server/tracing.ts';
import { storedTables } from '../storage/families.ts';
import { LocalStore } from '../storage/local-store.ts';
import {
  type ClientConnection,
  createCqlServer,
  DEFAULT_OPTIONS,
  type SchemaChange,
} from '../transport/index.ts';
import {
  clockSeqAndNode,
  createListPaths,
  createTimeUuidGenerator,
  parseUuid,
  randomUuid,
} from '../types/uuid.ts';
import { clusterEvents } from './cluster-events.ts';
import { startDataPlane } from './data-plane.ts';
import { LoopMonitor } from './loop-monitor.ts';
import type {
  PreparedText,
  SchemaNews,
  ToMain,
  ToWorker,
  WorkerInput,
  WorkerStatus,
} from './messages.ts';
import { openShards, processOptions } from './shards.ts';
import { releaseStartMemory } from './start-memory.ts';

if (parentPort === null) throw new TypeError('worker.ts runs in a worker thread');
const port = parentPort;
const input = workerData as WorkerInput;
let { settings, settingsTable, cluster } = input;
const { node } = cluster;

/** The main thread writes the log: one logger for the process, and none of its weight in each worker. */
function log(level: 'debug' | 'info' | 'warn' | 'error') {
  return (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
    if (LEVELS.indexOf(level) > LEVELS.indexOf(settings.logLevel)) return;
    const plain = Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? (value.stack ?? value.message) : value,
    ]);
    post({ kind: 'log', level, message, fields: Object.fromEntries(plain) });
  };
}

const LEVELS = ['error', 'warn', 'info', 'debug'];
const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };

/** Calls to the main thread that wait for their answer. */
const calls = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
let nextCall = 1;

function post(message: ToMain): void {
  port.postMessage(message);
}

function call(make: (call: number) => ToMain): Promise<unknown> {
  const id = nextCall++;
  return new Promise((resolve, reject) => {
    calls.set(id, { resolve, reject });
    post(make(id));
  });
}

function logError(message: string, error: unknown): void {
  logger.error(message, { error });
}

function toSchemaChange(event: NonNullable<SchemaEvent>): SchemaChange {
  return { ...event, name: event.name ?? '' };
}

async function start(): Promise<void> {
  const loop = new LoopMonitor();
  const clock = createSystemClock();
  const latencies = new Latencies(clock.monotonicMillis);
  const engine = createNativeEngine(processOptions(settings));
  let schema: Schema = withSystemKeyspaces(schemaFromJson(input.schema));
  const stores = await openShards(engine, settings, input.layout, storedTables(schema, isVirtual));

  let flushServer: (() => void) | null = null;
  const flushAnswers = () => {
    const flush = flushServer;
    flushServer = null;
    flush?.();
  };
  const store = new LocalStore(engine, stores, {
    scheduleFlush: (flush) => setImmediate(flush),
    afterAnswers: flushAnswers,
  });

  const tail = clockSeqAndNode(randomBytes(8));
  const timeUuids = createTimeUuidGenerator(tail);
  const lists = createListPaths(clockSeqAndNode(randomBytes(8)));
  const context = {
    timeUuid: () => timeUuids.next(BigInt(clock.micros())),
    randomUuid: () => randomUuid(randomBytes(16)),
    random: Math.random,
  };
  const listPlace = (end: 'last' | 'first') => {
    const now = BigInt(clock.micros());
    return end === 'last' ? lists.append(now) : lists.prepend(now, 1)[0];
  };
  const batches = SYSTEM_KEYSPACES.get('system')?.tables.get('batches');
  if (batches === undefined) throw new TypeError('system.batches is not defined');
  const batchLog = new BatchLog({
    store,
    table: batches,
    newId: context.timeUuid,
    nowMicros: () => BigInt(clock.micros()),
    findTable: (id, generation) => findTable(schema, id, generation),
  });
  const locks = createSharedLocks(input.locks, clock.monotonicMillis);
  const serialMicros = createSerialClock(input.serialClock, clock);
  const executor = new Executor({
    store,
    batchLog,
    locks,
    hostId: parseUuid(node.hostId) ?? new Uint8Array(16),
    serialMicros,
  });
  const data =
    settings.cluster === null
      ? null
      : await startDataPlane({
          settings,
          cluster: settings.cluster,
          worker: input.index,
          view: cluster,
          store,
          locks,
          clock,
          timeUuid: context.timeUuid,
          serialMicros,
          logger,
          behind: (epoch) => post({ kind: 'behind', epoch }),
        });
  const virtualTables = new VirtualTables({
    node: () => cluster.node,
    peers: () => cluster.peers,
    schema: () => schema,
    settings: () => settingsTable,
    clients: () => [...server.connections()].map(clientFacts),
    diskUsage: () =>
      storedTables(schema, isVirtual).map((table) => ({
        keyspace: table.keyspace,
        table: table.name,
        bytes: diskBytes(table),
      })),
    threadPools: () => [
      { name: 'native-transport', active: server.metrics.requestsInFlight, pending: 0 },
    ],
  });
  const diskBytes = (table: TableDef) =>
    stores.reduce((sum, one) => {
      const family = one.families().get(familyName(table));
      const size = family === undefined ? 0 : one.property(family, 'rocksdb.total-sst-files-size');
      return sum + Number(size ?? 0);
    }, 0);

  const handler = new RequestHandlerImpl(schema, {
    store,
    executor,
    virtualTables,
    schemaDoor: {
      apply: async (text, keyspace) => {
        const result = await call((id) => ({ kind: 'ddl', call: id, text, keyspace }));
        const { event, warnings } = result as { event: SchemaEvent; warnings: string[] };
        return { event: event === null ? null : toSchemaChange(event), warnings };
      },
    },
    directory: {
      add: (id, text, keyspace) => post({ kind: 'prepared', prepared: { id, text, keyspace } }),
      find: async (id) =>
        (await call((number) => ({ kind: 'lookup', call: number, id }))) as PreparedText | null,
    },
    clock,
    context,
    listPlace,
    latencies,
    datacenter: settings.datacenter,
    ...(data === null ? {} : { coordinator: data.coordinator }),
    clusterName: settings.clusterName,
    tracer: new Tracer({
      executor,
      store,
      clock,
      context,
      listPlace,
      address: node.rpcAddress,
      port: node.rpcPort,
      thread: `worker-${input.index}`,
      path: () => (data === null ? null : tracePath(data.coordinator)),
      schema,
      logError,
    }),
    logError,
  });

  const { clientEncryption } = settings;
  // The first worker tells of them.
  const certificateLog = input.index === 0 ? logger : null;
  const clientCertificates =
    clientEncryption === null ? null : openClientCertificates(clientEncryption, certificateLog);
  const server = createCqlServer(
    {
      listener: createTcpListener({
        host: settings.rpcAddress,
        port: settings.nativeTransportPort,
        reusePort: settings.workers > 1,
        tls: clientCertificates,
        handshakeMillisMax: settings.nativeTransportStartupTimeoutMs,
      }),
      clock: {
        nowMillis: clock.monotonicMillis,
        every: (millis, run) => {
          const timer = setInterval(run, millis);
          timer.unref();
          return () => clearInterval(timer);
        },
      },
      logger,
      handler,
      authenticator: null,
      scheduleFlush: (flush) => {
        flushServer = flush;
        setImmediate(flushAnswers);
      },
    },
    {
      ...DEFAULT_OPTIONS,
      ...clientLimits(settings),
      startupMillisMax: settings.nativeTransportStartupTimeoutMs,
    },
  );

  const asideOf = (tables: WorkerInput['aside']) =>
    tables.flatMap(({ keyspace, table: name, generation, ranges }) => {
      const table = schema.keyspaces.get(keyspace)?.tables.get(name);
      // Dropped or truncated since: its writes go where those of any table go.
      return table?.generation === generation ? [{ table, ranges }] : [];
    });
  let isServing = false;
  /** Clients come when the node owns something: until then it would only pass on. */
  const serveIfMember = async () => {
    const { state } = cluster.state.nodes.get(node.hostId) ?? { state: 'left' };
    if (state === 'left' && isServing) {
      logger.info('this node has left the cluster and takes no more requests');
      await server.drain(settings.drainTimeoutMs);
    }
    if (isServing || state === 'joining' || state === 'left') return;
    isServing = true;
    await server.start();
  };
  const fail = (message: string, error: unknown) => {
    logError(message, error);
    process.exit(1);
  };

  const requestsCount = () => server.metrics.requestsTotal.reduce((sum, count) => sum + count, 0);
  const status = (): WorkerStatus => ({
    connections: server.metrics.connectionsOpen,
    requests: requestsCount(),
    inFlightRequests: server.metrics.requestsInFlight,
    inFlightBytes: server.metrics.bytesInFlight,
    queuedWriteBytes: store.queuedBytes(),
    clients: [...server.connections()].map(clientFacts),
    transport: server.metrics,
    latency: { counts: latencies.counts, seconds: latencies.seconds },
    cluster: data === null ? null : { coordinator: data.coordinator.metrics, links: data.counters },
    loop: loop.status(),
  });

  const drain = async () => {
    await server.drain(settings.drainTimeoutMs);
    await data?.stop();
    for (const one of stores) await one.close();
  };

  const takeSchema = (news: SchemaNews) => {
    // Writes planned with the old schema go to the engine before it is said that none are left.
    store.flush();
    schema = withSystemKeyspaces(schemaFromJson(news.schema));
    handler.setSchema(schema);
    store.retain(storedTables(schema, isVirtual));
    for (const event of news.events) {
      server.broadcast({ type: 'SCHEMA_CHANGE', ...toSchemaChange(event) });
    }
  };

  port.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'schema':
        takeSchema(message.news);
        post({ kind: 'acknowledged', call: message.call, value: null });
        break;
      case 'cluster':
        if (message.news !== null) takeSchema(message.news);
        for (const event of clusterEvents(cluster, message.cluster)) server.broadcast(event);
        cluster = message.cluster;
        store.setAside(asideOf(message.aside));
        data?.follow(cluster);
        serveIfMember()
          .catch((error: unknown) => fail('clients cannot be served', error))
          .finally(() => post({ kind: 'acknowledged', call: message.call, value: null }));
        break;
      case 'aside':
        store.setAside(asideOf(message.aside));
        handler
          .leftAlone()
          .then(() => store.drained())
          .then(() => post({ kind: 'acknowledged', call: message.call, value: null }));
        break;
      case 'settle':
        (data?.coordinator.settleMoving() ?? Promise.resolve(0)).then(
          () => post({ kind: 'acknowledged', call: message.call, value: null }),
          (error: unknown) => {
            logger.info('conditional writes of a range that moves are not settled yet', { error });
            post({ kind: 'acknowledged', call: message.call, value: String(error) });
          },
        );
        break;
      case 'answer':
        calls.get(message.call)?.resolve(message.value);
        calls.delete(message.call);
        break;
      case 'failure': {
        const { code, message: text, detail } = message;
        calls.get(message.call)?.reject(new CqlError(code as never, text, detail as never));
        calls.delete(message.call);
        break;
      }
      case 'left-over': {
        const value = data?.coordinator.leftOver() ?? NOTHING_LEFT;
        post({ kind: 'acknowledged', call: message.call, value });
        break;
      }
      case 'settings':
        ({ settings, settingsTable } = message);
        server.configure(clientLimits(settings));
        if (settings.cluster !== null) data?.configure(settings, settings.cluster);
        post({ kind: 'acknowledged', call: message.call, value: null });
        break;
      case 'status':
        post({ kind: 'acknowledged', call: message.call, value: status() });
        break;
      case 'drain':
        drain()
          .catch((error: unknown) => logError('draining failed', error))
          .finally(() => post({ kind: 'acknowledged', call: message.call, value: null }));
        break;
    }
  });

  const replayed = input.index === 0 ? await batchLog.replay() : 0;
  store.setAside(asideOf(input.aside));
  await data?.coordinator.start();
  // In a cluster when it is told of it again, as others may be first.
  if (data === null) await serveIfMember();
  post({ kind: 'ready', replayed });
  releaseStartMemory(requestsCount).catch((error: unknown) =>
    logger.warn('the memory of the start is kept', { error }),
  );
}

/** Those that change while the worker runs. */
function clientLimits(settings: Settings) {
  return {
    frameBytesMax: settings.nativeTransportMaxFrameBytes,
    connectionsMax: settings.nativeTransportMaxConnections,
    bytesMax: Math.ceil(settings.nativeTransportMaxInFlightBytes / settings.workers),
    connectionBytesMax: settings.nativeTransportMaxInFlightBytesPerConnection,
    connectionRequestsMax: settings.nativeTransportMaxInFlightRequestsPerConnection,
  };
}

/** Traces are in a replicated keyspace, but not worth waiting for. */
function tracePath(coordinator: Coordinator): DataPath | null {
  if (coordinator.isAlone) return null;
  return coordinator.path({ consistency: Level.ANY, serialConsistency: Level.SERIAL });
}

function findTable(schema: Schema, id: string, generation: number): TableDef | undefined {
  for (const keyspace of schema.keyspaces.values()) {
    for (const table of keyspace.tables.values()) {
      if (table.id === id && table.generation === generation) return table;
    }
  }
  return undefined;
}

function clientFacts(client: ClientConnection): WorkerStatus['clients'][number] {
  const parts = client.remote.address
    .replace(/^::ffff:/, '')
    .split('.')
    .map(Number);
  return {
    address: parts.length === 4 ? Uint8Array.from(parts) : new Uint8Array(16),
    port: client.remote.port,
    stage: 'ready',
    driverName: client.startupOptions.get('DRIVER_NAME') ?? null,
    driverVersion: client.startupOptions.get('DRIVER_VERSION') ?? null,
    protocolVersion: client.version,
    requestCount: client.requestsTotal,
    isEncrypted: client.tls !== null,
  };
}

await start();
