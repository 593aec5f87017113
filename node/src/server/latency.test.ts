import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addLatencies, countsOf, LATENCY_BOUNDS, Latencies } from './latency.ts';

test('each time is in the class that its bounds say', () => {
  for (const [place, bound] of LATENCY_BOUNDS.entries()) {
    for (const [millis, wanted] of [
      [bound * 1000 - 0.001, place],
      [bound * 1000 + 0.001, place + 1],
    ]) {
      const latencies = new Latencies(() => 5000 + millis);
      latencies.add(3, 5000);
      assert.equal(countsOf(latencies, 3).indexOf(1), wanted, `${millis} ms`);
      assert.ok(Math.abs(latencies.seconds[3] - millis / 1000) < 1e-9);
    }
  }
});

test('classes are between a third and a half wider than those below them', () => {
  assert.deepEqual([LATENCY_BOUNDS[0], LATENCY_BOUNDS.at(-1)], [64e-6, 16.777216]);
  for (let i = 1; i < LATENCY_BOUNDS.length; i++) {
    const growth = LATENCY_BOUNDS[i] / LATENCY_BOUNDS[i - 1];
    assert.ok(growth > 1.33 && growth < 1.51, String(growth));
  }
});

test('times beyond the last bound, and clocks that stand still, are counted', () => {
  const latencies = new Latencies(() => 1e7);
  latencies.add(0, 0);
  latencies.add(0, 1e7);
  const counts = countsOf(latencies, 0);
  assert.deepEqual([counts[0], counts[counts.length - 1]], [1, 1]);
  assert.equal(counts.length, LATENCY_BOUNDS.length + 1);
});

test('workers are added up', () => {
  const one = new Latencies(() => 1);
  const two = new Latencies(() => 2);
  one.add(1, 0);
  two.add(1, 0);
  two.add(7, 0);
  const sum = addLatencies([one, two]);
  const total = (kind: number) => countsOf(sum, kind).reduce((a, b) => a + b, 0);
  assert.deepEqual([total(0), total(1), total(7)], [0, 2, 1]);
  assert.ok(Math.abs(sum.seconds[1] - 0.003) < 1e-12);
});
