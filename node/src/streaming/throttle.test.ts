import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Throttle } from './throttle.ts';

function virtualClock() {
  let now = 1_000;
  return {
    nowMillis: () => now,
    after: (millis: number, run: () => void) => {
      now += millis;
      queueMicrotask(run);
      return () => {};
    },
  };
}

test('bytes pass at the rate, which can change meanwhile', async () => {
  const clock = virtualClock();
  const throttle = new Throttle(clock, 0);
  await throttle.pass(1e12);
  assert.equal(clock.nowMillis(), 1_000);
  throttle.setLimit(1_000_000);
  for (let i = 0; i < 10; i++) await throttle.pass(100_000);
  // A burst of 100 ms comes for nothing.
  assert.equal(clock.nowMillis(), 1_900);
  throttle.setLimit(10_000_000);
  assert.equal(throttle.limit, 10_000_000);
  for (let i = 0; i < 10; i++) await throttle.pass(1_000_000);
  assert.equal(clock.nowMillis(), 2_800);
  throttle.setLimit(0);
  await throttle.pass(1e12);
  assert.equal(clock.nowMillis(), 2_800);
});
