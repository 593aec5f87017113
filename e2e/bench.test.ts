/** The benchmark runs and writes what it measured. How fast anything is, is not tested here. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startNode, temporaryDirectory } from './support/node-process.ts';
import { runTool } from './support/tools.ts';

const BENCH = fileURLToPath(new URL('../node/bench/main.ts', import.meta.url));

test('a short benchmark writes its figures', { timeout: 60_000 }, async () => {
  const out = join(temporaryDirectory(), 'bench.json');
  const args = [BENCH, '--quick', '--seconds', '0.5', '--warm', '0.2', '--rows', '2000'];
  const scenarios = ['--scan-rows', '6000', '--only', 'capability,cores,scan', '--out', out];
  const ran = await runTool(process.execPath, [...args, ...scenarios], 50_000);
  assert.equal(ran.code, 0, ran.output);
  const { results } = JSON.parse(readFileSync(out, 'utf8'));
  for (const mode of ['write', 'read', 'mixed']) {
    assert.ok(results[`${mode}, 256 in flight, periodic`]['ops/s'] > 0, ran.output);
  }
  assert.ok(results['mixed, 10000 op/s, periodic']['p99 ms'] > 0, ran.output);
  assert.ok(results.memory['loaded MiB'] > 0, ran.output);
  assert.ok(results['write, 2 workers : 1 worker']['ops/s'] > 0, ran.output);
  for (const what of ['small partitions', 'a wide partition']) {
    assert.equal(results[`scan of ${what}`].rows, 6000, ran.output);
  }
});

test('an unknown option of the benchmark is refused', async () => {
  const ran = await runTool(process.execPath, [BENCH, '--only', 'everything'], 20_000);
  assert.equal(ran.code, 1);
  assert.match(ran.output, /--only: there is no 'everything'/);
});

test('another server is measured beside a node, in turns', { timeout: 60_000 }, async () => {
  // A second node stands for Cassandra: they speak the same protocol.
  await using other = await startNode({ flags: { 'commitlog-sync': 'periodic' } });
  const out = join(temporaryDirectory(), 'beside.json');
  const target = ['--cassandra', `127.0.0.1:${other.cqlPort}`, '--pid', String(other.pid)];
  const short = ['--quick', '--seconds', '0.4', '--warm', '0.1', '--warm-up', '0.2'];
  const args = [BENCH, ...target, ...short, '--rows', '2000', '--out', out];
  const ran = await runTool(process.execPath, args, 50_000);
  assert.equal(ran.code, 0, ran.output);
  const { results } = JSON.parse(readFileSync(out, 'utf8'));
  for (const load of ['write', 'read', 'mixed', 'mixed 10000 op/s']) {
    for (const server of ['Cassandra', 'Ilion']) {
      assert.ok(results[`${load}, ${server}`]['ops/cpu-s'] > 0, ran.output);
    }
    assert.ok(results[`${load}, Ilion : Cassandra`]['ops/cpu-s'] > 0, ran.output);
  }
  assert.ok(results['memory, after load']['Cassandra MiB'] > 0, ran.output);
});
