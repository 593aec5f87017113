import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viewOf, withNodes, withPods } from '../testing/views.ts';
import { gatherFacts, isDead } from './facts.ts';

const MINUTE = 60_000;

/** Whether a node is dead that was seen down an hour ago, and is seen down. @param ready of its pod: what it says, since how many minutes */
function isDeadWith(ready: 'True' | 'False', minutes: number, podMinutes: number): boolean {
  const all = withPods(
    viewOf(
      [
        { name: 'a1', rack: 'a' },
        { name: 'b1', rack: 'b' },
        { name: 'c1', rack: 'c' },
      ],
      3,
      ['a', 'b', 'c'],
    ),
  );
  const before = (count: number) => new Date(all.nowMillis - count * MINUTE).toISOString();
  assert.ok(all.ring.known);
  const members = [...all.ring.members].map(
    ([id, one]) => [id, { ...one, aliveBy: id === 'a1' ? 0 : 2 }] as const,
  );
  const view = withNodes({ ...all, ring: { ...all.ring, members: new Map(members) } }, (node) => {
    const { object, pod } = node;
    if (object.metadata.name !== 'a1' || pod === null) return node;
    const condition = { type: 'Ready', status: ready, lastTransitionTime: before(minutes) };
    return {
      ...node,
      object: { ...object, status: { ...object.status, downSince: before(60) } },
      pod: {
        ...pod,
        metadata: { ...pod.metadata, creationTimestamp: before(podMinutes) },
        status: { ...pod.status, conditions: [condition] },
      },
    };
  });
  const facts = gatherFacts(view);
  return isDead(facts.nodes[0], facts);
}

test('who was seen down before, came back unseen and is down again is down since then', () => {
  assert.equal(isDeadWith('False', 90, 500), true, 'it has not been ready since');
  assert.equal(isDeadWith('False', 1, 500), false, 'it was ready until a minute ago');
  assert.equal(isDeadWith('False', 20, 500), true, 'and that is long ago, too');
  assert.equal(
    isDeadWith('True', 2, 2),
    false,
    'it is ready since two minutes, and was not before',
  );
});

test('a pod that was made anew and never was ready says nothing', () => {
  assert.equal(isDeadWith('False', 5, 5.1), true);
});
