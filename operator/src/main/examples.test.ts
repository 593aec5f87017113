import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ClusterFileReader } from '../dev/cluster-file.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

test('examples are what the API takes', () => {
  const files = globSync('examples/*.yaml', { cwd: ROOT });
  assert.ok(files.length >= 3);
  for (const file of files) {
    new ClusterFileReader(file).read(readFileSync(`${ROOT}${file}`, 'utf8'), null);
  }
});
