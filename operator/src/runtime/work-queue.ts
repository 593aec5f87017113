/** Keys that wait to be worked on: each once, one at a time, later and later if it fails. */
import type { Clock } from '../ports/clock.ts';

export interface WorkQueueOptions {
  /** Worked on at the same time. */
  readonly workers: number;
  /** Between two turns of one key, at least. */
  readonly pauseMillis: number;
  /** After a failure, doubled with each one that follows. */
  readonly retryMillis: number;
  readonly retryMillisMax: number;
  /** Beyond it, new keys are not taken; those that ask again later find room. */
  readonly keysMax: number;
}

export const WORK_QUEUE_DEFAULTS: WorkQueueOptions = {
  workers: 4,
  pauseMillis: 200,
  retryMillis: 500,
  retryMillisMax: 60_000,
  keysMax: 10_000,
};

interface Entry {
  state: 'idle' | 'waiting' | 'working';
  /** Something has changed while it was worked on. */
  again: boolean;
  failures: number;
  /** Not before then. */
  earliestMillis: number;
  dueMillis: number;
  cancel: (() => void) | null;
}

export class WorkQueue {
  private readonly clock: Clock;
  private readonly work: (key: string) => Promise<number | null>;
  private readonly options: WorkQueueOptions;
  private readonly entries = new Map<string, Entry>();
  private readonly ready: string[] = [];
  private readonly running = new Set<Promise<void>>();
  private stopped = false;

  /** @param work resolves to the milliseconds after which it wants to be called again, or null; a failure is tried again */
  constructor(
    clock: Clock,
    work: (key: string) => Promise<number | null>,
    options: Partial<WorkQueueOptions> = {},
  ) {
    this.clock = clock;
    this.work = work;
    this.options = { ...WORK_QUEUE_DEFAULTS, ...options };
  }

  /** Keys that wait, are worked on, or come again later. */
  get size(): number {
    return this.entries.size;
  }

  /** As soon as it may. */
  add(key: string): void {
    this.schedule(key, 0);
  }

  /** Resolves when nothing is worked on any more. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const { cancel } of this.entries.values()) cancel?.();
    this.entries.clear();
    this.ready.length = 0;
    await Promise.all(this.running);
  }

  private schedule(key: string, delayMillis: number): void {
    if (this.stopped) return;
    let entry = this.entries.get(key);
    if (entry === undefined) {
      if (this.entries.size >= this.options.keysMax) return;
      const fresh = { again: false, failures: 0, earliestMillis: 0, dueMillis: 0, cancel: null };
      entry = { state: 'idle', ...fresh };
      this.entries.set(key, entry);
    }
    if (entry.state === 'working') {
      if (delayMillis === 0) entry.again = true;
      return;
    }
    const now = this.clock.nowMillis();
    const due = Math.max(now + delayMillis, entry.earliestMillis);
    if (entry.state === 'waiting' && entry.dueMillis <= due) return;
    entry.cancel?.();
    entry.state = 'waiting';
    entry.dueMillis = due;
    entry.cancel = this.clock.after(due - now, () => {
      entry.cancel = null;
      this.ready.push(key);
      this.fill();
    });
  }

  private fill(): void {
    while (!this.stopped && this.running.size < this.options.workers) {
      const key = this.ready.shift();
      if (key === undefined) return;
      const entry = this.entries.get(key);
      if (entry === undefined) continue;
      entry.state = 'working';
      entry.again = false;
      const run: Promise<void> = this.turn(key, entry).finally(() => {
        this.running.delete(run);
        this.fill();
      });
      this.running.add(run);
    }
  }

  private async turn(key: string, entry: Entry): Promise<void> {
    const { pauseMillis, retryMillis, retryMillisMax } = this.options;
    let next: number | null;
    try {
      next = await this.work(key);
      entry.failures = 0;
    } catch {
      // Whoever works has logged it.
      next = Math.min(retryMillisMax, retryMillis * 2 ** Math.min(entry.failures, 20));
      entry.failures++;
    }
    if (this.stopped) return;
    entry.state = 'idle';
    entry.earliestMillis =
      this.clock.nowMillis() + (entry.failures > 0 ? (next ?? 0) : pauseMillis);
    if (entry.again) this.schedule(key, 0);
    else if (next !== null) this.schedule(key, next);
    else this.entries.delete(key);
  }
}
