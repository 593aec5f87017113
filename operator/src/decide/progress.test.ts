import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OperationInfo } from '../ports/nodes.ts';
import { viewOf, withPods } from '../testing/views.ts';
import { decide } from './decide.ts';

const MIB = 2 ** 20;

/** The progress and the condition of a cluster that a third node joins. @param problem what that node says that it waits for */
function toldOf(problem: string): readonly [string, string] {
  const nodes = [
    { name: 'a1', rack: 'a' },
    { name: 'a2', rack: 'a' },
    { name: 'a3', rack: 'a', state: 'joining' as const },
  ];
  const view = withPods(viewOf(nodes, 3, ['a']));
  assert.ok(view.ring.known);
  const gainer = {
    ...{
      hostId: 'a3',
      address: '10.0.0.3',
      done: false,
      bytesDone: 62 * MIB,
      bytesTotal: 100 * MIB,
    },
    ...{ filesDone: 1, filesTotal: 2, rangesDone: 1, rangesTotal: 2, wholeBytes: 0, seconds: 2 },
    problem,
  };
  const join: OperationInfo = {
    ...{ id: 'op', kind: 'join', hostId: 'a3', address: '10.0.0.3', phase: 'streaming', waits: '' },
    replaces: '',
    gainers: [gainer],
  };
  const { clusterStatus } = decide(
    { ...view, ring: { ...view.ring, operations: [join] } },
    { defaults: { image: 'ilion:1' }, random: () => 0.5 },
  );
  const scaling = clusterStatus.conditions?.find(({ type }) => type === 'ScalingUp');
  return [clusterStatus.progress ?? '', scaling?.message ?? ''];
}

test('how far a join is', () => {
  assert.deepEqual(toldOf(''), ['join a3 62 % 31 MiB/s', '1 nodes are on their way.']);
});

test('what a join waits for is told, such as a disk that is full', () => {
  const [, told] = toldOf('the disk is full: make room, it can be tried again');
  assert.equal(
    told,
    '1 nodes are on their way. join, a3: the disk is full: make room, it can be tried again.',
  );
});
