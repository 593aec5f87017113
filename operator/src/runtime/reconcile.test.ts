import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryApi } from '../memory/memory-api.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import { type DatabaseNodes, NodeCallError } from '../ports/nodes.ts';
import { viewOf } from '../testing/views.ts';
import { Reconciler } from './reconcile.ts';

const KEY = { namespace: 'default', name: 'demo' };
const QUOTA = 'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=9';

function unreachable(): never {
  throw new NodeCallError('UNREACHABLE', 'nobody is there');
}

function world() {
  let now = 0;
  const api = new MemoryApi({
    nowMillis: () => now++,
    deliver: (run) => run(),
    onGone: () => {},
    newUid: (_kind, count) => `uid-${count}`,
  });
  const { cluster } = viewOf([], 1, ['a']);
  api.put('DatacenterCluster', { ...cluster, status: undefined } as never);
  const faults = { isFull: true };
  const kube = new Proxy<KubeApi>(api, {
    get: (target, name: keyof KubeApi) => {
      if (name !== 'create') return target[name].bind(target as never);
      return (kind: 'Pod', object: never) => {
        if (kind === 'Pod' && faults.isFull) throw new KubeError('FORBIDDEN', QUOTA);
        return api.create(kind, object);
      };
    },
  });
  const silent = () => {};
  const clock = { nowMillis: () => now, after: () => silent };
  const reconciler = new Reconciler({
    ...{ kube, clock, cache: kube, live: kube, random: () => 0.5, defaults: { image: 'i:1' } },
    database: { status: unreachable } as unknown as DatabaseNodes,
    certificates: { ensure: () => assert.fail('without TLS') },
    log: { info: silent, warn: silent, error: silent },
  });
  const turns = async (count: number) => {
    for (let i = 0; i < count; i++) await reconciler.reconcile(KEY);
    const live = await api.get('DatacenterCluster', KEY);
    return live?.status?.conditions?.find(({ type }) => type === 'ObjectsReady');
  };
  return { api, faults, turns };
}

test('what Kubernetes refuses is told in its words, as a condition and an event, until it is taken', async () => {
  const { api, faults, turns } = world();
  const told = await turns(12);
  assert.deepEqual([told?.status, told?.reason], ['False', 'Refused']);
  assert.match(told?.message ?? '', /^Kubernetes refuses to create Pod demo-.*exceeded quota/);
  const warnings = api.events.filter(({ type }) => type === 'Warning');
  assert.equal(warnings[0]?.reason, 'Refused');
  assert.match(warnings[0]?.note ?? '', /exceeded quota/);
  faults.isFull = false;
  assert.equal((await turns(3))?.status, 'True');
});

test('nor is it told any more when it is not wanted any more', async () => {
  const { api, turns } = world();
  assert.equal((await turns(12))?.status, 'False');
  const [cluster] = api.all('DatacenterCluster');
  api.edit('DatacenterCluster', cluster, ({ spec = {} }) => {
    spec['stopped'] = true;
  });
  assert.equal((await turns(4))?.status, 'True');
});
