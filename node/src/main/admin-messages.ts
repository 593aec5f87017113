/** The messages of the admin service as values; the contract is node/proto/admin.proto, which says what each is. */

import type { SettingChange, SettingInfo } from '../config/live.ts';

export type { SettingChange, SettingInfo };

export interface AdminWorkerStatus {
  readonly connections: number;
  readonly requests: number;
  readonly inFlightRequests: number;
  readonly inFlightBytes: number;
}

export interface AdminShardStatus {
  readonly loadBytes: number;
  readonly memtableBytes: number;
  readonly queuedWriteBytes: number;
  readonly pendingCompactionBytes: number;
  readonly writesStopped: boolean;
}

/** A member of the cluster. */
export interface AdminNodeStatus {
  readonly hostId: string;
  readonly address: string;
  readonly datacenter: string;
  readonly rack: string;
  readonly state: string;
  readonly alive: boolean;
  readonly tokens: number;
  /** Of Ilion, with which it was started last. */
  readonly version: string;
}

export interface AdminStatus {
  readonly version: string;
  readonly clusterName: string;
  readonly datacenter: string;
  readonly rack: string;
  readonly hostId: string;
  readonly cqlAddress: string;
  readonly state: string;
  readonly uptimeSeconds: number;
  readonly loadBytes: number;
  readonly memtableBytes: number;
  readonly cacheBytes: number;
  readonly residentBytes: number;
  readonly durability: string;
  readonly keyspaces: number;
  readonly tables: number;
  readonly workers: readonly AdminWorkerStatus[];
  readonly shards: readonly AdminShardStatus[];
  readonly nodes: readonly AdminNodeStatus[];
  /** Of the file system with the data directory. */
  readonly diskBytes: number;
  readonly diskFreeBytes: number;
  /** Empty: the node is alone. */
  readonly clusterId: string;
}

/** Whether nodes may stop. */
export interface DisruptionReply {
  readonly allowed: boolean;
  /** Why not. */
  readonly reason: string;
}

/** Empty: all. */
export interface TablesRequest {
  readonly keyspace: string;
  readonly table: string;
}

export interface FlushReply {
  readonly tables: number;
}

export interface CompactReply {
  readonly tables: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface SnapshotInfo {
  readonly name: string;
  /** Since 1970. */
  readonly createdAtMs: number;
  readonly bytes: number;
  readonly directory: string;
}

/** A node that gets something by an operation, and how far it is. */
export interface OperationGainer {
  readonly hostId: string;
  readonly address: string;
  readonly done: boolean;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly filesDone: number;
  readonly filesTotal: number;
  readonly rangesDone: number;
  readonly rangesTotal: number;
  readonly wholeBytes: number;
  readonly seconds: number;
  readonly problem: string;
}

export interface OperationInfo {
  readonly id: string;
  readonly kind: string;
  readonly hostId: string;
  readonly address: string;
  readonly replaces: string;
  readonly phase: string;
  readonly gainers: readonly OperationGainer[];
  /** What it waits for, and what to do; empty: not known. */
  readonly waits: string;
}

export interface OperationList {
  readonly operations: readonly OperationInfo[];
  readonly streamBytesPerSecond: number;
}

export interface RemoveNodeRequest {
  /** Empty: the node that is asked. */
  readonly hostId: string;
  readonly dead: boolean;
  /** ABORTED if other operations have to end first, in the place of waiting for them. */
  readonly atOnce?: boolean;
}

export interface EnsureKeyspaceRequest {
  readonly name: string;
  /** `class` and its options. */
  readonly replication: Readonly<Record<string, string>>;
  readonly durableWrites: boolean;
}

export interface RebuildNodeRequest {
  /** Of the sources. */
  readonly datacenter: string;
  /** Empty: all. */
  readonly keyspace: string;
}

/** A member, and where its tokens are. */
export interface RingNode {
  readonly hostId: string;
  readonly address: string;
  readonly datacenter: string;
  readonly rack: string;
  readonly state: string;
  /** Of its tokens, ascending. */
  readonly buckets: readonly number[];
  /** It has said what it has. */
  readonly answered: boolean;
}

/** What one copy has of all tables with one replication. */
export interface ReplicationBytes {
  readonly replication: Readonly<Record<string, string>>;
  /** In the order of tokens. */
  readonly cells: readonly number[];
}

export interface RingBytes {
  readonly nodes: readonly RingNode[];
  readonly loads: readonly ReplicationBytes[];
  /** Ids of those in progress. */
  readonly operations: readonly string[];
}

export interface MoveTokensRequest {
  readonly hostId: string;
  /** Of all tokens that it is to have. */
  readonly buckets: readonly number[];
}

export type AdminErrorCode =
  | 'INVALID_ARGUMENT'
  | 'FAILED_PRECONDITION'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'ABORTED'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAVAILABLE'
  | 'INTERNAL';

/** What an operator asked for cannot be done; the message says what to do. Codes are those of gRPC. */
export class AdminError extends Error {
  readonly code: AdminErrorCode;
  constructor(code: AdminErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AdminError';
    this.code = code;
  }
}

/** What can be asked of a node: the node's side does it, the client's side asks for it over gRPC. */
export interface Admin {
  /** @param agreed the nodes as a majority has agreed on them by now */
  status(agreed?: boolean): Promise<AdminStatus>;
  flush(request: TablesRequest): Promise<FlushReply>;
  compact(request: TablesRequest): Promise<CompactReply>;
  /** @param name empty: after the time */
  snapshot(name: string): Promise<SnapshotInfo>;
  snapshots(): Promise<readonly SnapshotInfo[]>;
  dropSnapshot(name: string): Promise<void>;
  operations(): Promise<OperationList>;
  /** @returns the id of the operation that has begun; empty: there was nothing to move */
  removeNode(request: RemoveNodeRequest): Promise<string>;
  cancelOperation(id: string): Promise<void>;
  /** Whether these nodes may stop at the same time. */
  checkDisruption(hostIds: readonly string[]): Promise<DisruptionReply>;
  ringBytes(): Promise<RingBytes>;
  /** @returns the id of the operation that has begun */
  moveTokens(request: MoveTokensRequest): Promise<string>;
  /** @returns bytes that were moved, when it is done */
  rebuild(request: RebuildNodeRequest): Promise<number>;
  settings(): Promise<readonly SettingInfo[]>;
  /** By name; see `LiveSettings.reload`. All or nothing. */
  reloadSettings(values: Readonly<Record<string, string>>): Promise<readonly SettingChange[]>;
  /** @returns whether there was none */
  ensureKeyspace(request: EnsureKeyspaceRequest): Promise<boolean>;
}
