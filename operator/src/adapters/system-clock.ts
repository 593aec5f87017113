/** The time of this machine. */
import type { Clock } from '../ports/clock.ts';

export const systemClock: Clock = {
  nowMillis: () => Date.now(),
  after: (delayMillis, run) => {
    const timer = setTimeout(run, delayMillis);
    return () => clearTimeout(timer);
  },
};
