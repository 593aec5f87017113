import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterView } from '../observe/view.ts';
import { viewOf, withPods } from '../testing/views.ts';
import { decide } from './decide.ts';

const decided = (view: ClusterView) =>
  decide(view, { defaults: { image: 'ilion:1' }, random: () => 0.5 });

const condition = (view: ClusterView) =>
  decided(view).clusterStatus.conditions?.find(({ type }) => type === 'ObjectsReady');

/** Names of Services and budgets that would be written. */
const written = (view: ClusterView) =>
  decided(view).actions.flatMap((one) =>
    one.do === 'apply-budgets'
      ? one.objects.map(({ metadata }) => metadata.name)
      : one.do === 'apply'
        ? [one.object.metadata.name]
        : [],
  );

const creates = (view: ClusterView) => decided(view).actions.some((one) => one.do === 'create');

const NEW: ClusterView = (() => {
  const view = viewOf([], 3, ['a']);
  return { ...view, cluster: { ...view.cluster, status: {} }, ring: { known: false, why: 'none' } };
})();

test("somebody else's Service or budget stays as it is, and no cluster begins beside it", () => {
  assert.deepEqual(written(NEW), ['demo-seeds', 'demo', 'demo.held', 'demo']);
  assert.ok(creates(NEW));
  const cases = [
    ['Service demo', ['demo-seeds', 'demo.held', 'demo']],
    ['Service demo-seeds', ['demo', 'demo.held', 'demo']],
    ['PodDisruptionBudget demo', ['demo-seeds', 'demo', 'demo.held']],
  ] as const;
  for (const [one, names] of cases) {
    const view = { ...NEW, foreign: [one] };
    assert.deepEqual(written(view), names);
    assert.ok(!creates(view));
    const told = condition(view);
    assert.deepEqual([told?.status, told?.reason], ['False', 'NameTaken']);
    assert.match(told?.message ?? '', new RegExp(`^${one} is there .* another name$`));
  }
});

test('no cluster begins beside the pods of an earlier one of its name', () => {
  const view = { ...NEW, predecessors: ['Pod demo-dc1-a-abcde', 'Pod demo-dc1-a-fghij'] };
  assert.ok(!creates(view));
  assert.match(condition(view)?.message ?? '', /^Pod demo-dc1-a-abcde and 1 more of another/);
});

test('a cluster that there is goes on', () => {
  const view = withPods(viewOf([{ name: 'a1', rack: 'a' }], 2, ['a']));
  assert.ok(creates({ ...view, foreign: ['Service demo'] }));
});
