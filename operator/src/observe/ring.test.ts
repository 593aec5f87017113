import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdminStatus, DatabaseNodes } from '../ports/nodes.ts';
import { viewOf, withNodes, withPods, withSpec } from '../testing/views.ts';
import { observeRing } from './ring.ts';

const ALL = ['a1', 'a2', 'a3'];

/** Each pod at an address of its own. */
const VIEW = withNodes(
  withPods(
    viewOf(
      ALL.map((name) => ({ name, rack: 'a' })),
      3,
      ['a'],
    ),
  ),
  (node) => ({
    ...node,
    pod: node.pod && {
      ...node.pod,
      status: { ...node.pod.status, podIP: node.object.metadata.name },
    },
  }),
);

/** @param clusterOf by host id: who says of which cluster it is */
function database(clusterOf: Readonly<Record<string, string>>): DatabaseNodes {
  const status = (hostId: string): AdminStatus => ({
    ...{ version: '1', clusterName: 'demo', datacenter: 'dc1', rack: 'a', hostId },
    ...{ cqlAddress: '', state: 'serving', uptimeSeconds: 0, loadBytes: 0, memtableBytes: 0 },
    ...{ cacheBytes: 0, residentBytes: 0, durability: 'group', keyspaces: 0, tables: 0 },
    ...{ workers: [], shards: [], diskBytes: 0, diskFreeBytes: 0, clusterId: clusterOf[hostId] },
    nodes: ALL.filter((one) => clusterOf[one] === clusterOf[hostId]).map((one) => ({
      ...{ hostId: one, address: `${one}:7000`, datacenter: 'dc1', rack: 'a', state: 'normal' },
      ...{ alive: true, tokens: 16, version: '1' },
    })),
  });
  const none = () => assert.fail('not asked for here');
  return {
    status: async ({ address }) => status(address),
    operations: async () => [],
    ...{ removeNode: none, configure: none, ensureKeyspace: none, cancel: none },
    checkDisruption: none,
  };
}

/** @param own of the nodes those of this Kubernetes */
const observed = (clusterOf: Readonly<Record<string, string>>, known?: string, own = ALL) => {
  const { cluster } = withSpec(VIEW, { contactPoints: ['a3:7000'] });
  const status = known === undefined ? {} : { clusterId: known };
  const nodes = VIEW.nodes.filter(({ object }) => own.includes(object.metadata.name));
  return observeRing(database(clusterOf), { ...cluster, status }, nodes);
};

test('what a node of another cluster says is not what the ring is', async () => {
  const mixed = { a1: 'other', a2: 'ours', a3: 'ours' };
  const ring = await observed(mixed, 'ours');
  assert.ok(ring.known);
  assert.deepEqual([...ring.members.keys()], ['a2', 'a3']);
  const lost = await observed({ a1: 'other', a2: 'other', a3: 'other' }, 'ours');
  assert.ok(!lost.known);
  assert.match(
    lost.why,
    /a3.* is in another cluster, other; this one is ours \(status\.clusterId\)/,
  );
});

test('as long as it is not written down which cluster it is, all have to be of one', async () => {
  const ring = await observed({ a1: 'ours', a2: 'ours', a3: 'ours' });
  assert.ok(ring.known && ring.clusterId === 'ours');
  const mixed = await observed({ a1: 'other', a2: 'ours', a3: 'ours' });
  assert.ok(!mixed.known);
  assert.match(mixed.why, /a2 is in another cluster/);
});

const OURS = { a1: 'ours', a2: 'ours', a3: 'ours' };

test('of a ring with nodes elsewhere one of those confirms what the only node here says', async () => {
  const ring = await observed(OURS, 'ours', ['a1']);
  assert.ok(ring.known);
  assert.deepEqual(
    ring.places.map(({ address }) => address),
    ['a1', 'a2'],
  );
  assert.equal(ring.members.get('a3')?.askedBy, 2);
});

test('without a node here contact points are asked, if they are of this cluster', async () => {
  const ring = await observed(OURS, 'ours', []);
  assert.ok(ring.known);
  assert.deepEqual(
    ring.places.map(({ address }) => address),
    ['a3', 'a1'],
  );
  const other = await observed({ ...OURS, a3: 'other' }, 'ours', []);
  assert.ok(!other.known);
  assert.match(other.why, /a3:7000 is in another cluster/);
  const first = await observed(OURS, undefined, []);
  assert.ok(first.known && first.clusterId === 'ours');
});
