/**
 * What a start leaves behind goes back to the system: young generations grown by the loading of modules, code that ran
 * once, free pages that V8 keeps. A collection on V8's own initiative comes late, or never on an idle node, and keeps the
 * pages; so does `gc()`. The inspector's is the one that V8 does when memory is low. It needs no flag of V8's: these are
 * part of the compile cache's key, and changed at run time they would make its entries worthless.
 */
import { Session } from 'node:inspector/promises';
import { setTimeout } from 'node:timers/promises';

async function collect(): Promise<void> {
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.collectGarbage');
  session.disconnect();
}

/**
 * Stops this thread once for some 40 ms, in its first second without a request. While it is busy from the start on,
 * what it has is in use.
 * @param requestsCount how many there were since the start
 * @param second settles when one has passed
 */
export async function releaseStartMemory(
  requestsCount: () => number,
  second: () => Promise<void> = () => setTimeout(1000, undefined, { ref: false }),
): Promise<void> {
  let last: number;
  do {
    last = requestsCount();
    await second();
  } while (last !== requestsCount());
  await collect();
}
