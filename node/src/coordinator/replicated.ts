/**
 * One keyspace's replication as requests see it: how many answers each consistency level asks for, and whether enough
 * replicas are there. Required numbers come from the replication factor, not from how many nodes there are.
 * Source: Cassandra's ConsistencyLevel.blockFor, ReplicaPlans.assureSufficientLiveReplicas.
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import type { Placement, Replication } from '../cluster/ring.ts';
import { isReplicated, replicationFactors } from '../cluster/ring.ts';
import { type CqlError, unavailable } from '../common/errors.ts';
import { isDatacenterLocal, Level } from './levels.ts';

const NOBODY: readonly NodeInfo[] = [];

function quorum(replicas: number): number {
  return Math.floor(replicas / 2) + 1;
}

function countIn(datacenter: string, nodes: readonly NodeInfo[]): number {
  let count = 0;
  for (const node of nodes) if (node.datacenter === datacenter) count++;
  return count;
}

/** A range that moves, as its readers see it. */
export interface Move {
  /** Own it before and after. */
  readonly kept: readonly NodeInfo[];
  /** Are written to and not read. */
  readonly extras: readonly NodeInfo[];
}

export class Replicated {
  /** False: every node has rows of its own (LocalStrategy), and requests never leave the node. */
  readonly isReplicated: boolean;
  readonly isNetworkTopology: boolean;
  /** Who is read. */
  readonly placement: Placement;
  /** Who is written to: the same where nothing moves. */
  readonly writes: Placement;
  readonly epoch: number;
  /** Of the coordinator. */
  readonly datacenter: string;
  /** Nodes of each datacenter that make a quorum there; empty unless the strategy knows datacenters. */
  readonly quorums: ReadonlyMap<string, number>;
  private readonly required: readonly number[];

  /** @param writes where some ranges move: who is written to @param epoch of the topology that this is of */
  constructor(
    replication: Replication,
    placement: Placement,
    datacenter: string,
    writes: Placement = placement,
    epoch = 0,
  ) {
    this.epoch = epoch;
    this.placement = placement;
    this.writes = writes;
    this.datacenter = datacenter;
    this.isReplicated = isReplicated(replication);
    this.isNetworkTopology = (replication['class'] ?? '').endsWith('NetworkTopologyStrategy');
    const factors = replicationFactors(replication);
    const all = this.isReplicated
      ? [...factors.values()].reduce((sum, count) => sum + count, 0)
      : 1;
    const quorums = new Map<string, number>();
    for (const [name, factor] of factors) if (name !== null) quorums.set(name, quorum(factor));
    this.quorums = quorums;
    const localQuorum = this.isNetworkTopology ? (quorums.get(datacenter) ?? 1) : quorum(all);
    const eachQuorum = this.isNetworkTopology
      ? [...quorums.values()].reduce((sum, count) => sum + count, 0)
      : quorum(all);
    const required: number[] = new Array(11).fill(1);
    required[Level.TWO] = 2;
    required[Level.THREE] = 3;
    required[Level.QUORUM] = quorum(all);
    required[Level.ALL] = all;
    required[Level.LOCAL_QUORUM] = localQuorum;
    required[Level.EACH_QUORUM] = eachQuorum;
    required[Level.SERIAL] = quorum(all);
    required[Level.LOCAL_SERIAL] = localQuorum;
    this.required = required;
  }

  /**
   * Answers that `level` waits for.
   * @param extras of a write: those that are written to and not read. Each of them that counts is one answer more, so that
   * a quorum of those that are read, before and after the range has moved, is among the answers.
   */
  blockFor(level: number, extras: readonly NodeInfo[] = NOBODY): number {
    let required = this.required[level];
    if (extras.length === 0 || level === Level.ANY) return required;
    for (const node of extras) if (this.counts(level, node)) required++;
    return required;
  }

  /** Answers of each datacenter that `EACH_QUORUM` waits for. */
  eachQuorum(extras: readonly NodeInfo[]): ReadonlyMap<string, number> {
    if (extras.length === 0) return this.quorums;
    const needed = new Map<string, number>();
    for (const [name, own] of this.quorums) needed.set(name, own + countIn(name, extras));
    return needed;
  }

  /** How the range of a key moves; null: it does not. */
  moveOf(key: Uint8Array): Move | null {
    const { writes } = this;
    return writes === this.placement ? null : this.moveAmong(writes.ofKey(key));
  }

  /** `moveOf` of a range by those who are written to, as `writes` gives them. */
  moveAmong(replicas: readonly NodeInfo[]): Move | null {
    const { writes } = this;
    const extras = writes.extrasOf(replicas);
    return extras.length === 0 ? null : { extras, kept: writes.keptOf(replicas) };
  }

  /** Whether a node's answer counts at `level`. */
  counts(level: number, node: NodeInfo): boolean {
    return !isDatacenterLocal(level) || node.datacenter === this.datacenter;
  }

  /** Each datacenter has to have a quorum of its own. */
  isPerDatacenter(level: number): boolean {
    return level === Level.EACH_QUORUM && this.isNetworkTopology;
  }

  /**
   * @param live replicas that are alive @param extras as for `blockFor`, dead or alive
   * @returns Unavailable if they are too few for `level`, or null
   */
  refusal(
    level: number,
    live: readonly NodeInfo[],
    extras: readonly NodeInfo[] = NOBODY,
  ): CqlError | null {
    if (level === Level.ANY) return null;
    if (!this.isReplicated) {
      const own = this.required[level];
      return own > 1 ? unavailable(level, own, 1) : null;
    }
    if (this.isPerDatacenter(level)) return this.refusalPerDatacenter(level, live, extras);
    let alive = 0;
    for (let i = 0; i < live.length; i++) if (this.counts(level, live[i])) alive++;
    const required = this.blockFor(level, extras);
    return alive < required ? unavailable(level, required, alive) : null;
  }

  private refusalPerDatacenter(
    level: number,
    live: readonly NodeInfo[],
    extras: readonly NodeInfo[],
  ): CqlError | null {
    for (const [datacenter, required] of this.eachQuorum(extras)) {
      const alive = countIn(datacenter, live);
      if (alive < required) return unavailable(level, required, alive, datacenter);
    }
    return null;
  }
}

/** Counts what came of one request to several replicas. */
export class Tally {
  readonly level: number;
  readonly required: number;
  received = 0;
  private readonly replicated: Replicated;
  private readonly extras: readonly NodeInfo[];
  private readonly byDatacenter: Map<string, number> | null;

  /** @param extras of a write, as for `Replicated.blockFor` */
  constructor(replicated: Replicated, level: number, extras: readonly NodeInfo[] = NOBODY) {
    this.replicated = replicated;
    this.level = level;
    this.extras = extras;
    this.required = replicated.blockFor(level, extras);
    this.byDatacenter = replicated.isPerDatacenter(level) ? new Map() : null;
  }

  add(node: NodeInfo): void {
    if (!this.replicated.counts(this.level, node)) return;
    this.received++;
    const { byDatacenter } = this;
    byDatacenter?.set(node.datacenter, (byDatacenter.get(node.datacenter) ?? 0) + 1);
  }

  get isMet(): boolean {
    if (this.byDatacenter === null) return this.received >= this.required;
    for (const [datacenter, needed] of this.replicated.eachQuorum(this.extras)) {
      if ((this.byDatacenter.get(datacenter) ?? 0) < needed) return false;
    }
    return true;
  }

  /** Whether it can still be met if all of `pending` answer. */
  canBeMet(pending: readonly NodeInfo[]): boolean {
    if (this.byDatacenter === null) {
      let possible = this.received;
      for (const node of pending) if (this.replicated.counts(this.level, node)) possible++;
      return possible >= this.required;
    }
    for (const [datacenter, needed] of this.replicated.eachQuorum(this.extras)) {
      const more = countIn(datacenter, pending);
      if ((this.byDatacenter.get(datacenter) ?? 0) + more < needed) return false;
    }
    return true;
  }

  /** What a client is told was received: never enough, when it was not. */
  get told(): {
    readonly consistency: number;
    readonly received: number;
    readonly required: number;
  } {
    return {
      consistency: this.level,
      received: Math.max(0, Math.min(this.received, this.required - 1)),
      required: this.required,
    };
  }
}
