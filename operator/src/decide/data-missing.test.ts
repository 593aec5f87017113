import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterView } from '../observe/view.ts';
import { viewOf, withPods } from '../testing/views.ts';
import { decide } from './decide.ts';

const DEAD: ReadonlySet<string> = new Set(['a1', 'b1']);

/** `a1` is being replaced by `a2`, which has come. @param dead who is down for good */
function viewWith(dead: ReadonlySet<string>): ClusterView {
  const view = viewOf(
    [
      ...['a1', 'b1', 'c1'].map((name) => ({ name, rack: name[0], replace: dead.has(name) })),
      { name: 'a2', rack: 'a', state: 'joining', replaces: 'a1' },
    ],
    3,
    ['a', 'b', 'c'],
  );
  const { ring } = view;
  assert.ok(ring.known);
  const members = [...ring.members.values()].map((one) => {
    return [one.hostId, { ...one, aliveBy: dead.has(one.hostId) ? 0 : 2 }] as const;
  });
  return withPods({ ...view, ring: { ...ring, members: new Map(members) } });
}

function degraded(view: ClusterView): string {
  const { clusterStatus } = decide(view, { defaults: { image: 'ilion:1' }, random: () => 0 });
  return clusterStatus.conditions?.find(({ type }) => type === 'Degraded')?.message ?? '';
}

test('a replacement that waits for data of nodes that are lost, too, is told of, and what can be done', () => {
  assert.match(degraded(viewWith(DEAD)), /a2 takes the place of a1 when .* on b1 besides/);
  assert.doesNotMatch(degraded(viewWith(new Set(['a1']))), /besides/);
});
