/** Every fuzz harness of the tree, for a short while; longer by hand: `SECONDS=600 node FILE`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { test } from 'node:test';

const source = new URL('../src/', import.meta.url).pathname;
const runner = new URL('./fuzz-run.ts', import.meta.url).href;
const files = globSync('**/*.fuzz.ts', { cwd: source }).sort();

function run(args: readonly string[], environment: Readonly<Record<string, string>>) {
  return spawnSync(process.execPath, args, {
    env: { ...process.env, ...environment },
    encoding: 'utf8',
    timeout: 60_000,
  });
}

test('there are fuzz harnesses', () => {
  assert.ok(files.length >= 4, files.join(', '));
});

for (const file of files) {
  test(`fuzz ${file}`, () => {
    const { status, stdout, stderr } = run([source + file], { SECONDS: '3' });
    assert.equal(status, 0, stdout + stderr);
    assert.ok(JSON.parse(stdout).cases > 100, stdout);
  });
}

/** A harness that finds something in case 5, and is slow in case 40. */
const PLANTED = `
  import { runFuzz } from ${JSON.stringify(runner)};
  await runFuzz({
    name: 'planted',
    caseMillisMax: 50,
    run: (seed) => {
      if (seed === 5) throw new TypeError('planted');
      if (seed === 40) for (const end = process.cpuUsage().user + 100_000; process.cpuUsage().user < end; );
      return 'fine';
    },
  });`;

test('a harness names the cases that fail or are slow, and runs on', () => {
  const environment = { SEED: '0', CASES: '64' };
  const { status, stdout, stderr } = run(['--input-type=module', '-e', PLANTED], environment);
  assert.equal(status, 1, stderr);
  const { cases, crashes, outcomes } = JSON.parse(stdout);
  assert.deepEqual([cases, crashes, outcomes], [64, 2, { fine: 62 }]);
  assert.match(stderr, /^SEED=5 CASES=1 .*\nTypeError: planted/m);
  assert.match(stderr, /^SEED=40 CASES=1 .*\nAssertionError.*took \d/m);
});
