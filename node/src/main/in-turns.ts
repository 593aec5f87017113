/** Something that is asked for often is done at once, and then no more often than every so many milliseconds. */
import type { ClusterClock } from '../cluster/ports.ts';

/** @returns asks for `run`: it is called after each call of this, once for several */
export function inTurns(
  clock: Pick<ClusterClock, 'nowMillis' | 'after'>,
  millis: number,
  run: () => void,
): () => void {
  let last = Number.NEGATIVE_INFINITY;
  let isDue = false;
  const turn = () => {
    isDue = false;
    last = clock.nowMillis();
    run();
  };
  return () => {
    if (isDue) return;
    const wait = last + millis - clock.nowMillis();
    if (wait <= 0) {
      turn();
      return;
    }
    isDue = true;
    clock.after(wait, turn);
  };
}
