import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NodeInfo, TopologyOperation } from './cluster-state.ts';
import { gridToken } from './grid.ts';
import { affectedRanges, movementsOf, sourcesOf } from './movements.ts';
import { type Replication, Ring, replicationFactors } from './ring.ts';
import { testNode, testState } from './testing/nodes.ts';

const TOPOLOGY = 'NetworkTopologyStrategy';
const SIMPLE = 'SimpleStrategy';

interface Change {
  readonly nodes: readonly NodeInfo[];
  readonly operation: TopologyOperation;
  readonly replication: Replication;
}

const replications = fc.oneof(
  fc.integer({ min: 1, max: 5 }).map((factor) => ({
    class: SIMPLE,
    replication_factor: String(factor),
  })),
  fc.record({
    class: fc.constant(TOPOLOGY),
    dc0: fc.integer({ min: 1, max: 3 }).map(String),
    dc1: fc.integer({ min: 1, max: 3 }).map(String),
  }),
);

const changes = fc
  .record({
    // Each node's tokens, from the buckets in turn.
    buckets: fc.uniqueArray(fc.nat(0xffff), { minLength: 24, maxLength: 24 }),
    places: fc.array(fc.tuple(fc.nat(1), fc.nat(2)), { minLength: 8, maxLength: 8 }),
    kind: fc.constantFrom('join', 'leave', 'replace', 'move' as const),
    replication: replications,
  })
  .map(({ buckets, places, kind, replication }): Change => {
    const tokensOf = (i: number) =>
      buckets
        .slice(3 * i, 3 * i + 3)
        .sort((a, b) => a - b)
        .map(gridToken);
    const isNew = kind === 'join' || kind === 'replace';
    const nodes = places.map(([datacenter, rack], i) =>
      testNode(i + 1, {
        datacenter: `dc${datacenter}`,
        rack: `rack${rack}`,
        tokens: i === 0 && (isNew || kind === 'move') ? [] : tokensOf(i),
        state: i === 0 && isNew ? 'joining' : 'normal',
      }),
    );
    // A node takes the place of another where that one was.
    const { datacenter, rack } = nodes[1];
    if (kind === 'replace') nodes[0] = { ...nodes[0], datacenter, rack };
    if (kind === 'move') nodes[0] = { ...nodes[0], tokens: [gridToken(buckets[0])] };
    const [first, second] = nodes;
    const operation = {
      id: 'x',
      kind,
      hostId: first.hostId,
      replaces: kind === 'replace' ? second.hostId : null,
      tokens: { join: tokensOf(0), leave: [], replace: second.tokens, move: tokensOf(0) }[kind],
      phase: 'streaming',
      startEpoch: 1,
      phaseEpoch: 1,
      done: [],
    } as const;
    return { nodes, operation, replication };
  });

function* subsets<T>(items: readonly T[], count: number, from = 0): Generator<readonly T[]> {
  if (count === 0) {
    yield [];
    return;
  }
  for (let i = from; i <= items.length - count; i++) {
    for (const rest of subsets(items, count - 1, i + 1)) yield [items[i], ...rest];
  }
}

const quorumOf = (factor: number) => Math.floor(factor / 2) + 1;

/** The nodes and the number of them that make a quorum, of all and of each datacenter. */
function quorums(replicas: readonly NodeInfo[], replication: Replication) {
  const factors = replicationFactors(replication);
  const all = [...factors.values()].reduce((sum, factor) => sum + factor, 0);
  const levels = [{ of: replicas, count: quorumOf(all) }];
  for (const [datacenter, factor] of factors) {
    if (datacenter === null) continue;
    const of = replicas.filter((node) => node.datacenter === datacenter);
    levels.push({ of, count: quorumOf(factor) });
  }
  return levels;
}

test('of what a quorum acknowledged before there are as many copies after', () => {
  fc.assert(
    fc.property(changes, fc.boolean(), ({ nodes, operation, replication }, isLoserDead) => {
      const state = testState(nodes);
      const old = new Ring(state).placement(replication);
      const next = new Ring({
        nodes: state.nodes,
        operations: [{ ...operation, phase: 'switched' }],
      }).placement(replication);
      const movements = movementsOf(state, operation, replication);
      for (const [hostId, list] of movements) {
        const { datacenter } = state.nodes.get(hostId) as NodeInfo;
        for (const movement of list) {
          const { last, losers, keepers } = movement;
          const had = old.ofBucket(last);
          const has = next.ofBucket(last);
          assert.deepEqual(new Set([...losers, ...keepers]), new Set(had));
          const gained = has.filter((node) => !had.includes(node));
          // One at a time: what operations are made of.
          if (gained.length > 1) continue;
          const dead = isLoserDead || operation.kind === 'replace' ? losers : [];
          const sources = sourcesOf(movement, {
            datacenter,
            replication,
            isUsable: (node) => !dead.includes(node),
            isGone: (node) => dead.includes(node),
            byProximity: (all) => all,
          });
          assert.ok(sources !== null);
          const before = quorums(had, replication);
          const after = quorums(has, replication);
          for (const [i, { of, count }] of before.entries()) {
            const isElsewhere = i > 0 && of[0]?.datacenter !== datacenter;
            if (isElsewhere) continue;
            for (const ackers of subsets(of, count)) {
              // Of copies that all were on dead nodes nothing is left.
              if (ackers.every((node) => dead.includes(node))) continue;
              const holders = new Set(ackers.filter((node) => has.includes(node)));
              if (sources.some((node) => ackers.includes(node))) {
                for (const node of gained) holders.add(node);
              }
              // As many as before, so that the next change may begin with the same: a quorum that only just meets would not.
              const there = after[i].of.filter((node) => holders.has(node));
              assert.ok(
                there.length >= count,
                `bucket ${last}: acknowledged by ${ackers.map((n) => n.hostId.slice(-2))}, taken from ${sources.map((n) => n.hostId.slice(-2))}, now at ${there.map((n) => n.hostId.slice(-2))}`,
              );
            }
          }
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('movements are all that is gained, and only within what is affected', () => {
  fc.assert(
    fc.property(changes, ({ nodes, operation, replication }) => {
      const state = testState(nodes);
      const affected = affectedRanges(state, operation, replication);
      for (const [i, { first, last }] of affected.entries()) {
        assert.ok(first <= last && (i === 0 || affected[i - 1].last < first - 1));
      }
      const operations = [operation];
      const ring = new Ring({ nodes: state.nodes, operations });
      const writes = ring.writes(replication);
      const movements = movementsOf(state, operation, replication);
      for (let bucket = 0; bucket < 0x10000; bucket += 97) {
        const all = writes.ofBucket(bucket);
        const gains = writes.extrasOf(all).map(({ hostId }) => hostId);
        const found = [...movements]
          .filter(([, list]) => list.some(({ first, last }) => first <= bucket && bucket <= last))
          .map(([hostId]) => hostId);
        assert.deepEqual(new Set(found), new Set(gains));
        const isAffected = affected.some(({ first, last }) => first <= bucket && bucket <= last);
        if (gains.length > 0) assert.ok(isAffected);
      }
    }),
    { numRuns: 100 },
  );
});

test('sources that cannot be asked now are waited for', () => {
  const nodes = [1, 2, 3].map((n) => testNode(n));
  const [a, b, c] = nodes;
  const choice = {
    datacenter: 'dc1',
    replication: { class: TOPOLOGY, dc1: '3' },
    isGone: () => false,
    byProximity: (all: readonly NodeInfo[]) => all,
  };
  const movement = { first: 0, last: 1, losers: [c], keepers: [a, b] };
  const from = (...usable: readonly NodeInfo[]) =>
    sourcesOf(movement, { ...choice, isUsable: (node) => usable.includes(node) });
  assert.deepEqual(from(a, b, c), [c]);
  assert.deepEqual(from(a, b), [a, b]);
  assert.equal(from(a), null);
  assert.deepEqual(
    sourcesOf({ ...movement, losers: [] }, { ...choice, isUsable: (node) => node === b }),
    [b],
  );
  // Only one has it, and is down for a while; or for good.
  const lone = { ...movement, keepers: [] };
  assert.equal(sourcesOf(lone, { ...choice, isUsable: () => false }), null);
  assert.deepEqual(
    sourcesOf(lone, { ...choice, isUsable: () => false, isGone: (node) => node === c }),
    [],
  );
});
