import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MoveTokensRequest, RingBytes } from './admin-messages.ts';
import { rebalance, showRebalanced } from './cli-rebalance.ts';

/** Three nodes, of which the last has its tokens side by side. */
function unevenRing(): RingBytes {
  const spread = (from: number) => Array.from({ length: 8 }, (_, i) => i * 8192 + from);
  const buckets = [spread(1000), spread(5000), Array.from({ length: 8 }, (_, i) => i + 20)];
  return {
    nodes: buckets.map((own, i) => ({
      ...{
        hostId: `host-${i}`,
        address: `10.0.0.${i}`,
        datacenter: 'dc1',
        rack: 'r',
        state: 'normal',
      },
      ...{ buckets: own, answered: i > 0 },
    })),
    loads: [
      {
        replication: { class: 'NetworkTopologyStrategy', dc1: '1' },
        cells: Array.from({ length: 4096 }, () => 1000),
      },
    ],
    operations: [],
  };
}

/** A cluster that does what it is told; moves of `stubborn` are undone. */
function cluster(ring: RingBytes, stubborn = '') {
  const moved: MoveTokensRequest[] = [];
  let { nodes } = ring;
  let asked = 0;
  return {
    moved,
    status: () => assert.fail('the datacenter is given'),
    ringBytes: async () => ({ ...ring, nodes }),
    moveTokens: async (request: MoveTokensRequest) => {
      moved.push(request);
      nodes = nodes.map((node) =>
        node.hostId === request.hostId && node.hostId !== stubborn
          ? { ...node, buckets: request.buckets }
          : node,
      );
      return `op-${moved.length}`;
    },
    operations: async () => {
      asked++;
      return { operations: [], streamBytesPerSecond: 0 };
    },
    get asked() {
      return asked;
    },
  };
}

const options = { datacenter: 'dc1', isDryRun: false, tell: () => {} };

test('what is planned is carried out, one node after another', async () => {
  const admin = cluster(unevenRing());
  const done = await rebalance(admin, options);
  assert.ok(done.deviationBefore > 0.5 && done.deviationAfter <= 0.05);
  assert.ok(admin.moved.length > 0);
  assert.equal(admin.asked, admin.moved.length);
  assert.deepEqual(
    done.moves.map(({ operation }) => operation),
    admin.moved.map((_, i) => `op-${i + 1}`),
  );
  assert.deepEqual(done.undone, []);
  const again = await rebalance(admin, options);
  assert.ok(again.deviationBefore <= 0.05);
  assert.deepEqual(again.moves, []);
  assert.match(showRebalanced(again, false), /No move of tokens would make it better/);
});

test('a plan alone moves nothing', async () => {
  const admin = cluster(unevenRing());
  const planned = await rebalance(admin, { ...options, isDryRun: true });
  assert.deepEqual(admin.moved, []);
  const text = showRebalanced(planned, true);
  assert.match(text, /would take other tokens/);
  assert.match(text, /did not say what they have.*10\.0\.0\.0/);
});

test('what was undone is told', async () => {
  const done = await rebalance(cluster(unevenRing(), 'host-2'), options);
  assert.deepEqual(done.undone, ['10.0.0.2']);
  assert.match(showRebalanced(done, false), /undone meanwhile, run it again: 10\.0\.0\.2/);
});

test('it is refused while something moves, and where there is nobody', async () => {
  const busy = cluster({ ...unevenRing(), operations: ['op-7'] });
  await assert.rejects(rebalance(busy, options), /operation op-7 is in progress/);
  const elsewhere = { ...options, datacenter: 'dc9' };
  await assert.rejects(rebalance(cluster(unevenRing()), elsewhere), /no datacenter 'dc9'/);
});
