/** What this node, which leaves, keeps for others: asked of its workers, and told in the log now and then. */
import type { Logger } from '../adapters/logger.ts';
import { isNothing, type LeftOver, sumOf } from '../cluster/left-over.ts';
import type { ToWorker } from './messages.ts';

const TELL_MILLIS = 5_000;

/** A worker thread, as far as it is used here. */
export interface AskedWorker {
  /** @returns what it acknowledged the call with */
  call(make: (call: number) => ToWorker): Promise<unknown>;
}

/** @returns asks all of them */
export function leftOverOf(
  workers: readonly AskedWorker[],
  logger: Pick<Logger, 'info'>,
  nowMillis: () => number,
): () => Promise<LeftOver> {
  let toldMillis = Number.NEGATIVE_INFINITY;
  let wasNothing = false;
  return async () => {
    const parts = workers.map((worker) => worker.call((call) => ({ kind: 'left-over', call })));
    const left = sumOf((await Promise.all(parts)) as LeftOver[]);
    const { hints, hintBytes, batches } = left;
    if (isNothing(left)) {
      if (!wasNothing) logger.info('nothing is kept for others any more', {});
    } else if (nowMillis() - toldMillis >= TELL_MILLIS) {
      toldMillis = nowMillis();
      const fields = { hints, hintBytes, batches: batches ?? 'not known yet' };
      logger.info('what is kept for others is brought to those who stay', fields);
    }
    wasNothing = isNothing(left);
    return left;
  };
}
