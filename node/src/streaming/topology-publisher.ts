/**
 * In which order a node takes a new topology and schema up: what has to be there for them first, then all workers, then what
 * it starts, and only then do others hear that this node has them.
 *
 * Both come from one position of the log, and a worker is told of both at once. If it knew of a table and not of an operation that
 * began before the table was made, it would take writes of the table without those who gain the ranges; and these get nothing of
 * tables that are made later than the operation begins.
 */
import type { ClusterState } from '../cluster/cluster-state.ts';
import type { DataMovements } from './data-movements.ts';
import { type StreamClock, sleep } from './ports.ts';

/** @property state as the log has it, with the schema */
export interface Position {
  readonly state: ClusterState;
}

export interface TopologyPublisherDeps<At extends Position, Step> {
  /** As the log has it now, and what else workers are told. */
  position(): At;
  /** Takes the schema of a position up, calls `tell`, lets go of what is no more. @param tell step null: the workers know the schema */
  followSchema(state: ClusterState, tell: (step: Step | null) => Promise<void>): Promise<void>;
  readonly movements: Pick<DataMovements, 'before' | 'after'> | null;
  /** Tells all workers; resolves when each of them goes by it. */
  tell(at: At, step: Step | null): Promise<void>;
  /** All workers go by this. */
  reached(at: At): void;
  readonly clock: StreamClock;
  /** It is tried again. */
  failed(error: unknown): void;
}

const RETRY_MILLIS = 1_000;

export class TopologyPublisher<At extends Position, Step> {
  private readonly deps: TopologyPublisherDeps<At, Step>;
  private epoch = 0;
  private waiting: { readonly epoch: number; go(): void }[] = [];
  private running: Promise<unknown> = Promise.resolve();
  private next: Promise<unknown> | null = null;
  private isStopped = false;

  constructor(deps: TopologyPublisherDeps<At, Step>) {
    this.deps = deps;
  }

  /**
   * Something has changed: one run after another, one for all who ask meanwhile.
   * @returns when it was tried to tell of it: null, or what it failed with; then it is tried again
   */
  follow(): Promise<unknown> {
    this.next ??= this.running.then(() => {
      this.next = null;
      this.running = this.publish().then(
        () => null,
        (error: unknown) => {
          this.again(error);
          return error;
        },
      );
      return this.running;
    });
    return this.next;
  }

  /** Resolves when all workers go by this topology or a later one. */
  reached(epoch: number): Promise<void> {
    if (epoch <= this.epoch) return Promise.resolve();
    return new Promise((resolve) => {
      this.waiting.push({ epoch, go: resolve });
    });
  }

  stop(): void {
    this.isStopped = true;
  }

  private async publish(): Promise<void> {
    if (this.isStopped) return;
    const { deps } = this;
    const at = deps.position();
    const { state } = at;
    await deps.followSchema(state, async (step) => {
      if (state.topologyEpoch > this.epoch) await deps.movements?.before(state);
      await deps.tell(at, step);
      deps.movements?.after(state);
      this.reach(state.topologyEpoch);
      deps.reached(at);
    });
  }

  private reach(epoch: number): void {
    this.epoch = epoch;
    const ready = this.waiting.filter((one) => one.epoch <= epoch);
    this.waiting = this.waiting.filter((one) => one.epoch > epoch);
    for (const { go } of ready) go();
  }

  private again(error: unknown): void {
    if (this.isStopped) return;
    this.deps.failed(error);
    void sleep(this.deps.clock, RETRY_MILLIS).then(() => this.follow());
  }
}
