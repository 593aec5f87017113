import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OperationInfo } from '../ports/nodes.ts';
import { viewOf, withPods } from '../testing/views.ts';
import { decide } from './decide.ts';

const NODES = ['a', 'b', 'c'].map((rack) => ({ name: `${rack}1`, rack }));
const JOIN: OperationInfo = {
  ...{ id: 'join-1', kind: 'join', hostId: 'new', address: '', replaces: '' },
  ...{ phase: 'streaming', gainers: [], waits: '' },
};

/** b1 is down, for ever or not; `operation` is in progress. @returns ids of what is cancelled */
function cancelled(operation: OperationInfo, isLost: boolean): readonly string[] {
  const view = withPods(viewOf(NODES, 3, ['a', 'b', 'c']));
  assert.ok(view.ring.known);
  const members = new Map(view.ring.members);
  const down = members.get('b1');
  assert.ok(down);
  members.set('b1', { ...down, aliveBy: 0 });
  const nodes = view.nodes.map((node) => {
    const { spec, ...object } = node.object;
    const replace = isLost && spec.rack === 'b';
    return { ...node, object: { ...object, spec: { ...spec, replace } } };
  });
  const ring = { ...view.ring, members, operations: [operation] };
  const options = { defaults: { image: 'i' }, random: () => 0.5 };
  return decide({ ...view, nodes, ring }, options).actions.flatMap((one) =>
    one.do === 'cancel' ? [one.operationId] : [],
  );
}

test('what waits for data of a node that does not come back is undone', () => {
  const waits = { ...JOIN, waits: 'the data of a range is on nodes that are down: b1 (10.0.0.2)' };
  assert.deepEqual(cancelled(waits, true), ['join-1']);
  assert.deepEqual(cancelled(waits, false), []);
  assert.deepEqual(cancelled(JOIN, true), []);
  assert.deepEqual(cancelled({ ...waits, phase: 'switched' }, true), []);
  assert.deepEqual(cancelled({ ...waits, kind: 'replace', replaces: 'b1' }, true), []);
});
