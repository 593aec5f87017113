import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inTurns } from './in-turns.ts';

test('what is asked for often is done at once, and then once for all', () => {
  let now = 0;
  let timer: { readonly at: number; readonly run: () => void } | null = null;
  const clock = {
    nowMillis: () => now,
    after: (millis: number, run: () => void) => {
      timer = { at: now + millis, run };
      return () => {};
    },
  };
  const runs: number[] = [];
  const ask = inTurns(clock, 10, () => runs.push(now));
  const goTo = (millis: number) => {
    now = millis;
    if (timer === null || timer.at > now) return;
    const { run } = timer;
    timer = null;
    run();
  };
  ask();
  for (let at = 1; at <= 25; at++) {
    goTo(at);
    if (at < 15) ask();
  }
  assert.deepEqual(runs, [0, 10, 20]);
  goTo(40);
  ask();
  assert.deepEqual(runs, [0, 10, 20, 40]);
});
