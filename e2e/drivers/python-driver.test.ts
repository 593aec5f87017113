/** The unmodified Python cassandra-driver, protocol v3, v4 and v5, plain and compressed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNode } from '../support/node-process.ts';
import { pythonEnvironment, runTool } from '../support/tools.ts';

const python = await pythonEnvironment();

test('Python driver', { skip: python.missing }, async () => {
  const node = await startNode();
  try {
    const script = new URL('./python_driver.py', import.meta.url).pathname;
    const { output, code } = await runTool(
      `${python.bin}/python`,
      [script, String(node.cqlPort)],
      120_000,
    );
    assert.equal(code, 0, output);
    assert.match(output, /^ok$/m, output);
  } finally {
    await node.stop();
  }
});
