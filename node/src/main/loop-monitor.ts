/** Watches this thread's event loop, collections and heap. */
import {
  constants,
  type NodeGCPerformanceDetail,
  type PerformanceEntry,
  PerformanceObserver,
} from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

/** Upper bounds of the classes of delay, seconds; one class more is above them. */
export const LOOP_DELAY_BOUNDS: readonly number[] = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1,
];

// Each look wakes an idle loop: some 50 us of CPU.
const INTERVAL_MS = 20;

export type CollectionKind = 'minor' | 'major' | 'incremental' | 'weak';

const KINDS: ReadonlyMap<number, CollectionKind> = new Map([
  [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'],
  [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weak'],
]);

export interface CollectionStatus {
  readonly kind: CollectionKind;
  readonly count: number;
  readonly seconds: number;
}

type CollectionEntry = PerformanceEntry & { readonly detail: NodeGCPerformanceDetail };

/** Since the thread's start. */
export interface LoopStatus {
  /** How often a timer was late by as much, by the classes of `LOOP_DELAY_BOUNDS`. */
  readonly delayCounts: readonly number[];
  readonly delaySeconds: number;
  /** Time in which the loop was not waiting for events. */
  readonly activeSeconds: number;
  readonly collections: readonly CollectionStatus[];
  readonly heapUsedBytes: number;
}

/**
 * How late a timer fires that is due every 20 ms: a sample of what an event that comes at any moment has to wait. Kept
 * as counts by class, so that what happened between two readings is their difference.
 */
export class LoopMonitor {
  private readonly delayCounts = new Array<number>(LOOP_DELAY_BOUNDS.length + 1).fill(0);
  private delaySeconds = 0;
  private readonly collections = new Map<CollectionKind, { count: number; seconds: number }>();

  constructor() {
    let last = performance.now();
    setInterval(() => {
      const now = performance.now();
      this.addDelay(Math.max(0, now - last - INTERVAL_MS) / 1000);
      last = now;
    }, INTERVAL_MS).unref();
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const kind = KINDS.get((entry as CollectionEntry).detail.kind ?? 0);
        if (kind !== undefined) this.addCollection(kind, entry.duration / 1000);
      }
    }).observe({ entryTypes: ['gc'] });
  }

  private addDelay(seconds: number): void {
    let place = 0;
    while (place < LOOP_DELAY_BOUNDS.length && seconds > LOOP_DELAY_BOUNDS[place]) place++;
    this.delayCounts[place]++;
    this.delaySeconds += seconds;
  }

  private addCollection(kind: CollectionKind, seconds: number): void {
    const sum = this.collections.get(kind) ?? { count: 0, seconds: 0 };
    sum.count++;
    sum.seconds += seconds;
    this.collections.set(kind, sum);
  }

  status(): LoopStatus {
    return {
      delayCounts: [...this.delayCounts],
      delaySeconds: this.delaySeconds,
      activeSeconds: performance.eventLoopUtilization().active / 1000,
      collections: [...this.collections].map(([kind, sum]) => ({ kind, ...sum })),
      heapUsedBytes: getHeapStatistics().used_heap_size,
    };
  }
}
