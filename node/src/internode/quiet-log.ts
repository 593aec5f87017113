/** Log lines that anybody can cause who reaches a port: a few for each address, then they are only counted. */
import type { LinkClock, LinkLogger } from './carrier.ts';

const WINDOW_MILLIS = 60_000;
/** Of one message from one address, in a window. */
const LINES_MAX = 5;
/** Of all, in a window. */
const LINES_IN_ALL_MAX = 50;

/** Where the lines go. */
export type QuietSink = Pick<LinkLogger, 'info' | 'warn'>;

export class QuietLog {
  private readonly log: QuietSink;
  private readonly clock: Pick<LinkClock, 'nowMillis'>;
  private windowStart = Number.NEGATIVE_INFINITY;
  private readonly lines = new Map<string, number>();
  private linesInAll = 0;
  private suppressed = 0;

  constructor(log: QuietSink, clock: Pick<LinkClock, 'nowMillis'>) {
    this.log = log;
    this.clock = clock;
  }

  /** @param remote `address` or `address:port`, of which the address counts */
  line(
    level: 'info' | 'warn',
    remote: string,
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ): void {
    const now = this.clock.nowMillis();
    if (now - this.windowStart >= WINDOW_MILLIS) {
      this.windowStart = now;
      this.linesInAll = 0;
      this.lines.clear();
    }
    const key = `${message} ${remote.replace(/:\d+$/, '')}`;
    const count = this.lines.get(key) ?? 0;
    if (count >= LINES_MAX || this.linesInAll >= LINES_IN_ALL_MAX) {
      this.suppressed++;
      return;
    }
    this.lines.set(key, count + 1);
    this.linesInAll++;
    const { suppressed } = this;
    this.suppressed = 0;
    this.log[level](message, suppressed === 0 ? fields : { ...fields, suppressed });
  }
}
