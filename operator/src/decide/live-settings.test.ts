import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClusterView, settingsKey } from '../observe/view.ts';
import { viewOf, withNodes, withPods, withSpec } from '../testing/views.ts';
import type { Action } from './actions.ts';
import { decide } from './decide.ts';

const OPTIONS = { defaults: { image: 'ilion:1' }, random: () => 0.5 };
const [A1] = ['a', 'b', 'c'].map((rack) => ({ name: `${rack}1`, rack }));
const BASE = viewOf([A1], 1, ['a']);

function withConfig(view: ClusterView, config: Readonly<Record<string, string | number>>) {
  return withSpec(view, { config: { ...config } });
}

function told(view: ClusterView): readonly Action[] {
  return decide(view, OPTIONS).actions.filter(({ do: what }) =>
    ['annotate', 'configure', 'delete'].includes(what),
  );
}

/** After its status was written. */
function noted(view: ClusterView): ClusterView {
  const { nodeStatuses } = decide(view, OPTIONS);
  return withNodes(view, ({ object, ...node }) => {
    const status = nodeStatuses.get(object.metadata.uid) ?? {};
    return { ...node, object: { ...object, status } };
  });
}

/** It has what `view` wants, as its status says. */
function taken(view: ClusterView): ClusterView {
  const settings = decide(noted(view), OPTIONS).actions.flatMap((one) =>
    one.do === 'configure' ? [one.taken] : [],
  );
  return { ...view, taken: new Map(settings.map((one) => ['a1', one])) };
}

test('a setting that takes effect at once is told to the pod and to the process, and restarts nothing', () => {
  const before = withPods(withConfig(BASE, { readRequestTimeout: '3s' }));
  assert.deepEqual(told(before), []);
  const [mark, tell, ...rest] = told(noted(withConfig(before, { readRequestTimeout: '4s' })));
  assert.deepEqual(rest, []);
  assert.ok(mark.do === 'annotate' && tell.do === 'configure');
  assert.deepEqual(mark.pod.annotations, { 'setting.ilion.dev/read_request_timeout': '4s' });
  assert.deepEqual(tell.settings, { read_request_timeout: '4s' });
});

test('one that is taken away becomes what nodes have without it', () => {
  const before = withPods(withConfig(BASE, { readRequestTimeout: '3s' }));
  const [mark, tell] = told(noted(withConfig(before, {})));
  assert.ok(mark.do === 'annotate' && tell.do === 'configure');
  assert.deepEqual(mark.pod.annotations, { 'setting.ilion.dev/read_request_timeout': '5s' });
  assert.deepEqual(tell.settings, {});
});

test('what a process has taken is known until it starts again', () => {
  const changed = withConfig(withPods(BASE), { readRequestTimeout: '4s' });
  const view = taken(changed);
  assert.equal(
    told(view).some((one) => one.do === 'configure'),
    false,
  );
  const restarted = withNodes(view, (node) => {
    const { pod } = node;
    const [container] = pod?.status?.containerStatuses ?? [];
    if (pod === null || container === undefined) return node;
    const containerStatuses = [{ ...container, restartCount: 1 }];
    return { ...node, pod: { ...pod, status: { ...pod.status, containerStatuses } } };
  });
  assert.equal(
    told(noted(restarted)).some((one) => one.do === 'configure'),
    true,
  );
});

test('a process that does not serve is not asked: it starts with what its pod is told', () => {
  const view = withNodes(withConfig(withPods(BASE), { readRequestTimeout: '4s' }), (node) => {
    const { pod } = node;
    if (pod === null) return node;
    const conditions = [{ type: 'Ready', status: 'False' as const, lastTransitionTime: '' }];
    return { ...node, pod: { ...pod, status: { ...pod.status, conditions } } };
  });
  assert.deepEqual(
    told(view).map((one) => one.do),
    ['annotate'],
  );
});

test('others restart the node', () => {
  const view = withConfig(withPods(BASE), { concurrentReads: 8 });
  assert.equal(
    told(view).some((one) => one.do === 'configure'),
    false,
  );
  assert.equal(
    decide(view, OPTIONS).clusterStatus.conditions?.find(({ type }) => type === 'Updating')?.status,
    'True',
  );
});

test('what a node does not take is in the status, in its words', () => {
  const view = withConfig(withPods(BASE), { readRequestTimeout: '4s' });
  const refusal = { reason: 'too short', waits: false, atMillis: view.nowMillis - 1 };
  const { clusterStatus } = decide(
    { ...noted(view), refusals: new Map([[settingsKey('a1'), refusal]]) },
    OPTIONS,
  );
  const condition = clusterStatus.conditions?.find(({ type }) => type === 'Updating');
  assert.equal(condition?.reason, 'SettingsRefused');
  assert.match(condition?.message ?? '', /a1 does not take .*: too short/);
});

test('that a node is told is written down first: whoever does not hear of its answer asks again', () => {
  const before = noted(withPods(BASE));
  const changed = withConfig(before, { readRequestTimeout: '4s' });
  assert.deepEqual(
    told(changed).map((one) => one.do),
    ['annotate'],
  );
  const [, tell] = told(noted(changed));
  assert.equal(tell.do, 'configure');
  // The operator ends here, after the node has taken it; and it is taken back.
  const back = withConfig(noted(changed), {});
  const [again] = told(back).filter((one) => one.do === 'configure');
  assert.deepEqual(again?.do === 'configure' && again.settings, {});
});
