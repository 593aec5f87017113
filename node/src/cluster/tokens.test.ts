import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeInfo } from './cluster-state.ts';
import { bucketOfToken, GRID_BUCKETS, gridToken, isGridToken } from './grid.ts';
import { Ring } from './ring.ts';
import { seededRandom, testNode, testState } from './testing/nodes.ts';
import { chooseTokens, TokensExhaustedError } from './tokens.ts';

function join(count: number, datacenters: number, seed: number, tokens = 16): NodeInfo[] {
  const random = seededRandom(seed);
  const nodes: NodeInfo[] = [];
  for (let i = 0; i < count; i++) {
    const datacenter = `dc${i % datacenters}`;
    nodes.push(
      testNode(i, {
        datacenter,
        tokens: chooseTokens({ nodes, datacenter, count: tokens, random }),
      }),
    );
  }
  return nodes;
}

/** Part of the ring that each node of a datacenter has with a replication, relative to the fair part. */
function shares(nodes: readonly NodeInfo[], datacenter: string, factor: number): number[] {
  const ring = new Ring(testState(nodes));
  const owned = new Map<NodeInfo, number>();
  const replication = { class: 'NetworkTopologyStrategy', [datacenter]: String(factor) };
  for (const { first, last, replicas } of ring.ranges(replication)) {
    for (const node of replicas) owned.set(node, (owned.get(node) ?? 0) + last - first + 1);
  }
  const members = nodes.filter((node) => node.datacenter === datacenter);
  const fair = (GRID_BUCKETS * Math.min(factor, members.length)) / members.length;
  return members.map((node) => (owned.get(node) ?? 0) / fair);
}

test('tokens are on the grid, ascending, and nobody else has them', () => {
  for (const datacenters of [1, 2, 3]) {
    const nodes = join(60, datacenters, datacenters);
    const all = nodes.flatMap(({ tokens }) => tokens);
    assert.ok(all.every(isGridToken));
    assert.equal(new Set(all).size, 60 * 16);
    for (const { tokens } of nodes) {
      assert.deepEqual(
        tokens,
        [...tokens].sort((a, b) => (a < b ? -1 : 1)),
      );
    }
  }
});

test('nodes of a datacenter own nearly the same', () => {
  for (const [count, limit] of [
    [2, 1.01],
    [3, 1.01],
    [6, 1.05],
    [50, 1.25],
  ] as const) {
    for (let seed = 0; seed < 5; seed++) {
      const nodes = join(count * 2, 2, seed);
      const most = Math.max(...shares(nodes, 'dc1', 1));
      assert.ok(most < limit, `${count} nodes, seed ${seed}: the largest has ${most}`);
      const replicated = Math.max(...shares(nodes, 'dc1', 3));
      assert.ok(replicated < 1.35, `${count} nodes, seed ${seed}, RF 3: ${replicated}`);
    }
  }
});

test('tokens are where files of tables are cut, as long as there is room', () => {
  for (const [count, stride] of [
    [1, 512],
    [2, 256],
    [8, 64],
    [64, 8],
  ] as const) {
    for (const { tokens } of join(count, 2, count)) {
      for (const token of tokens) assert.equal((bucketOfToken(token) + 1) % stride, 0);
    }
  }
});

test('another number of tokens; a full grid is refused', () => {
  assert.equal(join(5, 1, 1, 1).flatMap(({ tokens }) => tokens).length, 5);
  const full = testNode(1, {
    tokens: Array.from({ length: GRID_BUCKETS - 3 }, (_, i) => gridToken(i)),
  });
  const choice = { nodes: [full], datacenter: 'dc2', random: () => 0.5 };
  assert.equal(chooseTokens({ ...choice, count: 3 }).length, 3);
  assert.throws(() => chooseTokens({ ...choice, count: 4 }), TokensExhaustedError);
});
