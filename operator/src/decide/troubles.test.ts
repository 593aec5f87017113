import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../ports/kube-objects.ts';
import { viewOf, withNodes, withPods } from '../testing/views.ts';
import { decide } from './decide.ts';

/** What the cluster says of itself while its second node's pod is like this. */
function toldOf(change: (pod: Pod) => Pod): string {
  const both = [
    { name: 'a1', rack: 'a' },
    { name: 'a2', rack: 'a' },
  ];
  const view = withNodes(withPods(viewOf(both, 2, ['a'])), (node) =>
    node.object.metadata.name === 'a2' && node.pod !== null
      ? { ...node, pod: change({ ...node.pod, status: {} }) }
      : node,
  );
  const { clusterStatus } = decide(view, { defaults: { image: 'i' }, random: () => 0.5 });
  return clusterStatus.conditions?.find(({ type }) => type === 'Ready')?.message ?? '';
}

test('an image that cannot be pulled is told with its field, the same at each try', () => {
  const waiting = (reason: string) =>
    toldOf((pod) => ({
      ...pod,
      spec: { ...pod.spec, containers: [{ name: 'ilion', image: 'node:none' }] },
      status: {
        containerStatuses: [
          { name: 'ilion', ready: false, restartCount: 0, state: { waiting: { reason } } },
        ],
      },
    }));
  const told = waiting('ErrImagePull');
  assert.match(
    told,
    /^1 of 2 nodes serve\.\nthe image node:none cannot be pulled: correct spec\.image/,
  );
  assert.equal(waiting('ImagePullBackOff'), told);
});

test('what a pod that has no place asks for is told with its fields', () => {
  const told = toldOf((pod) => ({
    ...pod,
    spec: { ...pod.spec, nodeSelector: { 'topology.kubernetes.io/zone': 'nowhere' } },
    status: { conditions: [{ type: 'PodScheduled', status: 'False', message: '0/1 nodes.' }] },
  }));
  assert.match(
    told,
    /not scheduled: 0\/1 nodes\. It asks for topology\.kubernetes\.io\/zone=nowhere/,
  );
  assert.match(told, /zone, nodeSelector or tolerations in spec\.racks/);
});

test('however many nodes are in trouble, and however long it is told, the status is one that the schema takes', () => {
  const given = Array.from({ length: 400 }, (_, i) => ({ name: `demo-dc1-a-${i}`, rack: 'a' }));
  const view = withNodes(withPods(viewOf(given, 1, ['a'])), (node) =>
    node.pod === null
      ? node
      : {
          ...node,
          pod: {
            ...node.pod,
            status: {
              containerStatuses: [
                {
                  ...{ name: 'ilion', ready: false, restartCount: 1 },
                  state: { waiting: { reason: 'CrashLoopBackOff', message: 'x'.repeat(5000) } },
                },
              ],
            },
          },
        },
  );
  const { clusterStatus, nodeStatuses } = decide(view, {
    defaults: { image: 'i' },
    random: () => 0.5,
  });
  for (const { conditions = [] } of [clusterStatus, ...nodeStatuses.values()]) {
    for (const { type, message } of conditions) {
      assert.ok(message.length <= 4096, `${type} has ${message.length} characters`);
    }
  }
});
