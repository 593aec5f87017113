import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeInfo, TopologyOperation } from './cluster-state.ts';
import { goneOf, refusalOfFinish } from './topology-barrier.ts';

const JOIN: TopologyOperation = {
  ...{ id: 'o', kind: 'join', hostId: 'new', replaces: null, tokens: [], phase: 'switched' },
  ...{ startEpoch: 1, phaseEpoch: 2, done: [] },
};
const NODE: NodeInfo = {
  ...{ hostId: 'a', address: 'a', controlPort: 1, dataPort: 2, datacenter: 'dc', rack: 'r' },
  ...{ rpcAddress: 'a', rpcPort: 3, tokens: [], state: 'normal', releaseVersion: '' },
};

test('the only owner of a range has died: it is waited for until another is to take its place', () => {
  const isAlive = (hostId: string) => hostId !== 'a';
  const nodes = new Map([['a', NODE]]);
  const refusal = () =>
    refusalOfFinish(goneOf({ nodes }, JOIN), [['a'], ['b', 'c']], new Set(['b', 'c']), isAlive);
  assert.match(refusal() ?? '', /new nodes in their places/);
  nodes.set('d', { ...NODE, hostId: 'd', state: 'joining', replaces: 'a' });
  assert.equal(refusal(), null);
});

test('who leaves, or is replaced, is waited for as long as it is there', () => {
  const leave: TopologyOperation = { ...JOIN, kind: 'leave', hostId: 'a' };
  const gone = goneOf({ nodes: new Map() }, leave);
  assert.equal(
    refusalOfFinish(gone, [['a']], new Set(), () => false),
    null,
  );
  assert.notEqual(
    refusalOfFinish(gone, [['a']], new Set(), () => true),
    null,
  );
});
