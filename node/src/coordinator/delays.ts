/**
 * Looks again at many requests a little later, by one timer: what a request starts and almost always does not need costs
 * it a place in a list, not a timer.
 * @hot
 */
import type { Timers } from './ports.ts';

const TICK_MILLIS = 4;

export interface Delayed {
  /** The time has passed; never early. Called also if nobody is interested any more. */
  delayed(): void;
}

export class Delays {
  private readonly timers: Timers;
  private readonly nowMillis: () => number;
  /** By tick. */
  private readonly waiting = new Map<number, Delayed[]>();
  private armedFor = Number.POSITIVE_INFINITY;
  private disarm: (() => void) | null = null;

  constructor(timers: Timers, nowMillis: () => number) {
    this.timers = timers;
    this.nowMillis = nowMillis;
  }

  add(delayed: Delayed, millis: number): void {
    const tick = Math.ceil((this.nowMillis() + millis) / TICK_MILLIS) + 1;
    const list = this.waiting.get(tick);
    if (list === undefined) this.waiting.set(tick, [delayed]);
    else list.push(delayed);
    if (tick < this.armedFor) this.arm(tick);
  }

  private arm(tick: number): void {
    this.disarm?.();
    this.armedFor = tick;
    const millis = Math.max(0, tick * TICK_MILLIS - this.nowMillis());
    this.disarm = this.timers.after(millis, () => this.run());
  }

  private run(): void {
    this.disarm = null;
    this.armedFor = Number.POSITIVE_INFINITY;
    const now = this.nowMillis() / TICK_MILLIS;
    let next = Number.POSITIVE_INFINITY;
    for (const [tick, list] of [...this.waiting].sort(([a], [b]) => a - b)) {
      if (tick > now) {
        next = Math.min(next, tick);
        continue;
      }
      this.waiting.delete(tick);
      for (const delayed of list) delayed.delayed();
    }
    if (next < this.armedFor) this.arm(next);
  }

  stop(): void {
    this.disarm?.();
    this.disarm = null;
    this.armedFor = Number.POSITIVE_INFINITY;
    this.waiting.clear();
  }
}
