import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkQueue } from './work-queue.ts';

function fakeClock() {
  let now = 0;
  let timers: { readonly at: number; readonly run: () => void }[] = [];
  return {
    clock: {
      nowMillis: () => now,
      after: (delay: number, run: () => void) => {
        const timer = { at: now + delay, run };
        timers.push(timer);
        return () => {
          timers = timers.filter((one) => one !== timer);
        };
      },
    },
    pass: async (millis: number) => {
      const end = now + millis;
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve));
        const [next] = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers = timers.filter((one) => one !== next);
        now = Math.max(now, next.at);
        next.run();
      }
      now = end;
    },
  };
}

test('a key is worked on once however often it is added, and again if it changes meanwhile', async () => {
  const { clock, pass } = fakeClock();
  const done: number[] = [];
  const queue = new WorkQueue(clock, async (key) => {
    done.push(clock.nowMillis());
    if (done.length === 1) queue.add(key);
    return null;
  });
  for (let i = 0; i < 5; i++) queue.add('a');
  await pass(1_000);
  assert.deepEqual(done, [0, 200]);
  assert.equal(queue.size, 0);
});

test('who fails is tried later and later; who asks for it comes again', async () => {
  const { clock, pass } = fakeClock();
  const done: number[] = [];
  const queue = new WorkQueue(clock, async () => {
    done.push(clock.nowMillis());
    if (done.length < 4) throw new Error('not now');
    return 10_000;
  });
  queue.add('a');
  await pass(20_000);
  assert.deepEqual(done, [0, 500, 1_500, 3_500, 13_500]);
  await queue.stop();
  await pass(100_000);
  assert.equal(done.length, 5);
});
