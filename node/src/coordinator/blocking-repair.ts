/**
 * Brings what was read to as many replicas as the level asks for before it is shown, so that no later quorum sees less.
 * If one is slow to take it, or fails, what it lacks goes to another replica, which then stands in for it.
 * Source: Cassandra's BlockingReadRepair.
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import type { TableHandle } from '../storage/record-source.ts';
import type { CoordinatorContext } from './context.ts';
import type { Delayed } from './delays.ts';
import { Level } from './levels.ts';
import { type RepairEntry, sendRepair } from './repair.ts';
import { type Move, type Replicated, Tally } from './replicated.ts';

export interface RepairRequest {
  readonly replicated: Replicated;
  readonly handle: TableHandle;
  readonly level: number;
  readonly timeoutMillis: number;
  /** Replicas that may stand in, the best first. */
  readonly spares: readonly NodeInfo[];
  /** Of a range that moves: those that own it before and after, and have to have as much, are asked as well. */
  readonly move?: Move | null;
}

/** Why what was read is not shown. */
export interface RepairFailure {
  /** Replicas that did not take a repair. */
  readonly lost: readonly NodeInfo[];
  /** By which one of them refused: the read has to be begun again; 0: none did. */
  readonly staleEpoch: number;
}

/** A replica that has answered, and what it lacks of the answer: perhaps nothing. */
export interface RepairPart {
  readonly node: NodeInfo;
  readonly entries: readonly RepairEntry[];
}

class BlockingRepair implements Delayed {
  private readonly context: CoordinatorContext;
  private readonly request: RepairRequest;
  private readonly spares: NodeInfo[];
  private readonly tally: Tally;
  /** Of those that own the range when it is not read where it is now; null: it does not move. */
  private readonly others: Tally | null;
  /** Have been sent something and not answered; nobody stands in for them yet. */
  private readonly slow = new Set<RepairPart>();
  private pendingCount = 0;
  private readonly lost: NodeInfo[] = [];
  private staleEpoch = 0;
  private done: ((failure: RepairFailure | null) => void) | null;

  constructor(
    context: CoordinatorContext,
    request: RepairRequest,
    done: (failure: RepairFailure | null) => void,
  ) {
    this.context = context;
    this.request = request;
    this.spares = request.spares.slice();
    this.tally = new Tally(request.replicated, request.level);
    this.others = request.move ? othersOf(request.replicated, request.level) : null;
    this.done = done;
  }

  private has(node: NodeInfo): void {
    const { move } = this.request;
    const isExtra = move?.extras.includes(node) === true;
    if (!isExtra) this.tally.add(node);
    if (isExtra || move?.kept.includes(node) === true) this.others?.add(node);
  }

  private get isMet(): boolean {
    return this.tally.isMet && this.others?.isMet !== false;
  }

  start(parts: readonly RepairPart[]): void {
    const behind = parts.filter(({ entries }) => entries.length > 0);
    for (const { node, entries } of parts) if (entries.length === 0) this.has(node);
    if (this.spares.length > 0 && behind.length > 0) {
      const patience = this.context.patienceMillis(
        behind.map(({ node }) => node),
        this.request.timeoutMillis,
      );
      this.context.delays.add(this, patience);
    }
    for (const part of behind) this.send(part);
    this.look();
  }

  private send(part: RepairPart): void {
    const { context, request } = this;
    const { node, entries } = part;
    this.pendingCount++;
    this.slow.add(part);
    const { handle, timeoutMillis } = request;
    const { epoch } = request.replicated;
    sendRepair(context, handle, epoch, node, entries, timeoutMillis).then((outcome) => {
      this.pendingCount--;
      const isCovered = !this.slow.delete(part);
      if (typeof outcome === 'number') this.staleEpoch = Math.max(this.staleEpoch, outcome);
      if (outcome === 'done') this.has(node);
      else {
        this.lost.push(node);
        if (!isCovered && this.done !== null) this.standIn(part);
      }
      this.look();
    });
  }

  delayed(): void {
    if (this.done === null) return;
    for (const part of [...this.slow]) {
      if (!this.standIn(part)) return;
      this.slow.delete(part);
      this.context.metrics.speculativeRetries++;
    }
  }

  private standIn({ node, entries }: RepairPart): boolean {
    const { replicated, level } = this.request;
    const isPerDatacenter = replicated.isPerDatacenter(level);
    const at = this.spares.findIndex(
      (spare) =>
        this.context.isAlive(spare) && (!isPerDatacenter || spare.datacenter === node.datacenter),
    );
    if (at < 0) return false;
    this.send({ node: this.spares.splice(at, 1)[0], entries });
    return true;
  }

  private look(): void {
    const { done } = this;
    if (done === null || (!this.isMet && this.pendingCount > 0)) return;
    this.done = null;
    done(this.isMet ? null : { lost: this.lost, staleEpoch: this.staleEpoch });
  }
}

function othersOf(replicated: Replicated, level: number): Tally {
  return new Tally(replicated, level === Level.ALL ? Level.QUORUM : level);
}

/**
 * Whether what `nodes` have is seen as well by those who read the range where it was, or will be: a quorum of its owners
 * there has it.
 */
export function isSeenByOthers(
  replicated: Replicated,
  level: number,
  { kept, extras }: Move,
  nodes: readonly NodeInfo[],
): boolean {
  const tally = othersOf(replicated, level);
  for (const node of nodes) if (kept.includes(node) || extras.includes(node)) tally.add(node);
  return tally.isMet;
}

/**
 * Those who own a range when it is read elsewhere, and may lack what `nodes` have and is about to be shown. Nobody: enough
 * of them have it, or cannot be asked.
 */
export function othersThan(
  context: CoordinatorContext,
  { replicated, level }: Pick<RepairRequest, 'replicated' | 'level'>,
  move: Move | null,
  nodes: readonly NodeInfo[],
): readonly NodeInfo[] {
  if (move === null || isSeenByOthers(replicated, level, move, nodes)) return [];
  const others = [...move.kept, ...move.extras].filter(
    (node) => !nodes.includes(node) && context.isAlive(node),
  );
  // A node that joins and dies takes nobody's reads away.
  return isSeenByOthers(replicated, level, move, [...nodes, ...others]) ? others : [];
}

/** @returns null: what was read may be shown. Never throws. */
export function repairBeforeShown(
  context: CoordinatorContext,
  request: RepairRequest,
  parts: readonly RepairPart[],
): Promise<RepairFailure | null> {
  return new Promise((resolve) => {
    new BlockingRepair(context, request, resolve).start(parts);
  });
}
