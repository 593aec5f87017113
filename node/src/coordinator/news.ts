/** Waits for what this node has not heard of yet: the schema and the topology come by another way than requests do. */
import type { Timers } from './ports.ts';

export class News {
  private readonly timers: Timers;
  private waiting = new Set<() => void>();

  constructor(timers: Timers) {
    this.timers = timers;
  }

  /** Something new is known. */
  came(): void {
    const { waiting } = this;
    this.waiting = new Set();
    for (const look of waiting) look();
  }

  /** Resolves when `isThere`, or with false after `millis`. Whoever calls bounds how many wait. */
  wait(isThere: () => boolean, millis: number): Promise<boolean> {
    return new Promise((resolve) => {
      const look = () => {
        if (!isThere()) {
          this.waiting.add(look);
          return;
        }
        cancel();
        resolve(true);
      };
      const cancel = this.timers.after(millis, () => {
        this.waiting.delete(look);
        resolve(isThere());
      });
      look();
    });
  }
}
