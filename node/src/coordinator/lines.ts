/** Work on one thing in one line, within one worker. */
import type { Timers } from './ports.ts';

export class Lines {
  private readonly timers: Timers;
  /** Who waits, by name; a line exists while somebody is inside. */
  private readonly waiting = new Map<string, (() => void)[]>();

  constructor(timers: Timers) {
    this.timers = timers;
  }

  /** @returns what lets the next one in, or null if `millis` passed first */
  enter(name: string, millis: number): Promise<(() => void) | null> {
    const leave = () => this.leave(name);
    const line = this.waiting.get(name);
    if (line === undefined) {
      this.waiting.set(name, []);
      return Promise.resolve(leave);
    }
    return new Promise((resolve) => {
      const turn = () => {
        cancel();
        resolve(leave);
      };
      const cancel = this.timers.after(millis, () => {
        line.splice(line.indexOf(turn), 1);
        resolve(null);
      });
      line.push(turn);
    });
  }

  private leave(name: string): void {
    const next = this.waiting.get(name)?.shift();
    if (next === undefined) this.waiting.delete(name);
    else next();
  }
}
