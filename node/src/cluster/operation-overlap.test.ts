import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NodeInfo, OperationPlan, TopologyOperation } from './cluster-state.ts';
import { gridToken } from './grid.ts';
import { isSameReplicas } from './movements.ts';
import { isIndependent } from './operation-overlap.ts';
import { type Replication, Ring } from './ring.ts';
import { testNode } from './testing/nodes.ts';

const REPLICATIONS: readonly Replication[] = [
  { class: 'SimpleStrategy', replication_factor: '1' },
  { class: 'SimpleStrategy', replication_factor: '3' },
  { class: 'NetworkTopologyStrategy', dc0: '2' },
  { class: 'NetworkTopologyStrategy', dc0: '3', dc1: '1' },
];

type Nodes = ReadonlyMap<string, NodeInfo>;

function ringAfter(nodes: Nodes, plans: readonly OperationPlan[]): Ring {
  const operations = plans.map(
    (plan): TopologyOperation => ({
      ...plan,
      ...{ phase: 'switched', startEpoch: 0, phaseEpoch: 0, done: [] },
    }),
  );
  return new Ring({ nodes, operations });
}

/** By looking at all buckets for all sets of the others. */
function isApart(
  nodes: Nodes,
  plan: OperationPlan,
  others: readonly OperationPlan[],
  replication: Replication,
): boolean {
  const sets: (readonly OperationPlan[])[] = [[]];
  for (const other of others) for (const set of sets.slice()) sets.push([...set, other]);
  const without = sets.map((set) => ringAfter(nodes, set).placement(replication));
  const beside = sets.map((set) => ringAfter(nodes, [...set, plan]).placement(replication));
  const ends = [...without, ...beside].flatMap((one) => one.ranges().map(({ last }) => last));
  return [...new Set(ends)].every((bucket) => {
    const old = without.map((one) => one.ofBucket(bucket));
    const next = beside.map((one) => one.ofBucket(bucket));
    const isOfOthers = old.every((replicas, i) => isSameReplicas(replicas, next[i]));
    const isAlike = (all: typeof old) => all.every((one) => isSameReplicas(one, all[0]));
    return isOfOthers || (isAlike(old) && isAlike(next));
  });
}

test('what is said to be independent is, whichever others have been carried out', () => {
  const seen = { independent: 0, overlapping: 0 };
  const cases = fc.record({
    count: fc.integer({ min: 10, max: 60 }),
    buckets: fc.uniqueArray(fc.nat(0xffff), { minLength: 130, maxLength: 130 }),
    racks: fc.integer({ min: 1, max: 4 }),
    kinds: fc.array(fc.constantFrom('join', 'leave', 'replace', 'move' as const), {
      minLength: 2,
      maxLength: 3,
    }),
    isNewRack: fc.boolean(),
    replications: fc.subarray([...REPLICATIONS], { minLength: 1 }),
  });
  fc.assert(
    fc.property(cases, ({ count, buckets, racks, kinds, isNewRack, replications }) => {
      const left = buckets.map(gridToken);
      const some = (length: number) => left.splice(0, length).sort((a, b) => (a < b ? -1 : 1));
      const all = Array.from({ length: count }, (_, i) => {
        const place = { datacenter: `dc${i % 4 === 0 ? 1 : 0}`, rack: `rack${i % racks}` };
        return testNode(i + 1, { ...place, tokens: some(2) });
      });
      const plans = kinds.map((kind, i): OperationPlan => {
        const node = all[i * 3 + 1];
        const { datacenter } = node;
        const rack = kind === 'join' && isNewRack ? 'new' : node.rack;
        const fresh = testNode(900 + i, { datacenter, rack, state: 'joining' });
        if (kind === 'join' || kind === 'replace') all.push(fresh);
        const { hostId } = kind === 'join' || kind === 'replace' ? fresh : node;
        const tokens = {
          ...{ join: some(1), replace: node.tokens, leave: [] },
          move: [node.tokens[0], ...some(1)].sort((a, b) => (a < b ? -1 : 1)),
        }[kind];
        const replaces = kind === 'replace' ? node.hostId : null;
        return { id: `op${i}`, kind, hostId, replaces, tokens };
      });
      const nodes = new Map(all.map((node) => [node.hostId, node]));
      const [plan, ...others] = plans;
      // Others are in progress only if they are independent themselves.
      const [first, second] = others;
      if (second !== undefined && !isIndependent({ nodes }, second, [first], replications)) return;
      const isSaid = isIndependent({ nodes }, plan, others, replications);
      const is = replications.every((replication) => isApart(nodes, plan, others, replication));
      if (isSaid) assert.ok(is);
      if (isSaid) seen.independent++;
      else if (!is) seen.overlapping++;
    }),
    { seed: 11, numRuns: 250 },
  );
  assert.ok(seen.independent > 30 && seen.overlapping > 30, JSON.stringify(seen));
});
