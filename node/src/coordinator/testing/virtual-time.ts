/** Time that passes only when a test says so. */

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

export class VirtualTime {
  nowMillis = 0;
  private timers: Timer[] = [];
  private order = 0;

  after(millis: number, run: () => void): () => void {
    const at = this.nowMillis + Math.max(0, millis);
    const timer = { at, order: this.order++, run, cancelled: false };
    this.timers.push(timer);
    return () => {
      timer.cancelled = true;
    };
  }

  /** Lets everything happen that does within `millis`. */
  async run(millis: number): Promise<void> {
    const end = this.nowMillis + millis;
    for (;;) {
      await settle();
      const next = this.take(end);
      if (next === null) break;
      this.nowMillis = Math.max(this.nowMillis, next.at);
      next.run();
    }
    this.nowMillis = end;
  }

  /** Lets time pass until `promise` is settled. */
  async until<T>(promise: Promise<T>, millisMax = 60_000): Promise<T> {
    let isSettled = false;
    const done = () => {
      isSettled = true;
    };
    promise.then(done, done);
    const end = this.nowMillis + millisMax;
    for (;;) {
      await settle();
      if (isSettled) return promise;
      const next = this.take(end);
      if (next === null) throw new RangeError(`nothing more happens within ${millisMax} ms`);
      this.nowMillis = Math.max(this.nowMillis, next.at);
      next.run();
    }
  }

  private take(end: number): Timer | null {
    this.timers = this.timers.filter(({ cancelled }) => !cancelled);
    let first: Timer | null = null;
    for (const timer of this.timers) {
      if (timer.at > end) continue;
      if (first === null || timer.at < first.at) first = timer;
      else if (timer.at === first.at && timer.order < first.order) first = timer;
    }
    if (first !== null) this.timers.splice(this.timers.indexOf(first), 1);
    return first;
  }
}

/** Promises that wait for nothing but each other are through. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
