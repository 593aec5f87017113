import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viewOf, withNodes, withPods, withSpec } from '../testing/views.ts';
import { decide } from './decide.ts';
import { refusalOfImage, tagOf } from './versions.ts';

test('tags of images', () => {
  assert.equal(tagOf('registry:5000/ilion'), null);
  assert.equal(tagOf('registry:5000/ilion:1.2.3'), '1.2.3');
  assert.equal(tagOf('ilion:v1.2.3@sha256:00'), 'v1.2.3');
});

test('one step forward, none back, and what is no version is not judged', () => {
  const isRefused = (tag: string, ...running: string[]) =>
    refusalOfImage(`ilion:${tag}`, running) !== null;
  const rows: readonly (readonly [boolean, string, ...string[]])[] = [
    [false, '1.0.0', '1.4.2'],
    [false, 'v2.1.0', '1.4.2'],
    [true, '3.0.0', '1.4.2'],
    [true, '1.9.9', '2.0.0'],
    [true, '3.0.0', '1.4.2', '2.0.0'],
    [false, '0.2.0', '0.1.0'],
    [true, '0.3.0', '0.1.0'],
    [true, '0.1.0', '0.2.0'],
    [false, '0.1.0', '0.1.9'],
    [false, '1.0.0', '0.9.0'],
    [false, 'canary', '2.0.0'],
    [false, '1.0.0', 'unknown'],
    [false, '1.0.0'],
  ];
  for (const [expected, tag, ...running] of rows) {
    assert.equal(isRefused(tag, ...running), expected, `${running} -> ${tag}`);
  }
});

test('no pod is touched, and those that die come back with the old image', () => {
  const nodes = ['a', 'b', 'c'].map((rack) => ({ name: `${rack}1`, rack }));
  const base = viewOf(nodes, 3, ['a', 'b', 'c'], '2.0.0');
  const running = withPods(withSpec(base, { image: 'ilion:2.0.0' }));
  const view = withNodes(withSpec(running, { image: 'ilion:1.0.0' }), (node) =>
    node.object.metadata.name === 'b1' ? { ...node, pod: null } : node,
  );
  const { actions, clusterStatus } = decide(view, {
    ...{ defaults: { image: 'ilion:2.0.0' }, random: () => 0.5 },
  });
  const added = withNodes(view, ({ object, ...node }) => {
    const { made: _, ...status } = object.status ?? {};
    return { ...node, object: { ...object, status } };
  });
  const options = { defaults: { image: 'ilion:2.0.0' }, random: () => 0.5 };
  assert.equal(
    decide(added, options).actions.some((one) => one.do === 'create'),
    false,
  );
  const pods = actions.flatMap((one) =>
    one.do === 'create' && one.kind === 'Pod' ? [one.object.spec.containers[0].image] : [],
  );
  assert.deepEqual(pods, ['ilion:2.0.0']);
  assert.equal(
    actions.some((one) => one.do === 'delete'),
    false,
  );
  const condition = clusterStatus.conditions?.find(({ type }) => type === 'Updating');
  assert.equal(condition?.reason, 'VersionRefused');
  assert.match(condition?.message ?? '', /older than 2\.0\.0/);
});

test('the version of a cluster is the oldest that a member has, by its numbers', () => {
  const nodes = ['a', 'b', 'c'].map((rack) => ({ name: `${rack}1`, rack }));
  const view = withPods(viewOf(nodes, 3, ['a', 'b', 'c'], '0.10.0'));
  const { ring } = view;
  assert.ok(ring.known);
  const members = new Map(ring.members);
  members.set('c1', { ...ring.members.get('c1'), version: '0.9.0' } as never);
  const { clusterStatus, nodeStatuses } = decide(
    { ...view, ring: { ...ring, members } },
    { defaults: { image: 'ilion:0.10.0' }, random: () => 0.5 },
  );
  assert.equal(clusterStatus.version, '0.9.0');
  assert.deepEqual(
    [...nodeStatuses.values()].map(({ version }) => version),
    ['0.10.0', '0.10.0', '0.9.0'],
  );
});
