/** Bytes a second for all transfers of a node together; can be changed while they run. */
import { type StreamClock, sleep } from './ports.ts';

/** What may be sent in one go when nothing was for a while. */
const BURST_MILLIS = 100;

export class Throttle {
  private readonly clock: StreamClock;
  private bytesPerSecond: number;
  /** When all that was let through so far has passed at this rate. */
  private freeMillis = 0;

  /** @param bytesPerSecond 0: no limit */
  constructor(clock: StreamClock, bytesPerSecond: number) {
    this.clock = clock;
    this.bytesPerSecond = bytesPerSecond;
  }

  get limit(): number {
    return this.bytesPerSecond;
  }

  /** @param bytesPerSecond 0: no limit */
  setLimit(bytesPerSecond: number): void {
    this.bytesPerSecond = bytesPerSecond;
    this.freeMillis = 0;
  }

  /** Resolves when `bytes` may be sent. */
  async pass(bytes: number): Promise<void> {
    if (this.bytesPerSecond === 0) return;
    const now = this.clock.nowMillis();
    const from = Math.max(this.freeMillis, now - BURST_MILLIS);
    this.freeMillis = from + (bytes / this.bytesPerSecond) * 1_000;
    if (this.freeMillis > now) await sleep(this.clock, this.freeMillis - now);
  }
}
