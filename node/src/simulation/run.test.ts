/** Whole clusters under seeds: nothing that must hold is broken, and a seed is the same every time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSeed } from './run.ts';

const SEEDS = 8;

test(`${SEEDS} seeds of three nodes`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { problems, operations } = await runSeed(seed, { faultMillis: 10_000 });
    assert.deepEqual(problems, [], `seed ${seed}: npm run simulate -- --from ${seed} --seeds 1`);
    for (const [kind, outcomes] of Object.entries(operations)) {
      assert.ok(outcomes['ok'] > 8, `seed ${seed}: only ${outcomes['ok']} of ${kind}`);
    }
  }
});

test('two datacenters, of which one may fail', async () => {
  const options = {
    datacenters: { dc1: 3, dc2: 3 },
    replication: "{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 3}",
    faults: ['datacenter', 'partition', 'slow-link', 'crash'] as const,
    faultMillis: 10_000,
  };
  for (const seed of [1, 2]) assert.deepEqual((await runSeed(seed, options)).problems, []);
});

test('five nodes, three replicas: coordinators that are none', async () => {
  for (const seed of [1022, 1023, 1024]) {
    const options = { datacenters: { dc1: 5 }, faultMillis: 10_000 };
    assert.deepEqual((await runSeed(seed, options)).problems, []);
  }
});

test('a seed replays step for step', async () => {
  const options = { faultMillis: 5_000 };
  const [first, second, other] = [
    await runSeed(7, options),
    await runSeed(7, options),
    await runSeed(8, options),
  ];
  assert.equal(first.fingerprint, second.fingerprint);
  assert.deepEqual(first.trace, second.trace);
  assert.notEqual(first.fingerprint, other.fingerprint);
});
