/**
 * What a start leaves behind goes back to the system: young generations grown by the loading of modules, code that ran
 * once, free pages that V8 keeps. A collection on V8's own initiative comes late, or never on an idle node, and keeps the
 * pages: only the one V8 does as its last resort gives them back.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const LOOK_MILLIS = 1000;

/** Called on the main thread before there are others: V8's flags are those of the process, and read by each thread. */
export function allowCollection(): void {
  setFlagsFromString('--expose-gc');
}

function collect(): void {
  // Only contexts made since `allowCollection` have it.
  const gc = globalThis.gc ?? (runInNewContext('gc') as NodeJS.GCFunction);
  gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/**
 * Stops this thread once for some 40 ms, in its first second without a request. While it is busy from the start on,
 * what it has is in use.
 * @param requestsCount how many there were since the start
 */
export function releaseStartMemory(requestsCount: () => number): void {
  let last = requestsCount();
  const timer = setInterval(() => {
    const count = requestsCount();
    if (count === last) {
      clearInterval(timer);
      collect();
    }
    last = count;
  }, LOOK_MILLIS);
  timer.unref();
}
