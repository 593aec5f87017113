import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createSharedLocks, newLockMemory } from './shared-locks.ts';

const now = () => performance.now();

function partition(n: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, n, 0, 0, 0, 0, n);
}

test('one holder at a time, in the order of need', async () => {
  const locks = createSharedLocks(newLockMemory(), now);
  let holders = 0;
  let done = 0;
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      const release = await locks.acquire([partition(1), partition(2)], 10_000);
      assert.ok(release !== null);
      assert.equal(++holders, 1);
      await Promise.resolve();
      holders--;
      done++;
      release();
    }),
  );
  assert.equal(done, 50);
});

test('a wait ends when its time is up, and leaves nothing locked', async () => {
  const locks = createSharedLocks(newLockMemory(), now);
  const first = await locks.acquire([partition(3)], 1000);
  assert.equal(await locks.acquire([partition(2), partition(3)], 20), null);
  const other = await locks.acquire([partition(2)], 1000);
  assert.ok(other !== null);
  first?.();
  assert.ok((await locks.acquire([partition(3)], 1000)) !== null);
});

test('threads exclude each other', async () => {
  const memory = newLockMemory();
  const counter = new SharedArrayBuffer(8);
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { createSharedLocks } = await import(workerData.url);
    const locks = createSharedLocks(workerData.memory, () => performance.now());
    const count = new Int32Array(workerData.counter);
    // All start together, or they would not meet.
    Atomics.add(count, 1, 1);
    while (Atomics.load(count, 1) < 3) await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 300; i++) {
      const release = await locks.acquire([Uint8Array.of(0, 0, 0, 9)], 60000);
      const seen = count[0];
      await new Promise((resolve) => setImmediate(resolve));
      count[0] = seen + 1;
      release();
    }
    parentPort.postMessage('done');
  `;
  const url = new URL('./shared-locks.ts', import.meta.url).href;
  await Promise.all(
    [0, 1, 2].map(
      () =>
        new Promise<void>((resolve, reject) => {
          const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
            workerData: { url, memory, counter },
          });
          worker.on('message', () => resolve());
          worker.on('error', reject);
        }),
    ),
  );
  assert.equal(new Int32Array(counter)[0], 900);
});
