/** Topology changes that people ask for, at any node: planned there, proposed, and again when others were faster. */
import type { Liveness, OperationCommand } from './cluster-state.ts';
import type { OperationRefusal } from './operation-rules.ts';
import type { ClusterClock } from './ports.ts';
import type { TopologyLog } from './topology-driver.ts';
import {
  planCancel,
  planLeave,
  planMove,
  type TopologyPlan,
  type TopologyView,
} from './topology-plans.ts';

/** It cannot be, or could not in time; nothing was changed. The message says why, and what to do. */
export class TopologyRefusedError extends Error {
  readonly code: OperationRefusal['code'];
  constructor({ code, reason }: OperationRefusal) {
    super(reason);
    this.name = 'TopologyRefusedError';
    this.code = code;
  }
}

export interface TopologyRequestsDeps {
  readonly hostId: string;
  readonly log: Pick<TopologyLog, 'current' | 'propose'>;
  readonly liveness: Liveness;
  readonly clock: ClusterClock;
  /** UUID text. */
  newId(): string;
}

const PROPOSE_MILLIS = 10_000;
const RETRY_MILLIS = 200;
const RETRY_MILLIS_MAX = 5_000;

export class TopologyRequests {
  private readonly deps: TopologyRequestsDeps;

  constructor(deps: TopologyRequestsDeps) {
    this.deps = deps;
  }

  /**
   * Begins that a node gives up all it has.
   * @param dead it is down for good
   * @param waitMillis for operations on the same ranges, at most
   * @returns id of the operation, which has begun
   * @throws TopologyRefusedError, MetadataError
   */
  leave(
    node: { readonly hostId: string; readonly dead: boolean },
    waitMillis = 0,
  ): Promise<string> {
    const id = this.deps.newId();
    return this.begin(id, (view) => planLeave(view, { id, ...node }), waitMillis);
  }

  /**
   * Begins that a node takes other tokens.
   * @param move tokens: ascending, on the grid
   * @param waitMillis for operations on the same ranges, at most
   * @returns id of the operation, which has begun
   * @throws TopologyRefusedError, MetadataError
   */
  move(
    move: { readonly hostId: string; readonly tokens: readonly bigint[] },
    waitMillis = 0,
  ): Promise<string> {
    const id = this.deps.newId();
    return this.begin(id, (view) => planMove(view, { id, ...move }), waitMillis);
  }

  /** Undoes an operation that still streams. @throws TopologyRefusedError, MetadataError */
  async cancel(id: string, reason: string): Promise<void> {
    await this.begin(id, ({ state }) => planCancel(state, id, reason), 0);
  }

  private view(): TopologyView {
    const { hostId, liveness, log } = this.deps;
    return {
      state: log.current(),
      isAlive: (id) => id === hostId || liveness.isAlive(id),
    };
  }

  private async begin(
    id: string,
    plan: (view: TopologyView) => TopologyPlan,
    waitMillis: number,
  ): Promise<string> {
    const { clock } = this.deps;
    const deadline = clock.nowMillis() + Math.max(waitMillis, PROPOSE_MILLIS);
    const waitDeadline = clock.nowMillis() + waitMillis;
    for (let pause = RETRY_MILLIS; ; pause = Math.min(RETRY_MILLIS_MAX, pause * 2)) {
      const refusal = await this.tryOnce(plan(this.view()));
      if (refusal === null) return id;
      const { code } = refusal;
      // Another was planned at the same time: it is known what this one is now.
      const mayWait = code === 'STALE' ? deadline : code === 'WAIT' ? waitDeadline : 0;
      if (clock.nowMillis() + pause > mayWait) throw new TopologyRefusedError(refusal);
      await new Promise<void>((resolve) => clock.after(pause, resolve));
    }
  }

  private async tryOnce(plan: TopologyPlan): Promise<OperationRefusal | null> {
    if ('refusal' in plan) return plan.refusal;
    const command: OperationCommand = plan.command;
    const { reason } = await this.deps.log.propose(command, PROPOSE_MILLIS);
    // What it was planned on was not so any more: planned again, it is said what is in the way.
    return reason === null ? null : { code: 'STALE', reason };
  }
}
