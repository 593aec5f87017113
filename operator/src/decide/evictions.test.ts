import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterView } from '../observe/view.ts';
import { disruptionKey } from '../observe/view.ts';
import type { OperationInfo } from '../ports/nodes.ts';
import { viewOf, withNodes, withPods } from '../testing/views.ts';
import { evictable } from './evictions.ts';
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
  const { ready: _, ...rest } = evictable(gatherFacts(view));
  return rest;
}

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

test('with a ring that is not known only those go that serve nothing', () => {
  const view = { ...unready(CALM, 'b1'), ring: { known: false, why: 'nobody answers' } as const };
  assert.deepEqual(free(cordoned(view, 'a1')), { free: ['b1'], asks: [] });
});
