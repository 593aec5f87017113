/**
 * One worker's coordinator: takes requests of clients to the replicas of the ring, and serves as a replica for the
 * coordinators of its peers.
 */

import type { LeftOver } from '../cluster/left-over.ts';
import { CqlError, readTimeout } from '../common/errors.ts';
import type { DataPath } from '../query/data-path.ts';
import type { Schema } from '../schema/schema.ts';
import type { WriteSink } from '../storage/local-store.ts';
import type { RecordSource, TableHandle } from '../storage/record-source.ts';
import { Batchlog } from './batchlog.ts';
import { CoordinatorContext, type CoordinatorMetrics } from './context.ts';
import { CoordinatedPath, type Levels, type PathParts } from './coordinated-path.ts';
import { CoordinatedSource } from './coordinated-source.ts';
import { CounterWrites } from './counter-write.ts';
import { Hints } from './hints.ts';
import { quorumOf } from './levels.ts';
import { Paxos } from './paxos.ts';
import { settleMoving } from './paxos-settle.ts';
import {
  type CoordinatorDeps,
  type CoordinatorOptions,
  type CoordinatorTuning,
  DEFAULT_COORDINATOR_OPTIONS,
} from './ports.ts';
import { Relays } from './relay.ts';
import { Replica } from './replica.ts';
import type { Replicated } from './replicated.ts';
import type { Topology, TopologyState } from './topology.ts';
import { startWrite } from './write.ts';

/** One record to write: `key[0, keyLength)`, `record[0, recordLength)`, copied before the call returns. */
export interface SingleWrite {
  readonly handle: TableHandle;
  readonly key: Uint8Array;
  readonly keyLength: number;
  readonly record: Uint8Array;
  readonly recordLength: number;
}

export interface Coordinator {
  /** This node is the only one of the ring: requests need no other, and go to its store directly. */
  readonly isAlone: boolean;
  readonly topology: Topology;
  readonly metrics: Readonly<CoordinatorMetrics>;
  /** From now on these are the members of the cluster. */
  setNodes(state: TopologyState): void;
  /** From now on these are the tables, those of the system among them. Before requests are planned with them. */
  setSchema(schema: Schema): void;
  /** Reads of one request of a table whose keyspace is replicated. */
  source(level: number): RecordSource;
  /** Writes one record; `sink` hears of it once, maybe before this returns. */
  write(replicated: Replicated, write: SingleWrite, level: number, sink: WriteSink): void;
  /** Everything that is more than that. */
  path(levels: Levels): DataPath;
  /**
   * After this, reads at `quorumOf(serial)` see every conditional write of the partition that was answered before.
   * @throws CqlError
   */
  settle(handle: TableHandle, partition: Uint8Array, serial: number): Promise<void>;
  /**
   * Before others are read in ranges that move from here: what conditional writes have decided there is known to enough of
   * those that own them now and afterwards. By one worker of each node that a range is taken from, when all of its workers
   * go by the topology in which it moves.
   * @returns partitions @throws CqlError, KvError: it is to be tried again
   */
  settleMoving(): Promise<number>;
  /** Bytes and number of hints that wait for a node, in this worker. */
  hintsFor(hostId: string): { readonly bytes: number; readonly count: number };
  /** What this worker still keeps for others. A node that leaves brings it to them, and stays until nothing is left. */
  leftOver(): LeftOver;
  /** Other limits from now on; requests that run keep theirs. */
  configure(options: CoordinatorTuning): void;
  /** Serves peers, and finds and replays what was left open before. After `setNodes` and `setSchema`. @throws KvError */
  start(): Promise<void>;
  stop(): void;
}

const NOTHING_TO_WRITE = { applies: false, result: null } as const;

class CoordinatorImpl implements Coordinator {
  private readonly context: CoordinatorContext;
  readonly topology: Topology;
  private readonly hints: Hints;
  private readonly batchlog: Batchlog;
  private readonly parts: PathParts;

  constructor(deps: CoordinatorDeps, options: CoordinatorOptions) {
    this.context = new CoordinatorContext(deps, options);
    this.hints = new Hints(this.context);
    this.context.hints = this.hints;
    this.topology = this.context.topology;
    const replica = new Replica(this.context);
    replica.register(deps.links);
    this.hints.listen(replica);
    this.context.wide = new Relays(this.context, this.topology, replica);
    this.batchlog = new Batchlog(this.context, this.topology, replica);
    this.parts = {
      context: this.context,
      topology: this.topology,
      batchlog: this.batchlog,
      counters: new CounterWrites(this.context, this.topology, replica),
      paxos: new Paxos(this.context, this.topology, replica),
    };
  }

  get isAlone(): boolean {
    return this.topology.isAlone;
  }

  get metrics(): Readonly<CoordinatorMetrics> {
    return this.context.metrics;
  }

  setNodes(state: TopologyState): void {
    const { isLeaving } = this.topology;
    this.topology.setNodes(state);
    if (this.topology.isLeaving && !isLeaving) this.batchlog.hurry();
    this.context.news.came();
    this.hints.setMembers(state.nodes);
    this.context.latencies.retain(state.nodes);
  }

  setSchema(schema: Schema): void {
    this.topology.setSchema(schema);
    this.context.tables.set(schema);
    this.context.news.came();
  }

  source(level: number): RecordSource {
    return new CoordinatedSource(this.context, this.topology, level);
  }

  write(replicated: Replicated, write: SingleWrite, level: number, sink: WriteSink): void {
    const request = {
      replicated,
      replicas: replicated.writes.ofKey(write.key),
      entries: [write],
      level,
      writeType: 'SIMPLE' as const,
      timeoutMillis: this.context.options.writeTimeoutMillis,
    };
    startWrite(this.context, request, sink);
  }

  path(levels: Levels): DataPath {
    return new CoordinatedPath(this.parts, levels);
  }

  async settle(handle: TableHandle, partition: Uint8Array, serial: number): Promise<void> {
    const path = this.path({ consistency: quorumOf(serial), serialConsistency: serial });
    try {
      await path.conditional({ handle, partition, keys: [] }, async () => NOTHING_TO_WRITE);
    } catch (error) {
      if (!(error instanceof CqlError) || error.detail?.kind !== 'write-timeout') throw error;
      const { consistency, received, required } = error.detail;
      throw readTimeout({ consistency, received, required }, false);
    }
  }

  settleMoving(): Promise<number> {
    return settleMoving(this.context, (...one) => this.settle(...one));
  }

  hintsFor(hostId: string): { readonly bytes: number; readonly count: number } {
    return this.hints.keptFor(hostId);
  }

  leftOver(): LeftOver {
    const { bytes, count } = this.hints.left;
    return { hintBytes: bytes, hints: count, batches: this.batchlog.left };
  }

  configure({ hints, ...options }: CoordinatorTuning): void {
    const { context } = this;
    context.options = {
      ...context.options,
      ...options,
      hints: { ...context.options.hints, ...hints },
    };
  }

  async start(): Promise<void> {
    await this.hints.start();
    this.batchlog.start();
  }

  stop(): void {
    this.hints.stop();
    this.batchlog.stop();
    this.context.delays.stop();
  }
}

/** @param options what is not given is as in `DEFAULT_COORDINATOR_OPTIONS` */
export function createCoordinator(
  deps: CoordinatorDeps,
  options: Partial<CoordinatorOptions> = {},
): Coordinator {
  return new CoordinatorImpl(deps, { ...DEFAULT_COORDINATOR_OPTIONS, ...options });
}
