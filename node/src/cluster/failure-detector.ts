/**
 * Whether one node is alive, by the times between its heartbeats, and by what its machine says: where connections are
 * refused or closed, a few missed heartbeats are enough. That alone is never enough, as others may hear of the node. Source: Hayashibara et al., "The phi accrual failure
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
/** Of mean intervals: a node whose machine says that it is gone is dead after so many without a heartbeat. */
const GONE_INTERVALS = 2;
/** Of mean intervals: a node that is silent for so long is asked directly. */
const SILENT_INTERVALS = 1.5;
/**
 * Of intervals: who was thought dead for being gone, and was not, twice, is not thought so again for so long, and twice as
 * long each time after that. Once is nothing: a last heartbeat may have come a long way.
 */
const DOUBT_INTERVALS = 60;
const DOUBT_INTERVALS_MAX = 3_600;

export class ArrivalWindow {
  private readonly options: ArrivalOptions;
  private count = 0;
  private mean = 0;
  private last: number;
  private isGone = false;
  private hasty = false;
  private doubtIntervals = 0;
  private doubtUntil = Number.NEGATIVE_INFINITY;

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
    this.isGone = false;
    if (!this.hasty) return;
    this.hasty = false;
    this.doubtUntil = nowMillis + this.options.intervalMillis * this.doubtIntervals;
    const next = Math.max(DOUBT_INTERVALS, this.doubtIntervals * 2);
    this.doubtIntervals = Math.min(next, DOUBT_INTERVALS_MAX);
  }

  /** A connection to the node was refused, or closed from its side. It counts until its next heartbeat. */
  gone(): void {
    this.isGone = true;
  }

  /** The node is thought dead from now on. */
  convicted(nowMillis: number): void {
    this.hasty = this.phi(nowMillis) <= this.options.phiThreshold;
  }

  /** It is another process now. */
  reborn(): void {
    this.isGone = false;
    this.hasty = false;
    this.doubtIntervals = 0;
    this.doubtUntil = Number.NEGATIVE_INFINITY;
  }

  /** It counts from now on again: the node was dead, or this one did not look. */
  restart(nowMillis: number): void {
    this.last = nowMillis;
    this.isGone = false;
  }

  /** Since the last heartbeat, in mean intervals. */
  silence(nowMillis: number): number {
    // Many heartbeats at a time make nobody more regular than the interval.
    return (nowMillis - this.last) / Math.max(this.mean, this.options.intervalMillis);
  }

  phi(nowMillis: number): number {
    return this.silence(nowMillis) / Math.LN10;
  }

  /** Worth to be asked whether it is there. */
  isSilent(nowMillis: number): boolean {
    return this.silence(nowMillis) > SILENT_INTERVALS;
  }

  isDead(nowMillis: number): boolean {
    if (this.phi(nowMillis) > this.options.phiThreshold) return true;
    if (!this.isGone || !this.isCredible(nowMillis)) return false;
    return this.silence(nowMillis) > GONE_INTERVALS;
  }

  /** Whether it may be thought dead for being gone: that was not wrong lately. */
  isCredible(nowMillis: number): boolean {
    return nowMillis >= this.doubtUntil;
  }

  /** It is thought dead, and sooner than by silence alone. */
  get isHasty(): boolean {
    return this.hasty;
  }
}
