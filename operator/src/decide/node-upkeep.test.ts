import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viewOf, withNodes } from '../testing/views.ts';
import { decide } from './decide.ts';

test('who goes before it ran gets no volume any more', () => {
  const names = ['a1', 'a2', 'a3'].map((name) => ({ name, rack: 'a' }));
  const base = withNodes(viewOf(names, 2, ['a']), (node) =>
    node.object.metadata.name === 'a3' ? { ...node, object: { ...node.object, status: {} } } : node,
  );
  const { ring } = base;
  assert.ok(ring.known);
  const members = new Map([...ring.members].filter(([hostId]) => hostId !== 'a3'));
  const view = { ...base, ring: { ...ring, members } };
  const { actions } = decide(view, { defaults: { image: 'i' }, random: () => 0.5 });
  const made = actions.filter(
    (one) =>
      one.do === 'apply' &&
      one.kind === 'PersistentVolumeClaim' &&
      one.object.metadata.name === 'a3',
  );
  assert.deepEqual(made, []);
  assert.ok(actions.some((one) => one.do === 'delete' && one.metadata.name === 'a3'));
});
