import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LiveFile } from '../storage/kv.ts';
import { keysOf, normalized, partsOf, planFiles } from './file-plan.ts';

function file(first: number, last: number, level = 6, sequence = 0): LiveFile {
  const key = (bucket: number) => Uint8Array.of(bucket >> 8, bucket & 0xff, 1, 2, 3, 4, 5, 6);
  return {
    family: 't',
    name: `/${first}-${last}-${level}-${sequence}.sst`,
    directory: '',
    level,
    bytes: 1,
    entries: 1,
    deletions: 0,
    smallestKey: key(first),
    largestKey: key(last),
    smallestSequence: Math.max(0, sequence - 1),
    largestSequence: sequence,
    checksum: '',
  };
}

const bucketRanges = fc
  .array(fc.tuple(fc.nat(0xffff), fc.nat(0xffff)), { maxLength: 8 })
  .map((pairs) => pairs.map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) })));

function bucketsIn(ranges: readonly { readonly first: number; readonly last: number }[]) {
  const has = new Uint8Array(0x10000);
  for (const { first, last } of ranges) has.fill(1, first, last + 1);
  return has;
}

test('parts are the ranges, without overlap, each of one shard', () => {
  fc.assert(
    fc.property(bucketRanges, fc.constantFrom(1, 2, 8, 64), (ranges, shards) => {
      const parts = partsOf(ranges, shards);
      assert.deepEqual(bucketsIn(parts.map(({ range }) => range)), bucketsIn(ranges));
      const perShard = 0x10000 / shards;
      for (const [i, { range, shard }] of parts.entries()) {
        assert.ok(range.first <= range.last);
        if (i > 0) assert.ok(parts[i - 1].range.last < range.first);
        assert.equal(Math.floor(range.first / perShard), shard);
        assert.equal(Math.floor(range.last / perShard), shard);
      }
    }),
    { numRuns: 200 },
  );
  assert.deepEqual(
    normalized([
      { first: 5, last: 6 },
      { first: 1, last: 2 },
      { first: 3, last: 4 },
    ]),
    [{ first: 1, last: 6 }],
  );
});

test('the keys of a range end where the next bucket begins', () => {
  const { lower, upper } = keysOf({ first: 0x1ff, last: 0x2ff });
  assert.deepEqual([...lower], [1, 0xff]);
  assert.deepEqual([...(upper ?? [])], [3, 0]);
  assert.equal(keysOf({ first: 0, last: 0xffff }).upper, null);
});

test('files within a part go whole, the oldest first; those across its ends are edges', () => {
  const parts = partsOf([{ first: 100, last: 200 }], 1);
  const { whole, edges } = planFiles(
    [
      file(100, 200, 0, 9),
      file(100, 150, 0, 7),
      file(120, 200, 3),
      file(100, 110, 6),
      file(99, 100),
      file(200, 201),
      file(0, 0xffff, 0, 8),
      file(0, 99),
      file(201, 300),
    ],
    parts,
  );
  assert.deepEqual(
    whole.map(({ file: { level, largestSequence } }) => [level, largestSequence]),
    [
      [6, 0],
      [3, 0],
      [0, 7],
      [0, 9],
    ],
  );
  assert.deepEqual(
    edges.map(({ name }) => name),
    ['/99-100-6-0.sst', '/200-201-6-0.sst', '/0-65535-0-8.sst'],
  );
  // A file of two shards of the target cannot be ingested into either.
  const two = planFiles([file(0x7fff, 0x8000)], partsOf([{ first: 0, last: 0xffff }], 2));
  assert.equal(two.edges.length, 1);
});

test('a file that was ingested is not sent as it is: the order of its keys is known only here', () => {
  const parts = partsOf([{ first: 0, last: 99 }], 1);
  const ingested = { ...file(10, 20, 0, 7), smallestSequence: 7 };
  const plan = planFiles([file(1, 5), ingested, file(30, 40, 0, 9)], parts);
  assert.deepEqual(plan.edges, [ingested]);
  assert.equal(plan.whole.length, 2);
});
