/** Every fuzz harness of the tree, for a short while; longer by hand: `SECONDS=600 node FILE`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { test } from 'node:test';

const source = new URL('../src/', import.meta.url).pathname;
const files = globSync('**/*.fuzz.ts', { cwd: source }).sort();

test('there are fuzz harnesses', () => {
  assert.ok(files.length >= 4, files.join(', '));
});

for (const file of files) {
  test(`fuzz ${file}`, () => {
    const environment = {
      ...process.env,
      SECONDS: '3',
      SEED: String(Math.floor(Math.random() * 2 ** 31)),
    };
    const { status, stdout, stderr } = spawnSync(process.execPath, [source + file], {
      env: environment,
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(status, 0, `SEED=${environment.SEED}\n${stdout}${stderr}`);
  });
}
