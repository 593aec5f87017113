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
