/**
 * Locks on partitions that all worker threads of the process share: stripes of a SharedArrayBuffer. Two partitions of one
 * stripe wait for each other needlessly, which is harmless.
 *
 * On one thread waiters stand in line; only the first of them looks at the shared word, once a millisecond while another
 * thread holds it. Atomics.waitAsync would tell at once, but in Node 24 its wake-ups sometimes never come, timeouts
 * included (seen as a test that slept for ever), so nothing may depend on it.
 */
import type { PartitionLocks } from '../query/execute.ts';
import { tokenPrefix } from '../storage/keys.ts';

const STRIPES = 4096;
const FREE = 0;
const HELD = 1;
const POLL_MILLIS = 1;

export function newLockMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(STRIPES * Int32Array.BYTES_PER_ELEMENT);
}

function sleep(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

/** The lines of one thread: who is inside a stripe may look at its shared word. */
class Lines {
  private readonly waiting = new Map<number, ((entered: boolean) => void)[]>();

  /** @returns false if `millis` passed first */
  enter(stripe: number, millis: number): Promise<boolean> {
    const line = this.waiting.get(stripe);
    if (line === undefined) {
      this.waiting.set(stripe, []);
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const turn = (entered: boolean) => {
        clearTimeout(timer);
        resolve(entered);
      };
      const timer = setTimeout(() => {
        line.splice(line.indexOf(turn), 1);
        resolve(false);
      }, millis);
      line.push(turn);
    });
  }

  leave(stripe: number): void {
    const next = this.waiting.get(stripe)?.shift();
    if (next === undefined) this.waiting.delete(stripe);
    else next(true);
  }
}

/** @param nowMillis monotonic */
export function createSharedLocks(
  memory: SharedArrayBuffer,
  nowMillis: () => number,
): PartitionLocks {
  const words = new Int32Array(memory);
  const lines = new Lines();

  const release = (stripe: number) => {
    Atomics.store(words, stripe, FREE);
    lines.leave(stripe);
  };

  const take = async (stripe: number, deadline: number): Promise<boolean> => {
    if (!(await lines.enter(stripe, deadline - nowMillis()))) return false;
    while (Atomics.compareExchange(words, stripe, FREE, HELD) !== FREE) {
      if (nowMillis() >= deadline) {
        lines.leave(stripe);
        return false;
      }
      await sleep(POLL_MILLIS);
    }
    return true;
  };

  return {
    acquire: async (partitions, timeoutMs) => {
      const deadline = nowMillis() + timeoutMs;
      // The low bits of the token's first half; taken in one order by everybody, so nobody waits in a ring.
      const stripes = [...new Set(partitions.map((key) => tokenPrefix(key) % STRIPES))].sort(
        (a, b) => a - b,
      );
      const held: number[] = [];
      for (const stripe of stripes) {
        if (!(await take(stripe, deadline))) {
          for (const one of held) release(one);
          return null;
        }
        held.push(stripe);
      }
      return () => {
        for (const stripe of held) release(stripe);
      };
    },
  };
}
