import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterSpec } from '../api/datacenter-cluster.ts';
import type { ClusterView } from '../observe/view.ts';
import type { PodInputs } from '../resources/node-pod.ts';
import { viewOf, withNodes, withPods, withSpec } from '../testing/views.ts';
import { decide } from './decide.ts';

const OPTIONS = { defaults: { image: 'default' }, random: () => 0.5 };
const NODES = ['a', 'b', 'c'].map((rack) => ({ name: `${rack}1`, rack }));

/** All have image old, and the spec says new. @param gone nodes without pods @param has nodes that have the new image */
function changed(
  update: Partial<ClusterSpec['update']>,
  { gone, has = [] }: { readonly gone: readonly string[]; readonly has?: readonly string[] },
): ClusterView {
  const base = viewOf(NODES, 3, ['a', 'b', 'c']);
  const before = withPods(withSpec(base, { image: 'old' }));
  const after = withPods(withSpec(base, { image: 'new' }));
  const view = withSpec(before, {
    image: 'new',
    update: { maxUnavailable: 1, paused: false, ...update },
  });
  return withNodes(view, (node) => {
    const { name } = node.object.metadata;
    if (gone.includes(name)) return { ...node, pod: null };
    const found = after.nodes.find(({ object }) => object.metadata.name === name);
    return has.includes(name) && found !== undefined ? found : node;
  });
}

function imagesMade(view: ClusterView): Readonly<Record<string, string>> {
  const { actions } = decide(view, OPTIONS);
  return Object.fromEntries(
    actions.flatMap((one) =>
      one.do === 'create' && one.kind === 'Pod'
        ? [[one.object.metadata.name, one.object.spec.containers[0].image]]
        : [],
    ),
  );
}

test('a pod that dies comes back as it was while changes are held back', () => {
  const both = { gone: ['a1', 'b1'] };
  assert.deepEqual(imagesMade(changed({}, both)), { a1: 'new', b1: 'new' });
  assert.deepEqual(imagesMade(changed({ paused: true }, both)), { a1: 'old', b1: 'old' });
  assert.deepEqual(imagesMade(changed({ canary: 1 }, both)), { a1: 'new', b1: 'old' });
  assert.deepEqual(imagesMade(changed({ canary: 1 }, { ...both, has: ['c1'] })), {
    ...{ a1: 'old', b1: 'old' },
  });
});

test('who has the change keeps it', () => {
  const view = changed({ paused: true }, { gone: [], has: ['a1'] });
  const without = withNodes(view, (node) =>
    node.object.metadata.name === 'a1' ? { ...node, pod: null } : node,
  );
  assert.deepEqual(imagesMade(without), { a1: 'new' });
});

test('what pods are made of is written down, also while they are away', () => {
  const { nodeStatuses } = decide(changed({ canary: 1 }, { gone: ['a1', 'b1'] }), OPTIONS);
  const made = [...nodeStatuses].map(([id, { made }]) => [id, (made as PodInputs).image]);
  assert.deepEqual(Object.fromEntries(made), { a1: 'new', b1: 'old', c1: 'old' });
});

test('a pod that does not run is not made anew while it is to stay as it is', () => {
  const view = withNodes(changed({ paused: true }, { gone: [] }), (node) => {
    const state = { waiting: { reason: 'CrashLoopBackOff' } };
    const waits = { name: 'ilion', ready: false, restartCount: 9, state };
    const pod = node.pod === null ? null : { ...node.pod };
    return pod === null || node.object.metadata.name !== 'a1'
      ? node
      : { ...node, pod: { ...pod, status: { phase: 'Running', containerStatuses: [waits] } } };
  });
  assert.equal(
    decide(view, OPTIONS).actions.some((one) => one.do === 'delete'),
    false,
  );
});
