import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ClusterState, NodeInfo } from './cluster-state.ts';
import { refusalOfStopping } from './disruption.ts';
import { gridToken } from './grid.ts';
import { type Replication, Ring } from './ring.ts';
import { testNode, testState, withKeyspaces } from './testing/nodes.ts';

const TOPOLOGY = 'org.apache.cassandra.locator.NetworkTopologyStrategy';

function ringOf(nodes: readonly NodeInfo[], replication: Replication): ClusterState {
  return withKeyspaces(testState(nodes), [replication]);
}

function nodesOf(count: number, racks: number): NodeInfo[] {
  return Array.from({ length: count }, (_, i) =>
    testNode(i, {
      rack: `r${i % racks}`,
      datacenter: 'dc1',
      tokens: [0, 1, 2, 3].map((k) => gridToken((k * count + i) * 37)),
    }),
  );
}

const viewOf = (state: ClusterState, down: readonly NodeInfo[] = []) => ({
  state,
  isAlive: (hostId: string) => !down.some((node) => node.hostId === hostId),
});

test('of three nodes with three replicas one may stop, and not while another is down', () => {
  const nodes = nodesOf(3, 1);
  const [a, b] = nodes;
  const state = ringOf(nodes, { class: TOPOLOGY, dc1: '3' });
  assert.equal(refusalOfStopping(viewOf(state), [a.hostId]), null);
  assert.match(
    refusalOfStopping(viewOf(state), [a.hostId, b.hostId]) ?? '',
    /a range in dc1 would lose its quorum: of its 3 replicas these would be down/,
  );
  assert.match(refusalOfStopping(viewOf(state, [b]), [a.hostId]) ?? '', new RegExp(b.address));
});

test('a whole rack may stop if each range has its replicas in three', () => {
  const nodes = nodesOf(9, 3);
  const state = ringOf(nodes, { class: TOPOLOGY, dc1: '3' });
  const rack = nodes.filter((node) => node.rack === 'r1').map(({ hostId }) => hostId);
  assert.equal(refusalOfStopping(viewOf(state), rack), null);
  const more = [...rack, nodes[0].hostId];
  assert.notEqual(refusalOfStopping(viewOf(state), more), null);
});

test('what has lost its quorum already is no reason; one replica may go, as none could otherwise', () => {
  const nodes = nodesOf(3, 1);
  const [a, b, c] = nodes;
  const three = ringOf(nodes, { class: TOPOLOGY, dc1: '3' });
  assert.equal(refusalOfStopping(viewOf(three, [a, b]), [c.hostId]), null);
  for (const factor of ['1', '2']) {
    const few = ringOf(nodes, { class: TOPOLOGY, dc1: factor });
    assert.equal(refusalOfStopping(viewOf(few), [a.hostId]), null);
  }
  const two = ringOf(nodes, { class: TOPOLOGY, dc1: '2' });
  assert.notEqual(refusalOfStopping(viewOf(two), [a.hostId, b.hostId]), null);
  assert.match(refusalOfStopping(viewOf(two), ['x']) ?? '', /no node x/);
});

test('as each range by itself says it', () => {
  const shape = fc.record({
    count: fc.integer({ min: 3, max: 7 }),
    racks: fc.integer({ min: 1, max: 3 }),
    down: fc.array(fc.nat(6), { maxLength: 2 }),
    stopping: fc.array(fc.nat(6), { minLength: 1, maxLength: 3 }),
  });
  fc.assert(
    fc.property(shape, ({ count, racks, down, stopping }) => {
      const nodes = nodesOf(count, racks);
      const replication = { class: TOPOLOGY, dc1: '3' };
      const state = ringOf(nodes, replication);
      const isDown = (node: NodeInfo) => down.some((i) => nodes[i % count] === node);
      const goes = (node: NodeInfo) => stopping.some((i) => nodes[i % count] === node);
      const loses = new Ring(state)
        .placement(replication)
        .ranges()
        .some(({ replicas }) => {
          const now = replicas.filter((node) => !isDown(node)).length;
          const then = replicas.filter((node) => !isDown(node) && !goes(node)).length;
          return now >= 2 && then < 2;
        });
      const view = viewOf(state, nodes.filter(isDown));
      const asked = nodes.filter(goes).map(({ hostId }) => hostId);
      assert.equal(refusalOfStopping(view, asked) !== null, loses);
    }),
  );
});
