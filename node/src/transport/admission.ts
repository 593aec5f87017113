/**
 * What all connections of a server may have in flight together. Connections that find no room wait in
 * line, so that a large frame is not starved by small ones.
 * @hot
 */
import type { TransportMetrics } from './metrics.ts';

/** A connection that waits for room. */
export interface Waiter {
  /** Bytes it needs to go on. */
  readonly neededBytes: number;
  /** Tries again; may get in line again. */
  retry(): void;
}

export interface AdmissionLimits {
  readonly requestsMax: number;
  readonly bytesMax: number;
}

/** Counts in the metrics' `requestsInFlight` and `bytesInFlight`. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #metrics: TransportMetrics;
  readonly #waiters = new Set<Waiter>();
  /** Set while a waiter tries again: its turn, whoever else waits. */
  #retrying: Waiter | null = null;

  constructor(limits: AdmissionLimits, metrics: TransportMetrics) {
    this.#limits = limits;
    this.#metrics = metrics;
  }

  /** Whether anybody waits. */
  get contended(): boolean {
    return this.#waiters.size > 0;
  }

  /** Whether there is room for `bytes` more, whoever waits. */
  fits(bytes: number): boolean {
    const { requestsMax, bytesMax } = this.#limits;
    const metrics = this.#metrics;
    return metrics.requestsInFlight < requestsMax && metrics.bytesInFlight + bytes <= bytesMax;
  }

  /** Whether `waiter` may take `bytes` now: there is room and nobody was there before it. */
  mayEnter(waiter: Waiter, bytes: number): boolean {
    return (this.#waiters.size === 0 || this.#retrying === waiter) && this.fits(bytes);
  }

  wait(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  leave(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  /** Lets those go on, in order, for whom there is room; each tries at most once. */
  wake(): void {
    // Who gets in line again comes after those who are in it now.
    let left = this.#waiters.size;
    for (const waiter of this.#waiters) {
      if (left-- === 0 || !this.fits(waiter.neededBytes)) return;
      this.#waiters.delete(waiter);
      this.#retrying = waiter;
      waiter.retry();
      this.#retrying = null;
    }
  }
}
