import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeInfo, NodeState } from '../cluster/cluster-state.ts';
import { clusterEvents } from './cluster-events.ts';
import type { ClusterView } from './cluster-view.ts';

function node(last: number, state: NodeState = 'normal'): NodeInfo {
  return {
    hostId: String(last),
    address: `10.0.0.${last}`,
    controlPort: 7000,
    dataPort: 7001,
    datacenter: 'dc1',
    rack: 'r1',
    rpcAddress: `10.1.0.${last}`,
    rpcPort: 9042,
    tokens: [],
    state,
    releaseVersion: '',
  };
}

function view(nodes: readonly NodeInfo[], alive: readonly number[]): ClusterView {
  return {
    state: {
      epoch: 1,
      clusterName: '',
      clusterId: '',
      topologyEpoch: 0,
      operations: [],
      ended: [],
      nodes: new Map(nodes.map((one) => [one.hostId, one])),
      schema: { format: 1, epoch: 0, version: '', keyspaces: [] },
    },
    alive: new Set(alive.map(String)),
    node: { hostId: '1' } as ClusterView['node'],
    peers: [],
  };
}

const show = (before: ClusterView, after: ClusterView) =>
  clusterEvents(before, after).map(
    ({ change, address, port }) => `${change} ${address.join('.')}:${port}`,
  );

test('nodes come, go, and are gone for good', () => {
  const one = view([node(1)], [1]);
  const two = view([node(1), node(2)], [1]);
  const both = view([node(1), node(2)], [1, 2]);
  assert.deepEqual(show(one, one), []);
  assert.deepEqual(show(one, two), ['NEW_NODE 10.1.0.2:9042']);
  assert.deepEqual(show(two, both), ['UP 10.1.0.2:9042']);
  assert.deepEqual(show(one, both), ['NEW_NODE 10.1.0.2:9042', 'UP 10.1.0.2:9042']);
  assert.deepEqual(show(both, two), ['DOWN 10.1.0.2:9042']);
  const leaving = view([node(1), node(2, 'leaving')], [1, 2]);
  assert.deepEqual(show(both, leaving), []);
  assert.deepEqual(show(leaving, view([node(1), node(2, 'left')], [1])), [
    'REMOVED_NODE 10.1.0.2:9042',
  ]);
  assert.deepEqual(show(both, view([node(1), node(2, 'left')], [1])), [
    'REMOVED_NODE 10.1.0.2:9042',
  ]);
});

test('a node that comes back with another address is a new one to clients', () => {
  const moved = { ...node(2), rpcAddress: '10.1.0.9' };
  const up = view([node(1), node(2)], [1, 2]);
  const down = view([node(1), node(2)], [1]);
  assert.deepEqual(show(down, view([node(1), moved], [1])), [
    'NEW_NODE 10.1.0.9:9042',
    'REMOVED_NODE 10.1.0.2:9042',
  ]);
  // It was away for so short a time that nobody noticed.
  assert.deepEqual(show(up, view([node(1), moved], [1, 2])), [
    'NEW_NODE 10.1.0.9:9042',
    'UP 10.1.0.9:9042',
    'REMOVED_NODE 10.1.0.2:9042',
  ]);
});
