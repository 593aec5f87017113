import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterView } from '../observe/view.ts';
import { viewOf, withPods, withSpec } from '../testing/views.ts';
import { decide } from './decide.ts';

const NODES = ['a1', 'a2', 'a3'].map((name) => ({ name, rack: 'a' }));
const options = { defaults: { image: 'ilion:1' }, random: () => 0.5 };

/** The first two nodes have an object; the third is a member that has none. */
function lost(view: ClusterView, alive: number): ClusterView {
  const { ring } = view;
  assert.ok(ring.known);
  const members = new Map(ring.members);
  const [, , third] = [...members.values()];
  members.set(third.hostId, { ...third, aliveBy: alive });
  return { ...view, nodes: view.nodes.slice(0, 2), ring: { ...ring, members } };
}

const full = withPods(viewOf(NODES, 3, ['a']));
const joined = withSpec(full, { contactPoints: ['10.9.9.9'] });

function created(view: ClusterView): readonly (string | undefined)[] {
  return decide(view, options).actions.flatMap((one) =>
    one.do === 'create' && one.kind === 'DatabaseNode' ? [one.object.spec.replaces] : [],
  );
}

test('a member that is down and has no object is replaced', () => {
  assert.deepEqual(created(lost(full, 0)), ['a3']);
});

test('in a ring that others had begun only if its volume says that it was ours', () => {
  const view = lost(joined, 0);
  assert.deepEqual(created(view), []);
  const condition = decide(view, options).clusterStatus.conditions?.find(
    ({ type }) => type === 'ScalingUp',
  );
  assert.equal(condition?.reason, 'DatacenterTaken');
  assert.match(condition.message, /members in dc1 that are not of this cluster: a3 \(10\.0\.0\.1/);
  const volume = joined.nodes[2].claim;
  assert.ok(volume !== null);
  assert.deepEqual(created({ ...view, strays: [volume] }), ['a3']);
});

test('nobody joins a datacenter that others have', () => {
  const view = { ...lost(joined, 2), nodes: [] };
  assert.deepEqual(created(view), []);
});

test('of a ring of which nothing is known yet one node is made', () => {
  const none = { ...joined, nodes: [], ring: { known: false as const, why: 'nobody is there' } };
  assert.equal(created(none).length, 1);
});
