import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NodeInfo, NodeState } from './cluster-state.ts';
import { gridToken } from './grid.ts';
import { type NodesDraft, ownsAny, withNodeIn } from './node-map.ts';

function nodeOf(name: number, buckets: readonly number[], state: NodeState): NodeInfo {
  return {
    ...{ hostId: `node${name}`, address: 'a', controlPort: 1, dataPort: 2 },
    ...{ datacenter: 'dc1', rack: 'r1', rpcAddress: 'a', rpcPort: 3, releaseVersion: '0' },
    ...{ tokens: buckets.map(gridToken), state },
  };
}

/** Each name has points of its own, as the log sees to it. */
const change = fc
  .record({
    name: fc.nat(9),
    points: fc.uniqueArray(fc.nat(5), { minLength: 1, maxLength: 4 }),
    state: fc.constantFrom<NodeState>('joining', 'normal', 'left'),
    drafted: fc.boolean(),
  })
  .map(({ name, points, state, drafted }) => {
    const buckets = points.map((point) => point * 10_000 + name).sort((a, b) => a - b);
    return { node: nodeOf(name, buckets, state), drafted };
  });

test('the index of points is that of the nodes, whatever was changed, in place or not', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      let nodes: ReadonlyMap<string, NodeInfo> = new Map();
      let draft: NodesDraft = { nodes: null };
      for (const { node, drafted } of changes) {
        if (!drafted) draft = { nodes: null };
        const before = nodes;
        const kept = [...before];
        nodes = withNodeIn(nodes, node, draft);
        if (!drafted) assert.deepEqual([...before], kept);
        assert.equal(nodes.get(node.hostId), node);
        const owners = [...nodes.values()].filter(({ state }) => state !== 'left');
        const owned = new Set(owners.flatMap(({ tokens }) => tokens));
        for (let name = 0; name < 10; name++) {
          for (let point = 0; point <= 5; point++) {
            const token = gridToken(point * 10_000 + name);
            assert.equal(ownsAny(nodes, [token]), owned.has(token));
          }
        }
      }
    }),
    { numRuns: 50, seed: 4 },
  );
});
