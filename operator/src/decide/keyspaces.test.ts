import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClusterView, keyspaceKey } from '../observe/view.ts';
import { viewOf, withPods, withSpec } from '../testing/views.ts';
import { decide } from './decide.ts';

const NODES = ['a', 'b', 'c'].map((rack) => ({ name: `${rack}1`, rack }));
const BASE = withPods(viewOf(NODES, 3, ['a', 'b', 'c']));

function wants(replicas: number): ClusterView {
  const shop = { name: 'shop', replication: { dc1: replicas }, durableWrites: true };
  return withSpec(BASE, { keyspaces: [shop] });
}

function outcome(view: ClusterView) {
  const options = { defaults: { image: 'ilion:1' }, random: () => 0.5 };
  const { actions, clusterStatus } = decide(view, options);
  const condition = clusterStatus.conditions?.find(({ type }) => type === 'KeyspacesReady');
  const asked = actions.flatMap((one) => (one.do === 'ensure-keyspace' ? [one.keyspace] : []));
  return { asked, status: condition?.status, reason: condition?.reason, text: condition?.message };
}

const SHOP = {
  ...{ name: 'shop', durableWrites: true },
  replication: { class: 'NetworkTopologyStrategy', dc1: '3' },
};

function answered(problem: string | null, ageMillis: number): ClusterView {
  const view = wants(3);
  const state = { problem, atMillis: view.nowMillis - ageMillis };
  return { ...view, keyspaces: new Map([[keyspaceKey('cluster', SHOP), state]]) };
}

test('a keyspace is made when there are nodes enough for it', () => {
  assert.deepEqual(outcome(wants(3)).asked, [SHOP]);
  const few = outcome(wants(4));
  assert.deepEqual([few.asked, few.status, few.reason], [[], 'False', 'FewNodes']);
  assert.match(few.text ?? '', /4 replicas in dc1, which has 3 nodes/);
  assert.equal(outcome(BASE).status, undefined);
});

test('one that is there is looked for now and then; another one is told of', () => {
  assert.deepEqual(
    [outcome(answered(null, 1_000)).asked, outcome(answered(null, 1_000)).status],
    [[], 'True'],
  );
  assert.deepEqual(outcome(answered(null, 700_000)).asked, [SHOP]);
  const other = outcome(answered('it has 2 replicas', 1_000));
  assert.deepEqual([other.asked, other.reason, other.text], [[], 'Refused', 'it has 2 replicas']);
});
