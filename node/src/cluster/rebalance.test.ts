import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ClusterState, NodeInfo } from './cluster-state.ts';
import { applyCommand } from './commands.ts';
import { GRID_BUCKETS, gridToken, isGridToken } from './grid.ts';
import { missingGainers } from './operations.ts';
import { planRebalance } from './rebalance.ts';
import { type Replication, Ring } from './ring.ts';
import type { BucketBytes } from './ring-load.ts';
import { seededRandom, testNode, testState, withKeyspaces } from './testing/nodes.ts';
import { chooseTokens } from './tokens.ts';

type Shape = 'even' | 'noisy' | 'hill' | 'empty half';

function bytesOf(shape: Shape, random: () => number): Float64Array {
  const bytes = new Float64Array(GRID_BUCKETS);
  for (let i = 0; i < GRID_BUCKETS; i++) {
    const part = i / GRID_BUCKETS;
    bytes[i] = {
      even: 1000,
      noisy: 2000 * random(),
      hill: 1000 * (1 + Math.sin(part * Math.PI * 2) * 0.8),
      'empty half': part < 0.5 ? 0 : 1000,
    }[shape];
  }
  return bytes;
}

/** What each node of a datacenter has, as the ring of ring.ts says. */
function deviationOf(state: ClusterState, loads: readonly BucketBytes[], datacenter: string) {
  const nodes = [...state.nodes.values()].filter((node) => node.datacenter === datacenter);
  const bytes = new Map(nodes.map(({ hostId }) => [hostId, 0]));
  for (const load of loads) {
    for (const { first, last, replicas } of new Ring(state).ranges(load.replication)) {
      let weight = 0;
      for (let i = first; i <= last; i++) weight += load.bytes[i];
      for (const { hostId } of replicas) {
        const known = bytes.get(hostId);
        if (known !== undefined) bytes.set(hostId, known + weight);
      }
    }
  }
  const mean = [...bytes.values()].reduce((a, b) => a + b, 0) / nodes.length;
  return Math.max(...[...bytes.values()].map((one) => Math.abs(one - mean) / mean));
}

/** By operations of the log, one after another. */
function carriedOut(first: ClusterState, moves: ReturnType<typeof planRebalance>['moves']) {
  let state = first;
  const must = (command: Parameters<typeof applyCommand>[1]) => {
    const outcome = applyCommand(state, command, state.epoch + 1);
    assert.equal(outcome.refused, null);
    state = outcome.state;
  };
  for (const { hostId, tokens } of moves) {
    const id = `move ${hostId}`;
    const plan = { id, kind: 'move', hostId, replaces: null, tokens } as const;
    must({ kind: 'begin-operation', plan, base: state.topologyEpoch });
    for (const gainer of missingGainers(state, state.operations[0])) {
      must({ kind: 'operation-done', id, hostId: gainer });
    }
    must({ kind: 'switch-operation', id });
    must({ kind: 'finish-operation', id });
  }
  return state;
}

interface Case {
  readonly state: ClusterState;
  readonly loads: readonly BucketBytes[];
}

function caseOf(
  count: number,
  factor: number,
  {
    racks,
    shape,
    isChosen,
    seed,
  }: { racks: number; shape: Shape; isChosen: boolean; seed: number },
): Case {
  const random = seededRandom(seed);
  const nodes: NodeInfo[] = [];
  const taken = new Set<number>();
  const anywhere = () => {
    for (;;) {
      const bucket = Math.floor(random() * GRID_BUCKETS);
      if (taken.has(bucket)) continue;
      taken.add(bucket);
      return bucket;
    }
  };
  for (let i = 0; i < count; i++) {
    const datacenter = 'dc1';
    const some = Array.from({ length: 16 }, anywhere);
    const tokens = isChosen
      ? chooseTokens({ nodes, datacenter, count: 16, random })
      : some.sort((a, b) => a - b).map(gridToken);
    nodes.push(testNode(i + 1, { datacenter, rack: `rack${i % racks}`, tokens }));
  }
  const far = testNode(99, { datacenter: 'dc2', tokens: [gridToken(anywhere())] });
  const replication: Replication = { class: 'NetworkTopologyStrategy', dc1: String(factor) };
  const state = withKeyspaces(testState([...nodes, far]), [replication]);
  return { state, loads: [{ replication, bytes: bytesOf(shape, random) }] };
}

test('whatever lies where: it gets better, tokens stay valid, and few move', () => {
  const worst = { deviation: 0, moved: 0 };
  fc.assert(
    fc.property(
      fc.integer({ min: 3, max: 8 }),
      fc.integer({ min: 1, max: 3 }),
      fc.record({
        racks: fc.constantFrom(1, 1, 3),
        shape: fc.constantFrom<Shape>('even', 'noisy', 'hill', 'empty half'),
        isChosen: fc.boolean(),
        seed: fc.nat(9999),
      }),
      (count, factor, rest) => {
        // Racks with fewer nodes cannot have less when each has a copy.
        const racks = count % rest.racks === 0 ? rest.racks : 1;
        const { state, loads } = caseOf(count, factor, { ...rest, racks });
        const plan = planRebalance(state, loads, { datacenter: 'dc1', triesMax: 20_000 });
        const { moves, movedCount, deviationBefore, deviationAfter } = plan;
        const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-6, `${a} ${b}`);
        near(deviationBefore, deviationOf(state, loads, 'dc1'));
        for (const { hostId, tokens } of moves) {
          assert.equal(tokens.length, state.nodes.get(hostId)?.tokens.length);
          assert.ok(tokens.every(isGridToken));
        }
        near(deviationAfter, deviationOf(carriedOut(state, moves), loads, 'dc1'));
        if (deviationBefore <= 0.05) assert.equal(movedCount, 0);
        worst.deviation = Math.max(worst.deviation, deviationAfter);
        worst.moved = Math.max(worst.moved, movedCount / count);
      },
    ),
    { seed: 3, numRuns: 40 },
  );
  assert.ok(worst.deviation <= 0.05, `${worst.deviation}`);
  assert.ok(worst.moved <= 3, `${worst.moved}`);
});

test('what is well stays; nothing to balance is no trouble', () => {
  const parts = { racks: 1, shape: 'even', isChosen: true, seed: 1 } as const;
  const { state, loads } = caseOf(3, 3, parts);
  assert.deepEqual(planRebalance(state, loads, { datacenter: 'dc1' }).moves, []);
  assert.deepEqual(planRebalance(state, [], { datacenter: 'dc1' }).moves, []);
  assert.deepEqual(planRebalance(state, loads, { datacenter: 'nowhere' }).moves, []);
});
