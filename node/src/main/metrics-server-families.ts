/** Every metric of a node: its name, what it is, and how it follows from what the workers and shards say. */

import { ErrorCode } from '../common/errors.ts';
import type { KvEngine } from '../storage/kv.ts';
import type { MovementProgress } from '../streaming/movement-progress.ts';
import { Opcode, type TransportMetrics } from '../transport/index.ts';
import type { LoopStatus } from './loop-monitor.ts';
import type { WorkerStatus } from './messages.ts';
import type { ShardFacts } from './shard-facts.ts';

export type Labels = Readonly<Record<string, string>>;

/** One line: `name{labels} value`. All samples of a family have the same labels. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** `thread`: `main`, or the number of a worker. */
export interface ThreadLoop {
  readonly thread: string;
  readonly loop: LoopStatus;
}

/** Everything of one moment. */
/** Of the cluster, as this node knows it. */
export interface RingFacts {
  readonly up: number;
  readonly down: number;
  /** Changes in progress. */
  readonly operations: number;
  readonly topologyEpoch: number;
  readonly movements: readonly MovementProgress[];
}

export interface Facts {
  readonly workers: readonly WorkerStatus[];
  readonly loops: readonly ThreadLoop[];
  readonly shards: readonly ShardFacts[];
  /** RocksDB's tickers by shard. */
  readonly statistics: readonly Readonly<Record<string, number>>[];
  readonly memory: ReturnType<KvEngine['memoryUsage']>;
  readonly stalls: readonly Sample[];
  /** Null: the node is alone. */
  readonly ring: RingFacts | null;
}

/** A metric as a function of the facts. */
export interface Family {
  readonly kind: 'counter' | 'gauge';
  readonly name: string;
  readonly help: string;
  samples(facts: Facts): readonly Sample[];
}

const ERROR_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(ErrorCode).map(([name, code]) => [code, name]),
);

const REQUEST_OPCODES = [
  'Startup',
  'Options',
  'Query',
  'Prepare',
  'Execute',
  'Register',
  'Batch',
  'AuthResponse',
] as const;

function perWorker(pick: (worker: WorkerStatus) => number): Family['samples'] {
  return ({ workers }) =>
    workers.map((worker, index) => ({ labels: { worker: String(index) }, value: pick(worker) }));
}

function perShard(pick: (shard: ShardFacts) => number): Family['samples'] {
  return ({ shards }) =>
    shards.map((shard, index) => ({ labels: { shard: String(index) }, value: pick(shard) }));
}

const one = (pick: (facts: Facts) => number) => (facts: Facts) => [
  { labels: {}, value: pick(facts) },
];

function requests({ workers }: Facts): Sample[] {
  return workers.flatMap(({ transport }, index) =>
    REQUEST_OPCODES.map((opcode) => ({
      labels: { worker: String(index), opcode },
      value: transport.requestsTotal[Opcode[opcode]],
    })),
  );
}

function errors({ workers }: Facts): Sample[] {
  return workers.flatMap(({ transport }, index) =>
    [...transport.errorsTotal].map(([code, value]) => ({
      labels: { worker: String(index), error: ERROR_NAMES.get(code) ?? String(code) },
      value,
    })),
  );
}

function collections(pick: (of: LoopStatus['collections'][number]) => number): Family['samples'] {
  return ({ loops }) =>
    loops.flatMap(({ thread, loop }) =>
      loop.collections.map((of) => ({ labels: { thread, kind: of.kind }, value: pick(of) })),
    );
}

const perThread =
  (pick: (loop: LoopStatus) => number): Family['samples'] =>
  ({ loops }) =>
    loops.map(({ thread, loop }) => ({ labels: { thread }, value: pick(loop) }));

/** Counters of the transport that are plain numbers. */
type TransportNumber = {
  [Name in keyof TransportMetrics]: TransportMetrics[Name] extends number ? Name : never;
}[keyof TransportMetrics];

const TRANSPORT: readonly (readonly [Family['kind'], string, TransportNumber, string])[] = [
  ['gauge', 'ilion_connections', 'connectionsOpen', 'Client connections.'],
  ['counter', 'ilion_connections_opened_total', 'connectionsTotal', 'Client connections opened.'],
  [
    'counter',
    'ilion_connections_refused_total',
    'connectionsRefusedTotal',
    'Client connections closed at once: native_transport_max_connections are open.',
  ],
  ['counter', 'ilion_received_bytes_total', 'bytesReceivedTotal', 'Bytes from clients.'],
  ['counter', 'ilion_sent_bytes_total', 'bytesSentTotal', 'Bytes to clients.'],
  ['counter', 'ilion_socket_writes_total', 'flushesTotal', 'Writes to sockets of clients.'],
  ['gauge', 'ilion_requests_in_flight', 'requestsInFlight', 'Requests being worked on.'],
  ['gauge', 'ilion_in_flight_bytes', 'bytesInFlight', 'Bytes of requests being worked on.'],
  [
    'counter',
    'ilion_read_pauses_total',
    'pausesTotal',
    'Times a connection was not read until some of its requests were answered.',
  ],
  ['counter', 'ilion_overloaded_total', 'overloadedTotal', 'Requests refused as Overloaded.'],
  [
    'counter',
    'ilion_protocol_errors_total',
    'protocolErrorsTotal',
    'Connections closed because the client broke the protocol.',
  ],
  [
    'counter',
    'ilion_slow_clients_total',
    'slowClientsTotal',
    'Connections closed because the client took or sent too slowly.',
  ],
  [
    'counter',
    'ilion_startup_timeouts_total',
    'startupTimeoutsTotal',
    'Connections closed because native_transport_startup_timeout passed before they were ready.',
  ],
];

/** RocksDB's counters worth having: ours, its name, what it is. */
const TICKERS: readonly (readonly [string, string, string])[] = [
  ['written_bytes', 'rocksdb.bytes.written', 'Bytes of write batches.'],
  ['written_records', 'rocksdb.number.keys.written', 'Records written.'],
  ['wal_bytes', 'rocksdb.wal.bytes', 'Bytes written to the write-ahead log.'],
  ['wal_syncs', 'rocksdb.wal.synced', 'Syncs of the write-ahead log.'],
  ['flush_written_bytes', 'rocksdb.flush.write.bytes', 'Bytes written by flushes.'],
  ['compaction_read_bytes', 'rocksdb.compact.read.bytes', 'Bytes read by compactions.'],
  ['compaction_written_bytes', 'rocksdb.compact.write.bytes', 'Bytes written by compactions.'],
  ['read_records', 'rocksdb.number.keys.read', 'Records looked up.'],
  ['seeks', 'rocksdb.number.db.seek', 'Seeks of iterators.'],
  ['scanned_records', 'rocksdb.number.db.next', 'Steps of iterators.'],
  ['memtable_hits', 'rocksdb.memtable.hit', 'Lookups answered by a memtable.'],
  ['memtable_misses', 'rocksdb.memtable.miss', 'Lookups not answered by a memtable.'],
  ['cache_hits', 'rocksdb.block.cache.hit', 'Blocks found in the cache.'],
  ['cache_misses', 'rocksdb.block.cache.miss', 'Blocks not found in the cache.'],
  ['bloom_skips', 'rocksdb.bloom.filter.useful', 'Files skipped by their Bloom filter.'],
  ['stall_micros', 'rocksdb.stall.micros', 'Microseconds for which writes were held back.'],
];

const SHARDS: readonly Family[] = [
  {
    kind: 'gauge',
    name: 'ilion_queued_write_bytes',
    help: "Writes that wait for the shard's writer thread.",
    samples: perShard((shard) => shard.queuedWriteBytes),
  },
  {
    kind: 'gauge',
    name: 'ilion_storage_sst_bytes',
    help: 'SST files.',
    samples: perShard((shard) => shard.sstBytes),
  },
  {
    kind: 'gauge',
    name: 'ilion_storage_memtable_bytes',
    help: 'Memtables, also those being flushed.',
    samples: perShard((shard) => shard.memtableBytes),
  },
  {
    kind: 'gauge',
    name: 'ilion_storage_pending_compaction_bytes',
    help: 'What compactions have to rewrite to be where they should be.',
    samples: perShard((shard) => shard.pendingCompactionBytes),
  },
  {
    kind: 'gauge',
    name: 'ilion_storage_running_compactions',
    help: 'Compactions that run.',
    samples: perShard((shard) => shard.runningCompactions),
  },
  {
    kind: 'gauge',
    name: 'ilion_storage_running_flushes',
    help: 'Flushes that run.',
    samples: perShard((shard) => shard.runningFlushes),
  },
  {
    kind: 'gauge',
    name: 'ilion_storage_writes_stopped',
    help: '1 while RocksDB takes no writes.',
    samples: perShard((shard) => (shard.writesStopped ? 1 : 0)),
  },
  {
    kind: 'gauge',
    name: 'ilion_storage_delayed_write_bytes_per_second',
    help: 'To what RocksDB slows writes down; 0: it does not.',
    samples: perShard((shard) => shard.delayedWriteBytesPerSecond),
  },
  {
    kind: 'counter',
    name: 'ilion_storage_background_errors_total',
    help: 'Flushes and compactions that failed.',
    samples: perShard((shard) => shard.backgroundErrors),
  },
  {
    kind: 'counter',
    name: 'ilion_storage_stalls_total',
    help: 'Times RocksDB began to delay or stop writes.',
    samples: ({ stalls }) => stalls,
  },
  ...TICKERS.map(
    ([name, ticker, help]): Family => ({
      kind: 'counter',
      name: `ilion_storage_${name}_total`,
      help,
      samples: ({ statistics }) =>
        statistics.map((tickers, shard) => ({
          labels: { shard: String(shard) },
          value: tickers[ticker] ?? 0,
        })),
    }),
  ),
];

/** In the order in which they are shown. */
export const FAMILIES: readonly Family[] = [
  ...TRANSPORT.map(
    ([kind, name, field, help]): Family => ({
      kind,
      name,
      help,
      samples: perWorker(({ transport }) => transport[field]),
    }),
  ),
  {
    kind: 'counter',
    name: 'ilion_requests_total',
    help: 'Requests of clients by opcode.',
    samples: requests,
  },
  {
    kind: 'counter',
    name: 'ilion_errors_total',
    help: 'Errors sent to clients by code.',
    samples: errors,
  },
  ...SHARDS,
  {
    kind: 'gauge',
    name: 'ilion_storage_cache_bytes',
    help: 'The block cache, of all shards.',
    samples: one(({ memory }) => memory.cacheBytes),
  },
  {
    kind: 'gauge',
    name: 'ilion_storage_table_reader_bytes',
    help: 'Indexes and filters of open SST files outside the cache, of all shards.',
    samples: one(({ memory }) => memory.tableReaderBytes),
  },
  {
    kind: 'counter',
    name: 'ilion_loop_active_seconds_total',
    help: 'Time in which the event loop was not waiting.',
    samples: perThread((loop) => loop.activeSeconds),
  },
  {
    kind: 'gauge',
    name: 'ilion_heap_used_bytes',
    help: 'JavaScript heap of the thread.',
    samples: perThread((loop) => loop.heapUsedBytes),
  },
  {
    kind: 'counter',
    name: 'ilion_collections_total',
    help: 'Garbage collections.',
    samples: collections(({ count }) => count),
  },
  {
    kind: 'counter',
    name: 'ilion_collection_seconds_total',
    help: 'Time of garbage collections.',
    samples: collections(({ seconds }) => seconds),
  },
  {
    kind: 'counter',
    name: 'ilion_process_cpu_seconds_total',
    help: 'CPU time of the process, all threads.',
    samples: () => {
      const { user, system } = process.cpuUsage();
      return [
        { labels: { mode: 'user' }, value: user / 1e6 },
        { labels: { mode: 'system' }, value: system / 1e6 },
      ];
    },
  },
  {
    kind: 'gauge',
    name: 'ilion_process_resident_bytes',
    help: 'Resident memory of the process.',
    samples: one(() => process.memoryUsage.rss()),
  },
  {
    kind: 'gauge',
    name: 'ilion_process_uptime_seconds',
    help: 'Since the start of the process.',
    samples: one(() => process.uptime()),
  },
];
