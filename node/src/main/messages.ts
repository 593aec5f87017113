/** What the main thread and the workers tell each other. */
import type { Settings } from '../config/settings.ts';
import type { CoordinatorMetrics } from '../coordinator/context.ts';
import type { LinkCounters } from '../internode/context.ts';
import type { SchemaResult } from '../query/schema-authority.ts';
import type { ClientFacts } from '../query/virtual/rows.ts';
import type { SchemaDifferenceEvent } from '../schema/schema-diff.ts';
import type { SchemaJson } from '../schema/schema-json.ts';
import type { LatencyStatus } from '../server/latency.ts';
import type { TransportMetrics } from '../transport/index.ts';
import type { ClusterView } from './cluster-view.ts';
import type { LoopStatus } from './loop-monitor.ts';

/** Ranges of a table that are kept aside, for another thread. */
export interface AsideTable {
  readonly keyspace: string;
  readonly table: string;
  readonly generation: number;
  /** Buckets, both inclusive. */
  readonly ranges: readonly { readonly first: number; readonly last: number }[];
}

/** Given to a worker when it starts. */
export interface WorkerInput {
  readonly index: number;
  readonly settings: Settings;
  readonly cluster: ClusterView;
  readonly aside: readonly AsideTable[];
  /** Of user keyspaces. */
  readonly schema: SchemaJson;
  readonly layout: { readonly shards: number; readonly layout: number };
  /** See `createSharedLocks`. */
  readonly locks: SharedArrayBuffer;
  /** The last serial timestamp of the process, one BigInt64. */
  readonly serialClock: SharedArrayBuffer;
  readonly settingsTable: readonly (readonly [string, string])[];
}

export interface PreparedText {
  /** Hex. */
  readonly id: string;
  readonly text: string;
  readonly keyspace: string | null;
}

export interface WorkerStatus {
  readonly connections: number;
  readonly requests: number;
  readonly inFlightRequests: number;
  readonly inFlightBytes: number;
  readonly queuedWriteBytes: number;
  readonly clients: readonly ClientFacts[];
  readonly transport: TransportMetrics;
  readonly latency: LatencyStatus;
  /** Null: the node is alone. */
  readonly cluster: {
    readonly coordinator: Readonly<CoordinatorMetrics>;
    readonly links: Readonly<LinkCounters>;
  } | null;
  readonly loop: LoopStatus;
}

/** A newer schema of user keyspaces, and what clients are told of it. */
export interface SchemaNews {
  readonly schema: SchemaJson;
  readonly events: readonly SchemaDifferenceEvent[];
}

export type ToWorker =
  /** Of a node that is alone. */
  | { readonly kind: 'schema'; readonly news: SchemaNews; readonly call: number }
  | {
      readonly kind: 'cluster';
      readonly cluster: ClusterView;
      /** Of the same position of the log; null: the worker knows it. */
      readonly news: SchemaNews | null;
      readonly aside: readonly AsideTable[];
      readonly call: number;
    }
  /** Acknowledged when everything that was accepted before has been applied. */
  | { readonly kind: 'aside'; readonly aside: readonly AsideTable[]; readonly call: number }
  /** Conditional writes that are decided and not known to all owners are brought to the old and new ones. */
  | { readonly kind: 'settle'; readonly call: number }
  | { readonly kind: 'answer'; readonly call: number; readonly value: unknown }
  | {
      readonly kind: 'failure';
      readonly call: number;
      readonly code: number;
      readonly message: string;
      readonly detail: unknown;
    }
  /** Acknowledged with a `LeftOver`. */
  | { readonly kind: 'left-over'; readonly call: number }
  /** Acknowledged when they are in effect. */
  | {
      readonly kind: 'settings';
      readonly settings: Settings;
      readonly settingsTable: WorkerInput['settingsTable'];
      readonly call: number;
    }
  | { readonly kind: 'status'; readonly call: number }
  | { readonly kind: 'drain'; readonly call: number };

export type ToMain =
  | { readonly kind: 'ready'; readonly replayed: number }
  | { readonly kind: 'acknowledged'; readonly call: number; readonly value: unknown }
  | {
      readonly kind: 'ddl';
      readonly call: number;
      readonly text: string;
      readonly keyspace: string | null;
    }
  /** A peer goes by the topology of this epoch, which the worker does not know. */
  | { readonly kind: 'behind'; readonly epoch: number }
  | { readonly kind: 'prepared'; readonly prepared: PreparedText }
  | { readonly kind: 'lookup'; readonly call: number; readonly id: string }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

export type { SchemaResult };
