import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeLeftOver,
  describeLeftOver,
  encodeLeftOver,
  isNothing,
  NOTHING_LEFT,
  sumOf,
} from './left-over.ts';

test('what workers keep is summed up, and comes back as it was', () => {
  const parts = [
    { hints: 2, hintBytes: 3 << 20, batches: 0 },
    { hints: 1, hintBytes: 5 * 2 ** 40, batches: 4 },
  ];
  const sum = sumOf(parts);
  assert.deepEqual(sum, { hints: 3, hintBytes: (3 << 20) + 5 * 2 ** 40, batches: 4 });
  const unknown = { ...sum, batches: null };
  assert.deepEqual(sumOf([sum, unknown]).batches, null);
  for (const one of [sum, unknown, NOTHING_LEFT]) {
    assert.deepEqual(decodeLeftOver(encodeLeftOver(one)), one);
  }
  assert.match(describeLeftOver(unknown), /^3 hints .* some logged batches$/);
  assert.ok(isNothing(NOTHING_LEFT) && !isNothing({ ...NOTHING_LEFT, batches: null }));
});

test('bytes that are nothing of it are nothing', () => {
  const whole = encodeLeftOver(NOTHING_LEFT);
  for (const body of [whole.subarray(1), new Uint8Array(0), new Uint8Array(18)]) {
    assert.equal(decodeLeftOver(body), null);
  }
});
