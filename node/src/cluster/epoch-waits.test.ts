import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EpochWaits, encodeEpoch, sharedRounds } from './epoch-waits.ts';

test('a wait ends when the schema is there', () => {
  const waits = new EpochWaits();
  const heard: string[] = [];
  const serve = (name: string, body: Uint8Array) =>
    waits.serve(body, {
      answer: () => heard.push(name),
      fail: (code) => heard.push(`${name} ${code}`),
    });
  waits.reached(3);
  serve('three', encodeEpoch(3));
  serve('five', encodeEpoch(5));
  serve('four', encodeEpoch(4));
  serve('none', new Uint8Array(3));
  assert.deepEqual(heard, ['three', 'none FAILED']);
  waits.reached(4);
  assert.deepEqual(heard, ['three', 'none FAILED', 'four']);
  waits.reached(7);
  assert.deepEqual(heard, ['three', 'none FAILED', 'four', 'five']);
  for (let i = 0; i < 5_000; i++) serve('late', encodeEpoch(9));
  assert.equal(heard.filter((name) => name === 'late OVERLOADED').length, 5_000 - 4_096);
});

test('many who wait for a schema to be everywhere ask the others once', async () => {
  const rounds: number[] = [];
  const open: (() => void)[] = [];
  const settled = sharedRounds((epoch) => {
    rounds.push(epoch);
    return new Promise((resolve) => open.push(resolve));
  });
  const waiting = [settled(2), settled(2), settled(1), settled(3)];
  assert.deepEqual(rounds, [2, 3]);
  for (const finish of open) finish();
  await Promise.all(waiting);
  const again = settled(2);
  assert.deepEqual(rounds, [2, 3, 2]);
  open.at(-1)?.();
  await again;
});
