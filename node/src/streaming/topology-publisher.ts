/**
 * In which order a node takes a new topology up: what has to be there for it first, then all workers, then what it starts,
 * and only then do others hear that this node has it.
 */
import type { ClusterState } from '../cluster/cluster-state.ts';
import type { DataMovements } from './data-movements.ts';
import { type StreamClock, sleep } from './ports.ts';

export interface TopologyPublisherDeps<View extends { readonly state: ClusterState }> {
  /** As the log has it now, and what else workers are told. */
  view(): View;
  /**
   * The tables that there were when an operation began are known before it is.
   * @param isUrgent false: nothing waits for them
   */
  followSchema(isUrgent: boolean): Promise<void>;
  readonly movements: Pick<DataMovements, 'before' | 'after'> | null;
  /** Tells all workers; resolves when each of them goes by it. */
  tell(view: View): Promise<void>;
  /** All workers go by this. */
  reached(view: View): void;
  readonly clock: StreamClock;
  /** It is tried again. */
  failed(error: unknown): void;
}

const RETRY_MILLIS = 1_000;

export class TopologyPublisher<View extends { readonly state: ClusterState }> {
  private readonly deps: TopologyPublisherDeps<View>;
  private epoch = 0;
  private waiting: { readonly epoch: number; go(): void }[] = [];
  private running: Promise<void> = Promise.resolve();
  private next: Promise<void> | null = null;
  private isStopped = false;

  constructor(deps: TopologyPublisherDeps<View>) {
    this.deps = deps;
  }

  /** Something has changed. @returns when it was tried to tell of it: one run after another, one for all who ask meanwhile */
  follow(): Promise<void> {
    this.next ??= this.running.then(() => {
      this.next = null;
      this.running = this.publish().catch((error: unknown) => this.again(error));
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
    let view = deps.view();
    const isNew = view.state.topologyEpoch > this.epoch;
    await deps.followSchema(isNew);
    if (isNew) {
      view = deps.view();
      await deps.movements?.before(view.state);
    }
    await deps.tell(view);
    deps.movements?.after(view.state);
    this.reach(view.state.topologyEpoch);
    deps.reached(view);
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
