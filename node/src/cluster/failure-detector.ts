/**
 * Whether one node is alive, by the times between its heartbeats. Source: Hayashibara et al., "The phi accrual failure
 * detector", with exponentially distributed times, as Cassandra has it: phi = elapsed / mean / ln 10.
 */

export interface ArrivalOptions {
  /** Between two heartbeats of a node. */
  readonly intervalMillis: number;
  /** A node is dead when phi is above this: 8 is 18.4 mean intervals. */
  readonly phiThreshold: number;
}

/** Older intervals count for less and less, as if there were so many. */
const SAMPLES_MAX = 64;
/** Of an interval: what is known of a node should not be spoiled by one pause. */
const SAMPLE_INTERVALS_MAX = 4;
/** A first guess: what comes may have come a long way. */
const FIRST_INTERVALS = 2;

export class ArrivalWindow {
  private readonly options: ArrivalOptions;
  private count = 0;
  private mean = 0;
  private last: number;

  constructor(options: ArrivalOptions, nowMillis: number) {
    this.options = options;
    this.last = nowMillis;
    this.add(options.intervalMillis * FIRST_INTERVALS);
  }

  private add(sample: number): void {
    this.count = Math.min(this.count + 1, SAMPLES_MAX);
    this.mean += (sample - this.mean) / this.count;
  }

  /** A heartbeat that is newer than all before. */
  arrived(nowMillis: number): void {
    const most = this.options.intervalMillis * SAMPLE_INTERVALS_MAX;
    this.add(Math.min(nowMillis - this.last, most));
    this.last = nowMillis;
  }

  /** It counts from now on again: the node was dead, or this one did not look. */
  restart(nowMillis: number): void {
    this.last = nowMillis;
  }

  phi(nowMillis: number): number {
    // Many heartbeats at a time make nobody more regular than the interval.
    const mean = Math.max(this.mean, this.options.intervalMillis);
    return (nowMillis - this.last) / mean / Math.LN10;
  }

  isDead(nowMillis: number): boolean {
    return this.phi(nowMillis) > this.options.phiThreshold;
  }
}
