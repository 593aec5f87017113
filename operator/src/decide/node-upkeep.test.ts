import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viewOf, withNodes, withPods, withSpec } from '../testing/views.ts';
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

test("a volume that somebody else owns, too, is not written again and again; the policy's owner comes and goes", () => {
  const base = withPods(viewOf([{ name: 'a1', rack: 'a' }], 1, ['a']));
  const other = { apiVersion: 'v1', kind: 'Backup', name: 'b', uid: 'backup' };
  const own = { apiVersion: 'v', kind: 'DatacenterCluster', name: 'demo', uid: 'cluster' };
  const isWritten = (deletionPolicy: 'Delete' | 'Retain', owners: readonly object[]) => {
    const view = withNodes(withSpec(base, { deletionPolicy }), ({ claim, ...node }) => ({
      ...node,
      claim: claim && { ...claim, metadata: { ...claim.metadata, ownerReferences: owners as [] } },
    }));
    return decide(view, { defaults: { image: 'ilion:1' }, random: () => 0.5 }).actions.some(
      (one) => one.do === 'apply' && one.kind === 'PersistentVolumeClaim',
    );
  };
  assert.equal(isWritten('Retain', [other]), false);
  assert.equal(isWritten('Delete', [own, other]), false);
  assert.equal(isWritten('Delete', [other]), true);
  assert.equal(isWritten('Retain', [own]), true);
});
