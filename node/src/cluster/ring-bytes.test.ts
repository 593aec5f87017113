import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gridToken } from './grid.ts';
import {
  addSpans,
  bucketsOfCells,
  bytesOfOneCopy,
  CELLS,
  cellsOfBuckets,
  decodeCells,
  encodeCells,
} from './ring-bytes.ts';
import { testNode, testState } from './testing/nodes.ts';

const replication = { class: 'NetworkTopologyStrategy', dc1: '2' };

function cellsOf(...spans: Parameters<typeof addSpans>[1] extends Iterable<infer S> ? S[] : never) {
  const bytes = new Float32Array(CELLS);
  addSpans(bytes, spans);
  return bytes;
}

test('what files have is spread over their buckets', () => {
  const bytes = cellsOf(
    { first: 8, last: 39, bytes: 320 },
    { first: 65_535, last: 65_535, bytes: 7 },
  );
  assert.deepEqual([...bytes.subarray(0, 4)], [80, 160, 80, 0]);
  assert.equal(bytes[CELLS - 1], 7);
});

test('messages are read as they were written, and others are not read', () => {
  const all = [
    { replication, bytes: cellsOf({ first: 0, last: 65_535, bytes: 1e9 }) },
    { replication: { class: 'SimpleStrategy', replication_factor: '1' }, bytes: cellsOf() },
  ];
  const body = encodeCells(all);
  assert.deepEqual(decodeCells(body), all);
  assert.equal(decodeCells(body.subarray(0, -1)), null);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (noise, at) => {
      const bad = Buffer.from(body);
      bad.set(noise, at);
      decodeCells(bad);
      assert.equal(decodeCells(noise), null);
    }),
  );
});

test('one copy is the mean of what the owners have that answered', () => {
  const nodes = [0x3fff, 0x7fff, 0xffff].map((bucket, i) =>
    testNode(i + 1, { tokens: [gridToken(bucket)] }),
  );
  const [a, b, c] = nodes.map(({ hostId }) => hostId);
  const state = testState(nodes);
  // Buckets up to 0x3fff are of a and b; c has some of them still.
  const quarter = { first: 0, last: 0x3fff };
  const answer = (hostId: string, bytes: number) => ({
    hostId,
    cells: [{ replication, bytes: cellsOf({ ...quarter, bytes }) }],
  });
  const total = (answers: Parameters<typeof bytesOfOneCopy>[1]) => {
    const [load] = bytesOfOneCopy(state, answers);
    return Math.round(cellsOfBuckets(load.bytes).reduce((sum, one) => sum + one, 0));
  };
  assert.equal(total([answer(a, 1000), answer(b, 3000), answer(c, 9000)]), 2000);
  assert.equal(total([answer(b, 3000), answer(c, 9000)]), 3000);
  assert.equal(total([answer(a, 1000), { hostId: b, cells: [] }]), 500);
  assert.equal(total([answer(c, 9000)]), 0);
});

test('cells and buckets hold the same', () => {
  const cells = Array.from({ length: CELLS }, (_, i) => i * 16);
  const buckets = bucketsOfCells(cells);
  assert.equal(buckets[16], 1);
  assert.deepEqual(cellsOfBuckets(buckets), cells);
  assert.throws(() => bucketsOfCells([1]), RangeError);
});
