/**
 * Brings topology changes forward. It runs on every node and acts on the one that leads the metadata log; all it needs to
 * go on after another is in the log.
 *
 *     node is joining ─▶ begin ─▶ all gaining nodes are done ─▶ switch ─▶ all know it ─▶ finish
 *     a node that gets data is down for long ─▶ cancel
 */
import type {
  ClusterCommand,
  ClusterState,
  Liveness,
  NodeInfo,
  TopologyOperation,
} from './cluster-state.ts';
import { describeLeftOver, isNothing, type LeftOver } from './left-over.ts';
import { describeOperation } from './operation-rules.ts';
import { gainersOf, operationOfNode } from './operations.ts';
import type { ClusterClock, ClusterLogger } from './ports.ts';
import { goneOf, type OwnerGroup, ownerGroups, refusalOfFinish } from './topology-barrier.ts';
import { planEntry } from './topology-plans.ts';
import { describeStreaming } from './topology-waits.ts';

/** The part of the metadata log that is used. */
export interface TopologyLog {
  current(): ClusterState;
  readonly isLeader: boolean;
  /** Null: not a member. */
  status(): { readonly voters: readonly string[] } | null;
  /** Whether those vote on the log who should. */
  readonly votersSettled: boolean;
  onChange(listener: () => void): () => void;
  propose(
    command: ClusterCommand,
    timeoutMillis: number,
  ): Promise<{ readonly applied: boolean; readonly reason: string | null }>;
}

export interface TopologyDriverDeps {
  readonly hostId: string;
  readonly log: TopologyLog;
  readonly liveness: Liveness;
  readonly clock: ClusterClock;
  readonly logger: ClusterLogger;
  /** UUID text. */
  newId(): string;
  /**
   * Asks a member, this node among them, whether all of its workers know the topology of this epoch, or a later one. Not
   * reached or no answer in time: false.
   */
  reached(node: NodeInfo, epoch: number): Promise<boolean>;
  /**
   * Asks a node that leaves, perhaps this one, what it still keeps for others; null: it does not answer. Not given: nodes
   * keep nothing for each other.
   */
  leftOver?(node: NodeInfo): Promise<LeftOver | null>;
}

export interface TopologyDriverOptions {
  /** A new node that is down for so long has left; a change by which somebody gets data who is down for so long is undone. */
  readonly joinGiveUpMillis: number;
  /** A node that leaves and is down is waited for so long: it may keep something for others. */
  readonly leaveGiveUpMillis: number;
  /** Between two looks at what there is to do. */
  readonly lookMillis: number;
}

export const TOPOLOGY_DRIVER_DEFAULTS: TopologyDriverOptions = {
  joinGiveUpMillis: 600_000,
  leaveGiveUpMillis: 60_000,
  lookMillis: 500,
};

const PROPOSE_MILLIS = 10_000;
/** A node that cannot join now is looked at again after this, if nothing changes before. */
const WAIT_MILLIS = 5_000;
/** Nodes that are asked at one time. */
const ASKS_MAX = 64;

/** What is worked out of an operation once: others in progress do not change it, the schema may. */
interface Facts {
  readonly schema: ClusterState['schema'];
  readonly gainers: ReadonlySet<string>;
  readonly groups: readonly OwnerGroup[];
  /** Know of the switch. */
  readonly reached: Set<string>;
}

/** Why a node cannot begin to join now. */
interface Waiting {
  readonly topologyEpoch: number;
  readonly schema: ClusterState['schema'];
  /** Planned again then, whatever has changed. */
  readonly until: number;
  readonly reason: string;
}

export class TopologyDriver {
  private readonly deps: TopologyDriverDeps;
  private readonly options: TopologyDriverOptions;
  private readonly facts = new Map<string, Facts>();
  private readonly waits = new Map<string, Waiting>();
  private readonly downSince = new Map<string, number>();
  private reasons = new Map<string, string>();
  private readonly stops: (() => void)[];
  private looking: Promise<void> | null = null;
  private lookAgain = false;
  private stopped = false;

  constructor(deps: TopologyDriverDeps, options: Partial<TopologyDriverOptions> = {}) {
    this.deps = deps;
    this.options = { ...TOPOLOGY_DRIVER_DEFAULTS, ...options };
    this.stops = [
      deps.clock.every(this.options.lookMillis, () => this.look()),
      deps.log.onChange(() => this.look()),
    ];
  }

  /** What nodes and operations wait for, by host id or id, as the leader sees it; elsewhere empty. For people. */
  waiting(): ReadonlyMap<string, string> {
    return this.reasons;
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const stop of this.stops) stop();
    await this.looking;
  }

  private isAlive(hostId: string): boolean {
    return hostId === this.deps.hostId || this.deps.liveness.isAlive(hostId);
  }

  private look(): void {
    if (this.stopped) return;
    if (this.looking !== null) {
      this.lookAgain = true;
      return;
    }
    this.lookAgain = false;
    this.looking = this.drive()
      .catch((error: unknown) => {
        // No majority, or not the leader any more: whoever leads looks again.
        this.deps.logger.info('a topology change could not go on now', { error });
      })
      .finally(() => {
        this.looking = null;
        if (this.lookAgain) this.look();
      });
  }

  private async drive(): Promise<void> {
    while (!this.stopped && this.deps.log.isLeader) {
      const reasons = new Map<string, string>();
      const command = await this.nextCommand(reasons);
      this.reasons = reasons;
      if (command === null) return;
      // Whatever became of it is in the state.
      const { reason } = await this.deps.log.propose(command, PROPOSE_MILLIS);
      if (reason === null) continue;
      this.deps.logger.info('a step of a topology change was refused', {
        step: command.kind,
        reason,
      });
      return;
    }
    this.reasons = new Map();
    this.downSince.clear();
    this.facts.clear();
    this.waits.clear();
  }

  /** @param reasons gets what others wait for */
  private async nextCommand(reasons: Map<string, string>): Promise<ClusterCommand | null> {
    const state = this.deps.log.current();
    this.noteDown(state);
    const ids = new Set(state.operations.map(({ id }) => id));
    for (const id of this.facts.keys()) if (!ids.has(id)) this.facts.delete(id);
    for (const operation of state.operations) {
      const { id, phase } = operation;
      const command =
        phase === 'streaming'
          ? this.afterStreaming(state, operation)
          : await this.afterSwitch(state, operation);
      if (typeof command !== 'string') return command;
      reasons.set(id, command);
    }
    for (const node of state.nodes.values()) {
      if (node.state !== 'joining' || operationOfNode(state, node.hostId) !== null) continue;
      const command = this.entryOf(state, node);
      if (typeof command === 'string') reasons.set(node.hostId, command);
      else if (command.kind !== 'begin-operation') return command;
      else if (await this.deps.reached(node, state.topologyEpoch)) {
        this.deps.logger.info('a topology change begins', {
          what: describeOperation(command.plan),
        });
        return command;
      } else {
        // From the first entry on every write waits for it, too.
        reasons.set(node.hostId, 'it does not take writes yet');
      }
    }
    return null;
  }

  /** Since when nodes that a change needs are down, as long as this node leads. */
  private noteDown(state: ClusterState): void {
    const { nodes, operations } = state;
    const joining = [...nodes.values()].filter((node) => node.state === 'joining');
    const needed = new Set(joining.map(({ hostId }) => hostId));
    for (const hostId of this.waits.keys()) if (!needed.has(hostId)) this.waits.delete(hostId);
    for (const operation of operations) {
      needed.add(operation.hostId);
      for (const gainer of this.factsOf(state, operation).gainers) needed.add(gainer);
    }
    for (const hostId of this.downSince.keys()) {
      if (!needed.has(hostId)) this.downSince.delete(hostId);
    }
    for (const hostId of needed) {
      if (this.isAlive(hostId)) this.downSince.delete(hostId);
      else if (!this.downSince.has(hostId)) {
        this.downSince.set(hostId, this.deps.clock.nowMillis());
      }
    }
  }

  /** Milliseconds; null: it is up. */
  private downFor(hostId: string): number | null {
    const since = this.downSince.get(hostId);
    return since === undefined ? null : this.deps.clock.nowMillis() - since;
  }

  private isGivenUp(hostId: string): boolean {
    return (this.downFor(hostId) ?? 0) >= this.options.joinGiveUpMillis;
  }

  private givenUpReason(hostId: string): string {
    const seconds = Math.round(this.options.joinGiveUpMillis / 1000);
    return `the node ${hostId} was down for ${seconds} s`;
  }

  /** @returns what to do, or what is waited for */
  private afterStreaming(
    state: ClusterState,
    operation: TopologyOperation,
  ): ClusterCommand | string {
    const { id, kind, hostId, done } = operation;
    const { gainers } = this.factsOf(state, operation);
    const missing = [...gainers].filter((gainer) => !done.includes(gainer));
    if (missing.length === 0) return { kind: 'switch-operation', id };
    // Who leaves, dead or not, gets nothing.
    const needed = kind === 'leave' ? missing : [hostId, ...missing];
    const lost = needed.find((one) => this.isGivenUp(one));
    if (lost !== undefined) {
      const reason = this.givenUpReason(lost);
      this.deps.logger.warn('a topology change is cancelled', { id, reason });
      return { kind: 'cancel-operation', id, reason };
    }
    const view = { state, isAlive: (one: string) => this.isAlive(one) };
    return describeStreaming(view, operation, {
      missing,
      downFor: (one) => this.downFor(one),
      giveUpMillis: this.options.joinGiveUpMillis,
    });
  }

  private async afterSwitch(
    state: ClusterState,
    operation: TopologyOperation,
  ): Promise<ClusterCommand | string> {
    const { id, kind, hostId } = operation;
    // Its process may stop then, and with it the majority.
    const votes = kind === 'leave' && this.deps.log.status()?.voters.includes(hostId) === true;
    if (votes && this.isAlive(hostId)) return 'the node still votes on the metadata log';
    // When it has ended another node may die at once.
    const isFewer = kind === 'leave' || kind === 'replace';
    if (isFewer && !this.deps.log.votersSettled) {
      return 'others are to vote on the metadata log in the place of the node that goes';
    }
    const { groups, reached } = this.factsOf(state, operation);
    const up = [...state.nodes.values()].filter(
      (node) => node.state !== 'left' && this.isAlive(node.hostId),
    );
    await this.ask(up, operation, reached);
    const late = up.filter(({ hostId }) => !reached.has(hostId));
    if (late.length > 0) {
      return `these do not know of the switch yet: ${late.map(({ hostId }) => hostId).join(', ')}`;
    }
    const reason = refusalOfFinish(goneOf(state, operation), groups, reached, (one) =>
      this.isAlive(one),
    );
    return (
      reason ?? (await this.refusalOfLeftOver(state, operation)) ?? { kind: 'finish-operation', id }
    );
  }

  /** What a node that leaves has to bring to others first; null: nothing, or it is dead. */
  private async refusalOfLeftOver(
    { nodes }: ClusterState,
    { kind, hostId, dead }: TopologyOperation,
  ): Promise<string | null> {
    const node = nodes.get(hostId);
    if (kind !== 'leave' || dead === true || node === undefined) return null;
    if (this.deps.leftOver === undefined) return null;
    const downMillis = this.downFor(hostId);
    if (downMillis !== null) {
      const leftMillis = this.options.leaveGiveUpMillis - downMillis;
      if (leftMillis > 0) {
        return `the node that leaves is down, and may keep writes for others. Start it; it is waited for another ${Math.ceil(leftMillis / 1000)} s`;
      }
      const reason = 'hints that it kept for others are lost';
      this.deps.logger.warn('a node that leaves is dead', { hostId, reason });
      return null;
    }
    const left = await this.deps.leftOver(node);
    if (left === null) return 'the node that leaves does not say what it still keeps for others';
    if (isNothing(left)) return null;
    return `the node that leaves brings what it keeps for others to those who stay: ${describeLeftOver(left)}`;
  }

  private async ask(
    nodes: readonly NodeInfo[],
    { phaseEpoch }: TopologyOperation,
    reached: Set<string>,
  ): Promise<void> {
    const asked = nodes.filter(({ hostId }) => !reached.has(hostId));
    for (let i = 0; i < asked.length && !this.stopped; i += ASKS_MAX) {
      const answers = asked.slice(i, i + ASKS_MAX).map(async (node) => {
        if (await this.deps.reached(node, phaseEpoch)) reached.add(node.hostId);
      });
      await Promise.all(answers);
    }
  }

  private factsOf(state: ClusterState, operation: TopologyOperation): Facts {
    const { schema } = state;
    const { id } = operation;
    const known = this.facts.get(id);
    if (known?.schema === schema) return known;
    const gainers = gainersOf(state, operation);
    const groups = ownerGroups(state, operation);
    const facts = { schema, gainers, groups, reached: known?.reached ?? new Set<string>() };
    this.facts.set(id, facts);
    return facts;
  }

  /** What becomes of a node that is joining. */
  private entryOf(state: ClusterState, node: NodeInfo): ClusterCommand | string {
    const { hostId } = node;
    if (this.isGivenUp(hostId)) return this.dismissal(node, this.givenUpReason(hostId));
    if (!this.isAlive(hostId)) return 'it is down';
    const { topologyEpoch, schema } = state;
    const now = this.deps.clock.nowMillis();
    const waits = this.waits.get(hostId);
    if (waits?.topologyEpoch === topologyEpoch && waits.schema === schema && now < waits.until) {
      return waits.reason;
    }
    const view = { state, isAlive: (id: string) => this.isAlive(id) };
    const plan = planEntry(view, { id: this.deps.newId(), hostId });
    if ('command' in plan) return plan.command;
    const { code, reason } = plan.refusal;
    if (code === 'INVALID') return this.dismissal(node, reason);
    this.waits.set(hostId, { topologyEpoch, schema, until: now + WAIT_MILLIS, reason });
    return reason;
  }

  /** It cannot join, now or later: it hears that it has left, and its tokens are free. */
  private dismissal(node: NodeInfo, reason: string): ClusterCommand {
    const { replaces: _, ...rest } = node;
    this.deps.logger.warn('a node cannot join', { hostId: node.hostId, reason });
    return { kind: 'update-node', node: { ...rest, tokens: [], state: 'left' } };
  }
}
