/** The unmodified Go and Java drivers, where their tools are installed. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startNode } from '../support/node-process.ts';
import { cacheDirectory, missing, runTool } from '../support/tools.ts';

const HERE = new URL('.', import.meta.url).pathname;
const BUILD_MILLIS = 600_000;

/** Builds outside the tree. */
function workspace(name: string): string {
  const directory = join(cacheDirectory(), `e2e-${name}`);
  mkdirSync(directory, { recursive: true });
  cpSync(join(HERE, name), directory, { recursive: true });
  return directory;
}

async function againstNode(command: string, args: readonly string[]): Promise<void> {
  const node = await startNode();
  try {
    const { code, output } = await runTool(command, [...args, String(node.cqlPort)], 120_000);
    assert.equal(code, 0, output);
    assert.match(output, /^ok$/m, output);
  } finally {
    await node.stop();
  }
}

test('gocql', { skip: missing('go', ['version']) }, async () => {
  const cwd = workspace('go');
  const binary = join(cwd, 'gocql-test');
  const built = await runTool('go', ['build', '-o', binary, '.'], BUILD_MILLIS, { cwd });
  assert.equal(built.code, 0, built.output);
  await againstNode(binary, []);
});

test('Java driver', { skip: missing('mvn') || missing('java', ['-version']) }, async () => {
  const cwd = workspace('java');
  const goals = [
    '-q',
    '-B',
    'compile',
    'dependency:copy-dependencies',
    '-DoutputDirectory=target/lib',
  ];
  const built = await runTool('mvn', goals, BUILD_MILLIS, { cwd });
  assert.equal(built.code, 0, built.output);
  await againstNode('java', ['-cp', `${cwd}/target/classes:${cwd}/target/lib/*`, 'Driver']);
});
