/** What the coordinator is given, and its limits. */
import type { Liveness, NodeInfo } from '../cluster/cluster-state.ts';
import type { Links } from '../internode/links.ts';
import type { PartitionLocks } from '../query/execute.ts';
import type { LocalStore } from '../storage/local-store.ts';
import type { RecordSource } from '../storage/record-source.ts';

/** This node's own records. */
export type LocalRecords = RecordSource & Pick<LocalStore, 'handle' | 'merge' | 'addSink'>;

export interface Timers {
  /** Runs once, later. @returns what takes it back */
  after(millis: number, run: () => void): () => void;
}

export interface CoordinatorDeps {
  readonly store: LocalRecords;
  readonly links: Links;
  readonly liveness: Liveness;
  /** Microseconds since 1970; milliseconds from any start, monotonic. */
  readonly clock: { micros(): number; monotonicMillis(): number };
  readonly timers: Timers;
  /** In [0, 1). */
  random(): number;
  /** Ascending, unique in the cluster. */
  timeUuid(): Uint8Array;
  /** Shared by all workers of the node. */
  readonly locks: PartitionLocks;
  /** Microseconds; greater than any it gave before in this process. */
  serialMicros(): bigint;
  /** This node. */
  readonly self: Pick<NodeInfo, 'hostId' | 'datacenter' | 'rack'>;
  logError(message: string, error: unknown): void;
  /** Peers go by a later topology: this node is to hear of it soon. It does in any case; this may make it sooner. */
  readonly followTopology?: (epoch: number) => void;
}

export interface HintLimits {
  /** Bytes of hints that this worker keeps; beyond, a hint is not stored (and ANY is not met by it). */
  readonly bytesMax: number;
  /** Of a write that is being stored: more in flight make writes to dead replicas Overloaded. */
  readonly inFlightBytesMax: number;
  /** A node that is away for longer gets no new hints: it needs a repair. Source: max_hint_window. */
  readonly windowMillis: number;
  /** Sent to one node a second. */
  readonly bytesPerSecond: number;
  /** Of one batch of replay. */
  readonly batchBytes: number;
  readonly intervalMillis: number;
}

export interface CoordinatorOptions {
  readonly readTimeoutMillis: number;
  readonly rangeTimeoutMillis: number;
  readonly writeTimeoutMillis: number;
  readonly counterTimeoutMillis: number;
  /** How long a conditional write tries against others. */
  readonly casContentionTimeoutMillis: number;
  /** A second replica is asked not before and not after so long, whatever the latencies. */
  readonly speculationMillisMin: number;
  readonly speculationMillisMax: number;
  /** How long a replica waits for a table, or a topology, that it does not know yet. */
  readonly schemaWaitMillis: number;
  /** How long a coordinator waits for the topology by which a replica refused its request, before it asks again. */
  readonly staleWaitMillis: number;
  /** Of requests of peers in the hands of this worker; beyond they are answered OVERLOADED. */
  readonly replicaBytesMax: number;
  readonly replicaScansMax: number;
  /** Of one page of a scan from one replica. */
  readonly pageBytes: number;
  readonly pageEntries: number;
  /** Ranges of the ring whose first pages are asked for ahead. */
  readonly rangesAhead: number;
  /** Which of the node's workers this is: each keeps and replays hints of its own. */
  readonly worker: number;
  readonly workers: number;
  readonly hints: HintLimits;
  /** How often batches of coordinators that died are looked for. */
  readonly batchReplayMillis: number;
}

/** What may change while it runs. */
export type CoordinatorTuning = Pick<
  CoordinatorOptions,
  | 'readTimeoutMillis'
  | 'rangeTimeoutMillis'
  | 'writeTimeoutMillis'
  | 'counterTimeoutMillis'
  | 'casContentionTimeoutMillis'
> & { readonly hints: Pick<HintLimits, 'windowMillis' | 'bytesMax'> };

export const DEFAULT_COORDINATOR_OPTIONS: CoordinatorOptions = {
  readTimeoutMillis: 5_000,
  rangeTimeoutMillis: 10_000,
  writeTimeoutMillis: 2_000,
  counterTimeoutMillis: 5_000,
  casContentionTimeoutMillis: 1_000,
  speculationMillisMin: 5,
  speculationMillisMax: 1_000,
  schemaWaitMillis: 1_500,
  staleWaitMillis: 1_500,
  replicaBytesMax: 128 << 20,
  replicaScansMax: 64,
  pageBytes: 128 << 10,
  pageEntries: 2_048,
  rangesAhead: 4,
  worker: 0,
  workers: 1,
  batchReplayMillis: 10_000,
  hints: {
    bytesMax: 512 << 20,
    inFlightBytesMax: 64 << 20,
    windowMillis: 3 * 60 * 60 * 1_000,
    bytesPerSecond: 1 << 20,
    batchBytes: 128 << 10,
    intervalMillis: 1_000,
  },
};
