import assert from 'node:assert/strict';
import { test } from 'node:test';
import { homesOf } from '../observe/homes.ts';
import type { ClusterView } from '../observe/view.ts';
import type { Machine, NodeTerm, Volume } from '../ports/kube-objects.ts';
import { viewOf, withNodes, withPods } from '../testing/views.ts';
import { decide } from './decide.ts';
import { gatherFacts } from './facts.ts';
import { planNumbers } from './numbers.ts';
import { isStranded, showStuck, stuckOn } from './places.ts';

const NODES = ['a', 'b', 'c'].map((rack) => ({ name: `${rack}1`, rack }));

function machine(name: string, spec: Machine['spec'], zone = 'z1'): Machine {
  const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone };
  const metadata = { name, namespace: '', uid: name, resourceVersion: '1', labels };
  return { apiVersion: 'v1', kind: 'Node', metadata, spec };
}

function volume(terms: readonly NodeTerm[]): Volume {
  const metadata = { name: 'v', namespace: '', uid: 'v', resourceVersion: '1' };
  const spec = { nodeAffinity: { required: { nodeSelectorTerms: terms } } };
  return { apiVersion: 'v1', kind: 'PersistentVolume', metadata, spec };
}

test('a volume can be where its terms say', () => {
  const all = [machine('m1', {}), machine('m2', {}, 'z2')];
  const on = (key: string, ...values: string[]) =>
    homesOf(volume([{ matchExpressions: [{ key, operator: 'In', values }] }]), all);
  assert.equal(homesOf(volume([]), all), null);
  assert.deepEqual(on('kubernetes.io/hostname', 'm2'), ['m2']);
  assert.deepEqual(on('topology.kubernetes.io/zone', 'z1', 'z2'), ['m1', 'm2']);
  assert.deepEqual(on('kubernetes.io/hostname', 'm3'), []);
});

/** The pod of a1 has found no place for eleven minutes; its volume is on one of `machines`. */
function withoutPlace(
  machines: readonly Machine[],
  state: 'normal' | 'joining' = 'normal',
): ClusterView {
  const [first, ...rest] = NODES;
  const view = withPods(viewOf([{ ...first, state }, ...rest], 3, ['a', 'b', 'c']));
  const lastTransitionTime = new Date(view.nowMillis - 660_000).toISOString();
  const conditions = [{ type: 'PodScheduled', status: 'False', lastTransitionTime }];
  const away = withNodes(view, (node) => {
    const { pod } = node;
    if (node.object.metadata.name !== 'a1' || pod === null) return node;
    const { nodeName: _, ...spec } = pod.spec;
    const homes = machines.map(({ metadata }) => metadata.name);
    return { ...node, pod: { ...pod, spec, status: { phase: 'Pending', conditions } }, homes };
  });
  return { ...away, machines: new Map(machines.map((one) => [one.metadata.name, one])) };
}

function whyOf(machines: readonly Machine[]): string | null {
  const facts = gatherFacts(withoutPlace(machines));
  return stuckOn(facts.nodes[0], facts)?.why ?? null;
}

test('why a pod has no place', () => {
  const taint = { key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' };
  assert.equal(whyOf([machine('m1', {})]), null);
  assert.match(whyOf([]) ?? '', /not there any more/);
  assert.match(whyOf([machine('m1', { unschedulable: true })]) ?? '', /m1, which is cordoned/);
  assert.match(whyOf([machine('m1', { taints: [taint] })]) ?? '', /out-of-service:NoExecute/);
  assert.equal(whyOf([machine('m1', { unschedulable: true }), machine('m2', {})]), null);
});

test('what is waited for, since when, and what becomes of it', () => {
  const facts = gatherFacts(withoutPlace([machine('m1', { unschedulable: true })]));
  const [node] = facts.nodes;
  const stuck = stuckOn(node, facts);
  assert.ok(stuck);
  assert.match(
    showStuck(stuck, node, facts),
    /^no place since 2026-01-31T23:49:00Z: .* 10m \(spec/,
  );
});

test('a member for whose pod there is only no room is not replaced: its volume is safe', () => {
  const replaced = (machines: readonly Machine[], phase: string) => {
    const view = withoutPlace(machines);
    const downSince = new Date(view.nowMillis - 660_000).toISOString();
    const { ring } = view;
    assert.ok(ring.known);
    const members = [...ring.members].map(
      ([id, one]) => [id, { ...one, aliveBy: id === 'a1' ? 0 : 2 }] as const,
    );
    const down = withNodes(view, ({ object, claim, ...node }) => ({
      ...node,
      claim: claim && { ...claim, status: { phase } },
      object: {
        ...object,
        status: { ...object.status, ...(object.metadata.name === 'a1' ? { downSince } : {}) },
      },
    }));
    const { actions, clusterStatus } = decide(
      { ...down, ring: { ...ring, members: new Map(members) } },
      { defaults: { image: 'ilion:1' }, random: () => 0.5 },
    );
    const told = clusterStatus.conditions?.find(({ type }) => type === 'Degraded')?.message;
    return [actions.some(({ reason }) => reason === 'Replaced'), told ?? ''] as const;
  };
  assert.equal(replaced([machine('m1', {})], 'Lost')[0], true);
  assert.equal(replaced([machine('m1', { unschedulable: true })], 'Bound')[0], true);
  assert.equal(replaced([], 'Bound')[0], true);
  const [isReplaced, told] = replaced([machine('m1', {})], 'Bound');
  assert.equal(isReplaced, false);
  assert.match(told, /a1 is not replaced: Kubernetes has no room for its pod/);
});

test('a node that has nothing yet is given up with its machine; a member is replaced', () => {
  const going = (state: 'normal' | 'joining', machines: readonly Machine[]) => {
    const facts = gatherFacts(withoutPlace(machines, state));
    assert.equal(isStranded(facts.nodes[0], facts), machines.length === 0);
    return [...planNumbers(facts).going];
  };
  assert.deepEqual(going('joining', []), ['a1']);
  assert.deepEqual(going('joining', [machine('m1', {})]), []);
  assert.deepEqual(going('normal', []), []);
});

test('a node that has nothing yet is given up, too, when its pod does not end: nobody is on its machine', () => {
  const going = (seconds: number, state: 'normal' | 'joining') => {
    const view = withNodes(withoutPlace([], state), ({ pod, ...node }) => {
      if (pod === null || node.object.metadata.name !== 'a1') return { ...node, pod };
      const since = Date.UTC(2026, 1, 1) - seconds * 1000;
      const deletionTimestamp = new Date(since).toISOString();
      const metadata = { ...pod.metadata, deletionTimestamp };
      const spec = { ...pod.spec, nodeName: 'm1' };
      return { ...node, homes: null, pod: { ...pod, metadata, spec, status: {} } };
    });
    return [...planNumbers(gatherFacts(view)).going];
  };
  assert.deepEqual(going(660, 'joining'), ['a1']);
  assert.deepEqual(going(540, 'joining'), []);
  assert.deepEqual(going(660, 'normal'), []);
});
