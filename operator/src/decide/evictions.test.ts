import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterView } from '../observe/view.ts';
import { disruptionKey } from '../observe/view.ts';
import type { OperationInfo } from '../ports/nodes.ts';
import { disruptionBudgets, freeBy, type NodeSet } from '../resources/cluster-objects.ts';
import { viewOf, withNodes, withPods } from '../testing/views.ts';
import { upkeepOfCluster } from './cluster-objects.ts';
import { type Evictable, evictable, isShut } from './evictions.ts';
import { gatherFacts } from './facts.ts';

const NODES = ['a', 'b', 'c'].map((rack) => ({ name: `${rack}1`, rack }));
const CALM = withPods(viewOf(NODES, 3, ['a', 'b', 'c']));
const LEAVES: OperationInfo = {
  ...{ id: '1', kind: 'leave', hostId: 'c1', address: '', replaces: '' },
  ...{ phase: 'streaming', gainers: [], waits: '' },
};

function busy(view: ClusterView): ClusterView {
  assert.ok(view.ring.known);
  return { ...view, ring: { ...view.ring, operations: [LEAVES] } };
}

function cordoned(view: ClusterView, node: string): ClusterView {
  const machines = new Map(view.machines);
  const machine = machines.get(`on-${node}`);
  assert.ok(machine);
  machines.set(`on-${node}`, { ...machine, spec: { unschedulable: true } });
  return { ...view, machines };
}

function answered(view: ClusterView, hostIds: readonly string[], allowed: boolean): ClusterView {
  const reason = allowed ? '' : 'a quorum';
  return { ...view, disruptions: new Map([[disruptionKey(hostIds), { allowed, reason }]]) };
}

function unready(view: ClusterView, name: string): ClusterView {
  return withNodes(view, (node) =>
    node.object.metadata.name === name && node.pod !== null
      ? { ...node, pod: { ...node.pod, status: { phase: 'Running' } } }
      : node,
  );
}

function free(view: ClusterView) {
  const { least: _, ...rest } = evictable(gatherFacts(view), false);
  return rest;
}

function budgetsOf({ free, least }: Pick<Evictable, 'free' | 'least'>) {
  const budgets = disruptionBudgets(CALM.cluster, free, { least, all: 3 });
  const metadata = { uid: 'budget', resourceVersion: '1' };
  const there = budgets.map((one) => ({ ...one, metadata: { ...one.metadata, ...metadata } }));
  return new Map(there.map((one) => [one.metadata.name, one]));
}

/** Names of budgets that are written, in their order, and who is free afterwards. */
function written(view: ClusterView, now: NodeSet) {
  const budgets = budgetsOf({ free: now, least: now === 'all' ? 2 : now.length });
  const { actions } = upkeepOfCluster(gatherFacts({ ...view, budgets }), false);
  const objects = actions.flatMap((one) => (one.do === 'apply-budgets' ? one.objects : []));
  const open = objects.find(({ metadata }) => metadata.name === 'demo');
  return [
    objects.map(({ metadata }) => metadata.name),
    open === undefined ? null : freeBy(open.spec),
  ];
}

test('at no time a pod is in neither budget', () => {
  assert.deepEqual(written(CALM, 'all'), [[], null]);
  assert.deepEqual(written(CALM, []), [['demo', 'demo.held'], 'all']);
  assert.deepEqual(written(busy(CALM), 'all'), [['demo.held', 'demo'], []]);
  // From one to another: first none, then the other.
  const one = unready(CALM, 'b1');
  assert.deepEqual(written(one, ['a1']), [['demo.held', 'demo'], []]);
  assert.deepEqual(written(one, []), [['demo', 'demo.held'], ['b1']]);
});

test('any one may go while nothing is on its way', () => {
  assert.deepEqual(free(CALM), { free: 'all', asks: [] });
});

test('while ranges move those on machines that are emptied are asked about', () => {
  assert.deepEqual(free(busy(CALM)), { free: [], asks: [] });
  const drained = cordoned(busy(CALM), 'a1');
  assert.deepEqual(free(drained), { free: [], asks: [['a1']] });
  assert.deepEqual(free(answered(drained, ['a1'], true)).free, ['a1']);
  assert.deepEqual(free(answered(drained, ['a1'], false)), { free: [], asks: [] });
});

test('who does not serve may go, unless writes wait for it; it counts when others are to go', () => {
  const one = unready(CALM, 'b1');
  assert.deepEqual(free(one), { free: ['b1'], asks: [] });
  assert.deepEqual(free(cordoned(one, 'a1')).asks, [['a1', 'b1']]);
  const joins = { ...NODES[1], state: 'joining' as const };
  const joining = unready(withPods(viewOf([NODES[0], joins, NODES[2]], 3, ['a', 'b', 'c'])), 'b1');
  assert.deepEqual(free(joining), { free: [], asks: [] });
  assert.deepEqual(free(cordoned(joining, 'b1')).asks, [['b1']]);
});

test('nobody who serves goes while a node is about to be stopped', () => {
  const shut = evictable(gatherFacts(cordoned(CALM, 'a1')), true);
  assert.deepEqual(shut, { free: [], least: 0, asks: [] });
  const idle = evictable(gatherFacts(unready(CALM, 'b1')), true);
  assert.deepEqual(idle, { free: ['b1'], least: 1, asks: [] });
  const budgetOf = (plan: Evictable) => {
    const budgets = disruptionBudgets(CALM.cluster, plan.free, { least: plan.least, all: 3 });
    const metadata = { uid: 'budget', resourceVersion: '1' };
    const there = budgets.map((one) => ({ ...one, metadata: { ...one.metadata, ...metadata } }));
    return new Map(there.map((one) => [one.metadata.name, one]));
  };
  const isShutBy = (plan: Evictable) => isShut(gatherFacts({ ...CALM, budgets: budgetOf(plan) }));
  assert.equal(isShut(gatherFacts(CALM)), false);
  assert.equal(isShutBy(evictable(gatherFacts(CALM), false)), false);
  assert.equal(isShutBy(shut), true);
  assert.equal(isShutBy(idle), true);
});

test('with a ring that is not known only those go that serve nothing', () => {
  const view = { ...unready(CALM, 'b1'), ring: { known: false, why: 'nobody answers' } as const };
  assert.deepEqual(free(cordoned(view, 'a1')), { free: ['b1'], asks: [] });
});
