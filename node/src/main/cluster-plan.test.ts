import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from './cli-arguments.ts';
import { planCluster } from './cluster-plan.ts';

const shape = { nodes: null, datacenters: null, racks: null, dataDirectory: 'data' };

test('three nodes of one datacenter by default', () => {
  assert.deepEqual(
    planCluster(shape).map(({ name, address, datacenter, rack, dataDirectory }) =>
      [name, address, datacenter, rack, dataDirectory].join(' '),
    ),
    [
      'n1 127.0.0.1 datacenter1 rack1 data/n1',
      'n2 127.0.0.2 datacenter1 rack1 data/n2',
      'n3 127.0.0.3 datacenter1 rack1 data/n3',
    ],
  );
});

test('datacenters and racks', () => {
  const nodes = planCluster({ ...shape, datacenters: 'east:3,west:2', racks: '2' });
  assert.deepEqual(
    nodes.map((node) => `${node.address} ${node.datacenter} ${node.rack}`),
    [
      '127.0.0.1 east rack1',
      '127.0.0.2 east rack2',
      '127.0.0.3 east rack1',
      '127.0.0.4 west rack1',
      '127.0.0.5 west rack2',
    ],
  );
});

test('what cannot be meant is refused', () => {
  for (const wrong of [
    { nodes: '0' },
    { nodes: 'many' },
    { nodes: '65' },
    { nodes: '3', datacenters: 'dc1:3' },
    { datacenters: 'dc1' },
    { datacenters: 'dc1:1,dc1:2' },
    { datacenters: 'a:40,b:40' },
    { racks: '-1' },
  ]) {
    assert.throws(() => planCluster({ ...shape, ...wrong }), UsageError, JSON.stringify(wrong));
  }
});
