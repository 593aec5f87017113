/**
 * What a start leaves behind goes back to the system: young generations grown by the loading of modules, code that ran
 * once, free pages that V8 keeps. A collection on V8's own initiative comes late, or never on an idle node, and keeps the
 * pages: only the one V8 does as its last resort gives them back.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Called on the main thread before there are others: V8's flags are those of the process, and read by each thread. */
export function allowCollection(): void {
  setFlagsFromString('--expose-gc');
}

/**
 * Stops this thread for some 40 ms, so before it serves. `allowCollection` was called before this thread started, or on it.
 */
export function releaseStartMemory(): void {
  // Only contexts made since have it.
  const collect = globalThis.gc ?? (runInNewContext('gc') as NodeJS.GCFunction);
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
