import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NodeInfo, TopologyOperation } from './cluster-state.ts';
import { testNode } from './testing/nodes.ts';
import { nodesThatVote, planVoters, type VotersView } from './voters.ts';

function view(nodes: readonly NodeInfo[], voters: readonly number[], dead: readonly number[] = []) {
  const gone = new Set(dead.map((i) => nodes[i].hostId));
  const plan: VotersView = {
    nodes,
    voters: voters.map((i) => nodes[i].hostId),
    self: nodes[voters[0]].hostId,
    isAlive: (id) => !gone.has(id),
    isGone: (id) => gone.has(id),
    isCaughtUp: () => true,
  };
  return plan;
}

/** Changes until there is nothing more to change. */
function settle(first: VotersView): readonly string[] {
  let { voters } = first;
  for (let i = 0; i < 50; i++) {
    const next = planVoters({ ...first, voters });
    if (next === null) return voters;
    const before = new Set(voters);
    const both = next.filter((id) => before.has(id)).length;
    assert.equal(next.length + voters.length - 2 * both, 1, 'one at a time');
    voters = next;
  }
  return assert.fail('it does not come to an end');
}

test('one, one, three, three, five voters', () => {
  for (const [size, voters] of [
    [1, 1],
    [2, 1],
    [3, 3],
    [4, 3],
    [5, 5],
    [40, 5],
  ] as const) {
    const nodes = Array.from({ length: size }, (_, i) => testNode(i));
    assert.equal(settle(view(nodes, [0])).length, voters);
  }
});

test('voters are in all datacenters, then in all racks', () => {
  const nodes = Array.from({ length: 18 }, (_, i) =>
    testNode(i, { datacenter: `dc${Math.floor(i / 6)}`, rack: `rack${i % 3}` }),
  );
  // They were all in one datacenter before there were others.
  const voters = settle(view(nodes, [0, 1, 2, 3, 4]));
  const places = nodes.filter(({ hostId }) => voters.includes(hostId));
  const count = (name: string) => places.filter(({ datacenter }) => datacenter === name).length;
  assert.deepEqual([count('dc0'), count('dc1'), count('dc2')].sort(), [1, 2, 2]);
  for (const name of ['dc0', 'dc1', 'dc2']) {
    const racks = places.filter(({ datacenter }) => datacenter === name).map(({ rack }) => rack);
    assert.equal(new Set(racks).size, racks.length);
  }
});

test('one that is gone is replaced, if there is somebody for it', () => {
  const nodes = Array.from({ length: 6 }, (_, i) => testNode(i));
  const voters = settle(view(nodes, [0, 1, 2, 3, 4], [3]));
  assert.equal(voters.length, 5);
  assert.ok(!voters.includes(nodes[3].hostId));
  assert.equal(planVoters(view(nodes.slice(0, 5), [0, 1, 2, 3, 4], [3])), null);
});

test('one that has left has no vote; one that is behind gets none', () => {
  const nodes = [testNode(0), testNode(1), testNode(2, { state: 'left' }), testNode(3)];
  const plan = view(nodes, [0, 1, 2]);
  assert.deepEqual(planVoters(plan), [nodes[0].hostId, nodes[1].hostId]);
  const behind = { ...view(nodes, [0, 1]), isCaughtUp: () => false };
  assert.equal(planVoters({ ...behind, voters: [nodes[0].hostId] }), null);
});

test('it always comes to an end, with the right number of members', () => {
  const place = fc.record({ dc: fc.nat(3), rack: fc.nat(2), dead: fc.boolean() });
  fc.assert(
    fc.property(fc.array(place, { minLength: 1, maxLength: 12 }), (places) => {
      const nodes = places.map(({ dc, rack }, i) =>
        testNode(i, { datacenter: `dc${dc}`, rack: `r${rack}` }),
      );
      const dead = places.flatMap(({ dead: isDead }, i) => (isDead && i > 0 ? [i] : []));
      const voters = settle(view(nodes, [0], dead));
      const living = nodes.length - dead.length;
      const target = Math.min(5, nodes.length - 1 + (nodes.length % 2));
      assert.equal(voters.length, Math.min(target, living));
    }),
  );
});

test('who leaves votes until another does in its place, and as long as it is needed', () => {
  const nodes = [1, 2, 3, 4].map((i) => testNode(i, i === 3 ? { state: 'leaving' } : {}));
  const ids = nodes.map(({ hostId }) => hostId);
  const first = view(nodes, [0, 1, 2], [1]);
  const added = planVoters({ ...first, isGone: () => false });
  assert.deepEqual(added, [ids[0], ids[1], ids[2], ids[3]]);
  const without = planVoters({ ...first, isGone: () => false, voters: added ?? [] });
  assert.deepEqual(without, [ids[0], ids[1], ids[3]]);
  // Nobody can vote in its place, and without it there is no majority.
  const alone = view(nodes.slice(0, 3), [0, 1, 2], [1]);
  assert.equal(planVoters({ ...alone, isGone: () => false }), null);
  const pair = [testNode(1, { state: 'leaving' }), testNode(2)];
  assert.deepEqual(settle(view(pair, [0])), [pair[1].hostId]);
});

test('who replaces a dead node votes in its place as soon as that can only go on', () => {
  const all = [1, 2, 3, 4].map((i) => testNode(i, i === 4 ? { state: 'joining' } : {}));
  const nodes = new Map(all.map((node) => [node.hostId, node]));
  const [one, two, dead, fresh] = all.map(({ hostId }) => hostId);
  const operation: TopologyOperation = {
    ...{ id: 'o', kind: 'replace', hostId: fresh, replaces: dead, tokens: [], done: [] },
    ...{ phase: 'streaming', startEpoch: 1, phaseEpoch: 1 },
  };
  const votersIn = (phase: TopologyOperation['phase']) => {
    const known = nodesThatVote({ nodes, operations: [{ ...operation, phase }] });
    return settle({ ...view(all, [0, 1, 2], [2]), nodes: known });
  };
  assert.deepEqual(votersIn('streaming'), [one, two, dead]);
  assert.deepEqual(votersIn('switched'), [one, two, fresh]);
});
