/** Waiting in tests of processes: for things that happen soon, and are asked for until they have. */
import assert from 'node:assert/strict';

const LOOK_MILLIS = 100;

export function pause(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

/** Asks again and again; what it fails with is no. @throws AssertionError */
export async function until(
  what: string | (() => string),
  holds: () => boolean | Promise<boolean>,
  seconds = 60,
): Promise<void> {
  const end = Date.now() + seconds * 1000;
  const isSo = async () => holds();
  while (!(await isSo().catch(() => false))) {
    if (Date.now() >= end) {
      assert.fail(`not in ${seconds} s: ${typeof what === 'string' ? what : what()}`);
    }
    await pause(LOOK_MILLIS);
  }
}
