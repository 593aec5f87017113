import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NodeInfo } from './cluster-state.ts';
import { bucketOfToken, GRID_BUCKETS, gridToken, isGridToken } from './grid.ts';
import { isReplicated, ownedShare, Ring } from './ring.ts';
import { testNode, testState } from './testing/nodes.ts';

const SIMPLE = 'org.apache.cassandra.locator.SimpleStrategy';
const TOPOLOGY = 'org.apache.cassandra.locator.NetworkTopologyStrategy';

interface Shape {
  readonly nodes: readonly NodeInfo[];
  readonly bucket: number;
  readonly factors: Readonly<Record<string, number>>;
}

const shapes = fc
  .uniqueArray(fc.nat(GRID_BUCKETS - 1), { minLength: 1, maxLength: 40 })
  .chain((buckets) =>
    fc.record({
      owners: fc.array(fc.nat(9), { minLength: buckets.length, maxLength: buckets.length }),
      places: fc.array(fc.tuple(fc.nat(2), fc.nat(3), fc.nat(9)), {
        minLength: 10,
        maxLength: 10,
      }),
      bucket: fc.oneof(fc.nat(GRID_BUCKETS - 1), fc.constantFrom(...buckets)),
      factors: fc.dictionary(fc.constantFrom('dc0', 'dc1', 'dc2', 'dc3'), fc.nat(6)),
      buckets: fc.constant(buckets),
    }),
  )
  .map(({ owners, places, bucket, factors, buckets }): Shape => {
    const nodes = places.map(([datacenter, rack, state], i) =>
      testNode(i, {
        datacenter: `dc${datacenter}`,
        rack: `rack${rack}`,
        state: state === 0 ? 'joining' : 'normal',
        tokens: buckets.filter((_, j) => owners[j] === i).map(gridToken),
      }),
    );
    return { nodes, bucket, factors };
  });

/** Every normal node with tokens, in the order in which the ring meets it from a token on. */
function order({ nodes }: Shape, token: bigint): NodeInfo[] {
  const all = nodes
    .filter(({ state }) => state === 'normal')
    .flatMap((node) => node.tokens.map((at) => ({ node, at })))
    .sort((a, b) => (a.at < b.at ? -1 : 1));
  const after = [...all.filter(({ at }) => at >= token), ...all.filter(({ at }) => at < token)];
  return [...new Set(after.map(({ node }) => node))];
}

/** Of each datacenter the first node of each rack, and what the factor has over the racks from the others. */
function topologyModel(shape: Shape, token: bigint): Set<NodeInfo> {
  const chosen = new Set<NodeInfo>();
  for (const [datacenter, factor] of Object.entries(shape.factors)) {
    const members = shape.nodes.filter(
      (node) => node.state === 'normal' && node.datacenter === datacenter,
    );
    const racks = new Set(members.map(({ rack }) => rack)).size;
    const met = order(shape, token).filter((node) => node.datacenter === datacenter);
    const firsts = met.filter((node) => met.find(({ rack }) => rack === node.rack) === node);
    const others = met.filter((node) => !firsts.includes(node));
    const all = [...firsts.slice(0, factor), ...others.slice(0, Math.max(0, factor - racks))];
    for (const node of all) chosen.add(node);
  }
  return chosen;
}

test('the grid: 2^16 tokens, each the last of its bucket', () => {
  assert.equal(gridToken(0xffff), 2n ** 63n - 1n);
  assert.equal(gridToken(0), -(2n ** 63n) + 2n ** 48n - 1n);
  assert.equal(gridToken(0x7fff), -1n);
  assert.equal(bucketOfToken(-(2n ** 63n)), 0);
  for (let bucket = 0; bucket < GRID_BUCKETS; bucket += 7) {
    assert.equal(bucketOfToken(gridToken(bucket)), bucket);
    assert.ok(isGridToken(gridToken(bucket)));
    assert.ok(!isGridToken(gridToken(bucket) - 1n));
  }
});

test('SimpleStrategy: the next distinct nodes of the ring', () => {
  fc.assert(
    fc.property(shapes, fc.integer({ min: 1, max: 5 }), fc.nat(), (shape, factor, low) => {
      const ring = new Ring(testState(shape.nodes));
      const token = gridToken(shape.bucket) - BigInt(low);
      const replication = { class: SIMPLE, replication_factor: String(factor) };
      assert.deepEqual(ring.replicas(replication, token), order(shape, token).slice(0, factor));
    }),
    { numRuns: 300 },
  );
});

test('NetworkTopologyStrategy: racks are respected in each datacenter', () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const ring = new Ring(testState(shape.nodes));
      const factors = Object.entries(shape.factors).map(([name, count]) => [name, String(count)]);
      const replication = { class: TOPOLOGY, ...Object.fromEntries(factors) };
      const token = gridToken(shape.bucket);
      const chosen = topologyModel(shape, token);
      assert.deepEqual(
        ring.replicas(replication, token),
        order(shape, token).filter((node) => chosen.has(node)),
      );
      const key = Uint8Array.of(shape.bucket >> 8, shape.bucket & 255, 0, 0, 0, 0, 0, 0);
      assert.equal(ring.replicas(replication, key), ring.replicas(replication, token));
    }),
    { numRuns: 500 },
  );
});

test('ranges cover the token space once, each with the replicas of its keys', () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const ring = new Ring(testState(shape.nodes));
      const replication = { class: SIMPLE, replication_factor: '2' };
      let next = 0;
      for (const { first, last, replicas } of ring.ranges(replication)) {
        assert.equal(first, next);
        assert.ok(last >= first);
        for (const bucket of [first, last]) {
          assert.equal(ring.replicas(replication, gridToken(bucket)), replicas);
        }
        next = last + 1;
      }
      assert.equal(next, GRID_BUCKETS);
    }),
    { numRuns: 100 },
  );
});

test('local keyspaces have no replicas; an empty ring has none either', () => {
  const local = { class: 'org.apache.cassandra.locator.LocalStrategy' };
  const ring = new Ring(testState([testNode(1, { tokens: [gridToken(5)] })]));
  assert.ok(!isReplicated(local));
  assert.deepEqual(ring.replicas(local, 0n), []);
  const empty = new Ring(testState([]));
  assert.deepEqual(empty.replicas({ class: SIMPLE, replication_factor: '1' }, 0n), []);
  assert.deepEqual(empty.ranges({ class: SIMPLE, replication_factor: '1' }), [
    { first: 0, last: 65535, replicas: [] },
  ]);
});

test('the parts of the token space that nodes have copies of add up to the replication factor', () => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const state = testState(shape.nodes);
      const replication = { class: SIMPLE, replication_factor: '2' };
      const shares = shape.nodes.map(({ hostId }) => ownedShare(state, replication, hostId));
      const copies = Math.min(2, order(shape, 0n).length);
      const sum = shares.reduce((total, share) => total + share, 0);
      // A node without anything counts as one bucket.
      assert.ok(Math.abs(sum - copies) < 0.001, `${sum}`);
      assert.ok(shares.every((share) => share > 0 && share <= 1));
    }),
    { numRuns: 50 },
  );
  const local = { class: 'org.apache.cassandra.locator.LocalStrategy' };
  assert.equal(ownedShare(testState([]), local, 'x'), 1);
});

test('while ranges move, old and new owners are written to, and one of both is read', () => {
  const replication = { class: SIMPLE, replication_factor: '2' };
  fc.assert(
    fc.property(shapes, fc.boolean(), fc.nat(9), (shape, isSwitched, leaver) => {
      const before = testState(shape.nodes);
      const node = shape.nodes[leaver];
      const after = testState(shape.nodes.filter((one) => one !== node));
      const operation = {
        id: 'x',
        kind: 'leave',
        hostId: node.hostId,
        replaces: null,
        tokens: [],
        phase: isSwitched ? 'switched' : 'streaming',
        startEpoch: 2,
        phaseEpoch: 2,
        done: [],
      } as const;
      const ring = new Ring({ nodes: before.nodes, operations: [operation] });
      const old = new Ring(before);
      const next = new Ring(after);
      const reads = ring.placement(replication);
      const writes = ring.writes(replication);
      for (const bucket of [shape.bucket, 0, GRID_BUCKETS - 1]) {
        const token = gridToken(bucket);
        const expected = (isSwitched ? next : old).replicas(replication, token);
        assert.deepEqual(reads.ofBucket(bucket), expected);
        const all = writes.ofBucket(bucket);
        const both = new Set([
          ...old.replicas(replication, token),
          ...next.replicas(replication, token),
        ]);
        assert.deepEqual(new Set(all), both);
        assert.deepEqual(
          new Set(writes.extrasOf(all)),
          new Set([...both].filter((one) => !expected.includes(one))),
        );
      }
    }),
    { numRuns: 200 },
  );
  const still = new Ring(testState([testNode(1, { tokens: [gridToken(5)] })]));
  assert.equal(still.writes(replication), still.placement(replication));
});
