/** What the parts of one worker's coordinator share. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Writer } from '../common/bytes.ts';
import type { CqlError, FailureReason } from '../common/errors.ts';
import { type AnswerSink, LinkError, type LinkErrorCode } from '../internode/links.ts';
import type { Contacts } from './contacts.ts';
import { Delays } from './delays.ts';
import { News } from './news.ts';
import { PeerLatencies } from './peer-latency.ts';
import type { CoordinatorDeps, CoordinatorOptions } from './ports.ts';
import { Tables } from './tables.ts';
import { Topology } from './topology.ts';

/** Failure reasons of the protocol. Source: native protocol v5, section 9. */
export const Reason = { UNKNOWN: 0, TIMEOUT: 2, INCOMPATIBLE_SCHEMA: 3 } as const;

/** Counted since the start. */
export interface CoordinatorMetrics {
  hintsStored: number;
  /** Could not be stored, or the node was away for too long. */
  hintsRefused: number;
  hintsReplayed: number;
  /** Too old, or of a table that is gone. */
  hintsDropped: number;
  hintBytes: number;
  readRepairs: number;
  speculativeRetries: number;
  digestMismatches: number;
  unavailables: number;
  writeTimeouts: number;
  readTimeouts: number;
  writeFailures: number;
  readFailures: number;
  replicaMutations: number;
  replicaReads: number;
  replicaPages: number;
  replicaShed: number;
  batchesReplayed: number;
  casContentions: number;
  /** Requests begun again, because the owners of their keys had changed. */
  staleRestarts: number;
}

function newMetrics(): CoordinatorMetrics {
  return {
    hintsStored: 0,
    hintsRefused: 0,
    hintsReplayed: 0,
    hintsDropped: 0,
    hintBytes: 0,
    readRepairs: 0,
    speculativeRetries: 0,
    digestMismatches: 0,
    unavailables: 0,
    writeTimeouts: 0,
    readTimeouts: 0,
    writeFailures: 0,
    readFailures: 0,
    replicaMutations: 0,
    replicaReads: 0,
    replicaPages: 0,
    replicaShed: 0,
    batchesReplayed: 0,
    casContentions: 0,
    staleRestarts: 0,
  };
}

/** Keeps a write for a replica that did not take it. */
export interface HintKeeper {
  /** So many hints are being stored that no more writes to dead replicas are taken. */
  readonly isOverloaded: boolean;
  /**
   * @param body a Mutation; kept until `done`
   * @param done hears whether the hint is durable
   */
  store(hostId: string, body: Buffer, done: ((stored: boolean) => void) | null): void;
}

/** Sends a mutation to replicas of another datacenter by one of them. */
export interface WideSender {
  /** @param nodes alive @param sinkOf who hears of a replica, once */
  send(
    nodes: readonly NodeInfo[],
    body: Uint8Array,
    timeoutMillis: number,
    sinkOf: (node: NodeInfo) => AnswerSink,
  ): void;
}

const NO_HINTS: HintKeeper = {
  isOverloaded: false,
  store: (_hostId, _body, done) => done?.(false),
};

/** A replica, and what came of it. */
export interface ReplicaFailure {
  readonly node: NodeInfo;
  readonly reasonCode: number;
}

export class CoordinatorContext {
  readonly deps: CoordinatorDeps;
  /** Read when they are needed: they change. */
  options: CoordinatorOptions;
  readonly tables: Tables;
  readonly topology: Topology;
  /** Of tables and of the topology. */
  readonly news: News;
  readonly delays: Delays;
  readonly latencies = new PeerLatencies();
  readonly metrics = newMetrics();
  /** For messages: written and handed to the links in one go. */
  readonly out = new Writer(4096);
  /** Whom reads ask, by the replicas that are alive and the level; chosen again now and then. */
  readonly choices: { untilMillis: number; byReplicas: WeakMap<readonly NodeInfo[], Contacts[]> } =
    {
      untilMillis: 0,
      byReplicas: new WeakMap(),
    };
  hints: HintKeeper = NO_HINTS;
  wide: WideSender | null = null;

  constructor(deps: CoordinatorDeps, options: CoordinatorOptions) {
    this.deps = deps;
    this.options = options;
    this.tables = new Tables(deps.store);
    this.topology = new Topology(deps.self);
    this.news = new News(deps.timers);
    this.delays = new Delays(deps.timers, deps.clock.monotonicMillis);
  }

  isSelf(node: NodeInfo): boolean {
    return node.hostId === this.deps.self.hostId;
  }

  isAlive(node: NodeInfo): boolean {
    return this.isSelf(node) || this.deps.liveness.isAlive(node.hostId);
  }

  /**
   * Before a request that a peer refused as STALE is begun again: waits until this node goes by the epoch of the peer.
   * @returns false: it did not in time
   */
  catchUp(epoch: number): Promise<boolean> {
    const { topology, deps, news, options, metrics } = this;
    metrics.staleRestarts++;
    if (topology.epoch >= epoch) return Promise.resolve(true);
    deps.followTopology?.(epoch);
    return news.wait(() => topology.epoch >= epoch, options.staleWaitMillis);
  }

  /** Those that are alive. */
  live(replicas: readonly NodeInfo[]): readonly NodeInfo[] {
    for (let i = 0; i < replicas.length; i++) {
      if (!this.isAlive(replicas[i])) return replicas.filter((node) => this.isAlive(node));
    }
    return replicas;
  }

  /** Nearest first: this node, its datacenter by latency, the others by latency. */
  byProximity(nodes: readonly NodeInfo[]): NodeInfo[] {
    const sorted = nodes.slice();
    if (sorted.length < 2) return sorted;
    const distances = new Map(sorted.map((node) => [node, this.distance(node)]));
    return sorted.sort((a, b) => (distances.get(a) ?? 0) - (distances.get(b) ?? 0));
  }

  /** How long the slowest of `nodes` may take before another replica is asked as well. */
  patienceMillis(nodes: readonly NodeInfo[], timeoutMillis: number): number {
    const { speculationMillisMin, speculationMillisMax } = this.options;
    let millis = speculationMillisMin;
    for (const { hostId } of nodes) {
      millis = Math.max(
        millis,
        this.latencies.percentileMillis(hostId) ?? 2 * speculationMillisMin,
      );
    }
    return Math.min(millis, speculationMillisMax, timeoutMillis / 2);
  }

  private distance(node: NodeInfo): number {
    if (this.isSelf(node)) return -1;
    const { self, links } = this.deps;
    const millis = links.latencyMillis(node.hostId) ?? UNKNOWN_MILLIS;
    return node.datacenter === self.datacenter ? millis : millis + FAR_MILLIS;
  }
}

/** A node of which nothing is known is tried before slow ones. */
const UNKNOWN_MILLIS = 1;
const FAR_MILLIS = 1e6;

const TIMEOUT_CODES: ReadonlySet<LinkErrorCode> = new Set(['TIMEOUT', 'UNREACHABLE', 'STALE']);

/** Time outs as the protocol's reason, everything else as unknown. A peer that is behind did not catch up in time. */
export function reasonOf(error: LinkError): number {
  return TIMEOUT_CODES.has(error.code) ? Reason.TIMEOUT : Reason.UNKNOWN;
}

/** The epoch by which a peer refused a request of `epoch`, and to which this node has to catch up; 0: there is none. */
export function staleEpochOf(error: unknown, epoch: number): number {
  const isStale = error instanceof LinkError && error.code === 'STALE' && error.epoch > epoch;
  return isStale ? error.epoch : 0;
}

/** As errors carry them. */
export function failureReasons(failures: readonly ReplicaFailure[]): FailureReason[] {
  return failures.map(({ node, reasonCode }) => ({
    endpoint: addressBytes(node.address),
    reasonCode,
  }));
}

/** Whether nothing worse happened than that answers did not come. */
export function areTimeouts(failures: readonly ReplicaFailure[]): boolean {
  return failures.every(({ reasonCode }) => reasonCode === Reason.TIMEOUT);
}

/** 4 or 16 bytes; an address that is none (a name) shows as 0.0.0.0. */
export function addressBytes(text: string): Uint8Array {
  const v4 = text.replace(/^::ffff:/, '').split('.');
  if (v4.length === 4) return Uint8Array.from(v4, Number);
  const halves = text.split('::');
  if (!text.includes(':') || halves.length > 2) return new Uint8Array(4);
  const groups = (part: string | undefined) =>
    part === undefined || part === '' ? [] : part.split(':').map((hex) => Number.parseInt(hex, 16));
  const head = groups(halves[0]);
  const tail = groups(halves[1]);
  const middle = new Array(Math.max(0, 8 - head.length - tail.length)).fill(0);
  return Uint8Array.from([...head, ...middle, ...tail].slice(0, 8).flatMap((g) => [g >> 8, g]));
}

/** Hears how a write or a read ended, once. */
export type Done = (error: CqlError | null) => void;
