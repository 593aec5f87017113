import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterView } from '../observe/view.ts';
import type { Machine } from '../ports/kube-objects.ts';
import { viewOf, withNodes, withPods } from '../testing/views.ts';
import { decide } from './decide.ts';

const NODES = ['a1', 'b1', 'c1'].map((name) => ({ name, rack: name[0] }));

/** a1 is to be replaced and down. @param seconds since the end of its pod's grace period; null: the pod is gone */
function viewWith(seconds: number | null, ready: 'True' | 'Unknown'): ClusterView {
  const [first, ...rest] = NODES;
  const view = withPods(viewOf([{ ...first, replace: true }, ...rest], 3, ['a', 'b', 'c']));
  const { ring, nowMillis } = view;
  assert.ok(ring.known);
  const members = [...ring.members].map(
    ([id, one]) => [id, { ...one, aliveBy: id === 'a1' ? 0 : 2 }] as const,
  );
  const going = withNodes(view, (node) => {
    const { pod } = node;
    if (pod === null || node.object.metadata.name !== 'a1') return node;
    if (seconds === null) return { ...node, pod: null };
    const deletionTimestamp = new Date(nowMillis - seconds * 1000).toISOString();
    return { ...node, pod: { ...pod, metadata: { ...pod.metadata, deletionTimestamp } } };
  });
  const machines = [...view.machines].map(([name, machine]): [string, Machine] => {
    return [name, { ...machine, status: { conditions: [{ type: 'Ready', status: ready }] } }];
  });
  return {
    ...going,
    machines: new Map(machines),
    ring: { ...ring, members: new Map(members) },
  };
}

/** Whether a node in its place is made now, and why not. */
function successor(view: ClusterView): readonly [boolean, string] {
  const options = { defaults: { image: 'ilion:1' }, random: () => 0.5 };
  const { actions, clusterStatus } = decide(view, options);
  const told = clusterStatus.conditions?.find(({ type }) => type === 'Degraded');
  const made = actions.some((one) => one.do === 'create' && one.kind === 'DatabaseNode');
  return [made, told?.message ?? ''];
}

test('a successor waits until the pod before it is gone, so that the scheduler sees its machine free', () => {
  const [isMade, why] = successor(viewWith(-30, 'True'));
  assert.equal(isMade, false);
  assert.match(why, /a1 is replaced as soon as its pod is gone/);
  assert.equal(successor(viewWith(59, 'True'))[0], false);
  assert.equal(successor(viewWith(null, 'True'))[0], true);
});

test('a successor does not wait for a pod that hangs, or whose machine is silent', () => {
  assert.equal(successor(viewWith(61, 'True'))[0], true);
  assert.equal(successor(viewWith(-30, 'Unknown'))[0], true);
});
