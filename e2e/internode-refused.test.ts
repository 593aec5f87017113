/** Nodes that must not start, or not speak with each other: each says why. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startCluster } from './support/cluster-processes.ts';
import { startNode, temporaryDirectory } from './support/node-process.ts';

test('two clusters of one name do not mix', async () => {
  await using one = await startCluster({ datacenters: { dc1: 1 } });
  await using two = await startCluster({ datacenters: { dc1: 1 } });
  const [seed] = two.addresses;
  // A node of the one cluster is told to look for the other.
  const [address] = one.addresses;
  await one.nodes[0].stop();
  const addresses = {
    ...{ 'listen-address': address, 'rpc-address': address },
    ...{ 'admin-address': address, 'metrics-address': address },
  };
  await using node = await startNode({
    dataDirectory: one.nodes[0].dataDirectory,
    until: 'there are two clusters named',
    flags: { ...addresses, 'data-center': 'dc1', workers: '1', shards: '1', seeds: seed },
  });
  assert.match(
    node.output(),
    /there are two clusters named 'Ilion', [0-9a-f-]{36} and [0-9a-f-]{36}/,
  );
  assert.match(two.nodes[0].output(), /there are two clusters named/);
  const { metricsPort } = two.nodes[0];
  const metrics = await (await fetch(`http://${seed}:${metricsPort}/metrics`)).text();
  assert.ok(metrics.includes('ilion_'));
});

test('a node whose datacenter or rack was changed does not start', async () => {
  const directory = temporaryDirectory();
  // No cluster of a test has 251 there.
  const address = `127.${(process.pid % 200) + 20}.251.1`;
  const start = (flags: Readonly<Record<string, string>>, until?: string) =>
    startNode({
      dataDirectory: join(directory, 'n1'),
      ...(until === undefined ? {} : { until }),
      flags: {
        ...{ 'listen-address': address, 'rpc-address': address, workers: '1', shards: '1' },
        ...{ 'admin-address': address, 'metrics-address': address, 'data-center': 'east' },
        ...flags,
      },
    });
  await (await start({ rack: 'r1' })).stop();
  for (const [flags, why] of [
    [{ rack: 'r2' }, /rack is 'r2', but this node is in the rack 'r1' .*Set rack back to 'r1'/],
    [{ rack: 'r1', 'data-center': 'west' }, /data_center is 'west', .* datacenter 'east'/],
  ] as const) {
    await using node = await start(flags, 'the node did not start');
    assert.equal((await node.waitExit()).code, 1);
    assert.match(node.output(), why);
  }
  await using again = await start({ rack: 'r1' });
  assert.ok(again.pid > 0);
});

test('a copy of a data directory does not start beside the node it was made of', async () => {
  await using cluster = await startCluster({ datacenters: { dc1: 2 } });
  const [first, second] = cluster.addresses;
  await cluster.nodes[1].stop();
  const copy = join(temporaryDirectory(), 'copy');
  cpSync(cluster.nodes[1].dataDirectory, copy, { recursive: true });
  await cluster.restart(1);
  const address = second.replace(/\d+$/, '9');
  const addresses = {
    ...{ 'listen-address': address, 'rpc-address': address },
    ...{ 'admin-address': address, 'metrics-address': address },
  };
  const start = (until?: string) =>
    startNode({
      dataDirectory: copy,
      ...(until === undefined ? {} : { until }),
      flags: { ...addresses, 'data-center': 'dc1', workers: '1', shards: '1', seeds: first },
    });
  await using twin = await start('the node did not start');
  assert.equal((await twin.waitExit()).code, 1);
  assert.match(twin.output(), new RegExp(`is alive at ${second}:7000: was its data directory`));
  // It may take the place of the one that is gone.
  await cluster.nodes[1].stop();
  await using moved = await start();
  assert.ok(moved.pid > 0);
});

test('a node that looks for its cluster stops when it is told to', async () => {
  const address = `127.${(process.pid % 200) + 20}.252.1`;
  await using node = await startNode({
    dataDirectory: join(temporaryDirectory(), 'n1'),
    until: 'no seed takes this node in',
    flags: {
      ...{ 'listen-address': address, 'rpc-address': address, workers: '1', shards: '1' },
      ...{ 'admin-address': address, 'metrics-address': address, seeds: `${address}9` },
    },
  });
  process.kill(node.pid, 'SIGTERM');
  assert.equal((await node.waitExit()).code, 0);
  assert.match(node.output(), /stopped before it was ready/);
});
