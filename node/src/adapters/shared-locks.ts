/**
 * Locks on partitions that all worker threads of the process share: stripes of a SharedArrayBuffer, waited for without
 * holding the event loop. Two partitions of one stripe wait for each other needlessly, which is harmless.
 *
 * | word | meaning |
 * |---|---|
 * | 0 | free |
 * | 1 | held |
 * | 2 | held, and somebody may be waiting |
 */
import type { PartitionLocks } from '../query/execute.ts';
import { tokenPrefix } from '../storage/keys.ts';

const STRIPES = 4096;
const FREE = 0;
const HELD = 1;
const CONTENDED = 2;

export function newLockMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(STRIPES * Int32Array.BYTES_PER_ELEMENT);
}

/** @param nowMillis monotonic */
export function createSharedLocks(
  memory: SharedArrayBuffer,
  nowMillis: () => number,
): PartitionLocks {
  const words = new Int32Array(memory);

  const release = (stripe: number) => {
    if (Atomics.exchange(words, stripe, FREE) === CONTENDED) Atomics.notify(words, stripe, 1);
  };

  const take = async (stripe: number, deadline: number): Promise<boolean> => {
    if (Atomics.compareExchange(words, stripe, FREE, HELD) === FREE) return true;
    while (Atomics.exchange(words, stripe, CONTENDED) !== FREE) {
      const left = deadline - nowMillis();
      if (left <= 0) return false;
      const wait = Atomics.waitAsync(words, stripe, CONTENDED, left);
      if (wait.async) await wait.value;
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
