import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryApi } from '../memory/memory-api.ts';
import { ownedBy } from '../ports/kube-objects.ts';
import type { DatabaseNodes } from '../ports/nodes.ts';
import { clientService, disruptionBudgets } from '../resources/cluster-objects.ts';
import { nodeLabels } from '../resources/names.ts';
import { viewOf } from '../testing/views.ts';
import { observe } from './observe.ts';

const { cluster: CLUSTER } = viewOf([], 3, ['a']);
const NAME = 'demo-dc1-a-abcde';
const PLACE = { cluster: 'demo', datacenter: 'dc1', rack: 'a' };

function world() {
  let now = 0;
  const api = new MemoryApi({
    nowMillis: () => now++,
    deliver: () => {},
    onGone: () => {},
    newUid: (_kind, count) => `uid-${count}`,
  });
  const { metadata } = api.put('DatacenterCluster', CLUSTER as never);
  const cluster = { ...CLUSTER, metadata: { ...CLUSTER.metadata, uid: metadata.uid } };
  const deps = {
    database: {} as DatabaseNodes,
    ...{ certificates: async () => null, volume: async () => null, nowMillis: 0 },
    ...{
      refusedWrites: [],
      refusals: new Map(),
      taken: new Map(),
      keyspaces: new Map(),
      disks: new Map(),
    },
  };
  const look = async () => {
    const view = await observe(api, { namespace: 'default', name: 'demo' }, deps);
    assert.ok(view !== null);
    return view;
  };
  return { api, cluster, look };
}

const owned = (owner: object) => ({ ownerReferences: [owner] });

test('whose a Service is its owner says, and the labels of one that has lost its owner', async () => {
  const { api, cluster, look } = world();
  const draft = clientService(cluster);
  const cases: readonly (readonly [metadata: object, isOwn: boolean])[] = [
    [{}, true],
    [{ ownerReferences: [] }, true],
    [{ ownerReferences: [], labels: { app: 'shop' } }, false],
    [owned({ ...ownedBy(cluster), uid: 'of-an-earlier-one' }), false],
  ];
  for (const [metadata, isOwn] of cases) {
    const service = api.put('Service', { ...draft, metadata: { ...draft.metadata, ...metadata } });
    const { client, foreign } = await look();
    assert.equal(client !== null, isOwn, JSON.stringify(metadata));
    assert.deepEqual(foreign, isOwn ? [] : ['Service demo']);
    api.remove('Service', service);
  }
});

test('so it is with budgets', async () => {
  const { api, cluster, look } = world();
  for (const one of disruptionBudgets(cluster, 'all', { least: 2, all: 3 })) {
    api.put('PodDisruptionBudget', {
      ...one,
      metadata: { ...one.metadata, ...owned({ ...ownedBy(cluster), uid: 'of-an-earlier-one' }) },
    });
  }
  const { budgets, foreign } = await look();
  assert.equal(budgets.size, 0);
  assert.deepEqual(foreign, ['PodDisruptionBudget demo.held', 'PodDisruptionBudget demo']);
});

test('what an earlier cluster of the name has left is seen while this one has no nodes', async () => {
  const { api, cluster, look } = world();
  const metadata = { name: NAME, namespace: 'default', labels: nodeLabels(NAME, PLACE) };
  const node = (owner: object) => ({ metadata: { ...metadata, ...owner }, spec: PLACE });
  const left = api.put('DatabaseNode', node({}));
  api.put('Pod', { metadata, spec: {} });
  const { nodes, predecessors } = await look();
  assert.equal(nodes.length, 0);
  assert.deepEqual(predecessors, [`DatabaseNode ${NAME}`, `Pod ${NAME}`]);
  api.remove('DatabaseNode', left);
  api.put('DatabaseNode', node(owned(ownedBy(cluster))));
  assert.deepEqual((await look()).predecessors, []);
});
