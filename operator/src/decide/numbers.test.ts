import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Given, viewOf, withPods } from '../testing/views.ts';
import { decide } from './decide.ts';
import { gatherFacts } from './facts.ts';
import { planNumbers } from './numbers.ts';

const THREE = ['a', 'b', 'c'];
const FIVE: readonly Given[] = [
  { name: 'a1', rack: 'a' },
  { name: 'a2', rack: 'a' },
  { name: 'b1', rack: 'b' },
  { name: 'b2', rack: 'b' },
  { name: 'c1', rack: 'c' },
];

function goingOf(given: readonly Given[], replicas: number, racks = THREE): readonly string[] {
  return [...planNumbers(gatherFacts(viewOf(given, replicas, racks))).going].sort();
}

test('who goes: the newest of the rack that has most', () => {
  assert.deepEqual(goingOf(FIVE, 5), []);
  assert.deepEqual(goingOf(FIVE, 4), ['b2']);
  assert.deepEqual(goingOf(FIVE, 3), ['a2', 'b2']);
});

test('who goes: first the one that people name, then who leaves already, then who is no member yet', () => {
  const named = FIVE.map((one) => (one.name === 'a1' ? { ...one, remove: true } : one));
  assert.deepEqual(goingOf(named, 4), ['a1']);
  assert.deepEqual(goingOf(named, 5), []);
  const leaving = FIVE.map((one) =>
    one.name === 'a1' ? { ...one, state: 'leaving' as const } : one,
  );
  assert.deepEqual(goingOf(leaving, 4), ['a1']);
  const joining = FIVE.map((one) =>
    one.name === 'b1' ? { ...one, state: 'joining' as const } : one,
  );
  assert.deepEqual(goingOf(joining, 4), ['b1']);
});

test('who goes: rather one that joins for itself than one that takes the place of another', () => {
  const given: readonly Given[] = [
    { name: 'b1', rack: 'b', replace: true },
    { name: 'b2', rack: 'b', state: 'joining' },
    { name: 'b3', rack: 'b', state: 'joining', replaces: 'b1' },
  ];
  const view = withPods(viewOf(given, 1, ['b']));
  assert.deepEqual([...planNumbers(gatherFacts(view)).going], ['b2']);
});

test('racks that are not there any more lose their nodes, which others get', () => {
  assert.deepEqual(goingOf(FIVE, 5, ['a', 'b']), ['c1']);
  const { missing } = planNumbers(gatherFacts(viewOf(FIVE, 5, ['a', 'b'])));
  assert.deepEqual(missing, [{ datacenter: 'dc1', rack: 'a', replicas: 1 }]);
});

test('with a ring that is not known nothing is added, removed or deleted', () => {
  const view = {
    ...viewOf(FIVE, 3, THREE),
    ring: { known: false, why: 'nobody answers' } as const,
  };
  const { actions, clusterStatus } = decide(view, { defaults: { image: 'i' }, random: () => 0.5 });
  assert.deepEqual([...new Set(actions.map((one) => one.do))], ['apply', 'apply-budgets']);
  const reason = (type: string) =>
    clusterStatus.conditions?.find((one) => one.type === type)?.reason;
  assert.equal(reason('RingKnown'), 'Unknown');
  assert.equal(reason('ScalingDown'), 'RingUnknown');
});

test('a refusal of the database is in the status, in its words', () => {
  const base = viewOf(FIVE, 4, THREE);
  const refusals = new Map([
    [
      'b2',
      { reason: 'the keyspace shop has 5 replicas', waits: false, atMillis: base.nowMillis - 1000 },
    ],
  ]);
  const { actions, clusterStatus } = decide(
    { ...base, refusals },
    { defaults: { image: 'i' }, random: () => 0.5 },
  );
  assert.equal(
    actions.some((one) => one.do === 'remove-node'),
    false,
  );
  const condition = clusterStatus.conditions?.find(({ type }) => type === 'ScalingDown');
  assert.equal(condition?.status, 'False');
  assert.equal(condition?.reason, 'Refused');
  assert.match(condition?.message ?? '', /the keyspace shop has 5 replicas/);
});

test('who has left is forgotten: first the volume of what was looked at, then the object', () => {
  const left = FIVE.map((one) => (one.name === 'b2' ? { ...one, state: 'left' as const } : one));
  const { actions } = decide(viewOf(left, 4, THREE), {
    defaults: { image: 'i' },
    random: () => 0.5,
  });
  const gone = actions.filter((one) => one.do === 'delete');
  assert.deepEqual(
    gone.map((one) => one.do === 'delete' && [one.kind, one.precondition]),
    [['DatabaseNode', { uid: 'b2', resourceVersion: '1' }]],
  );
});
