import assert from 'node:assert/strict';
import { test } from 'node:test';
import { releaseStartMemory } from './start-memory.ts';

test('memory goes back after the first second without a request, not before', async () => {
  let requests = 0;
  let seconds = 0;
  await releaseStartMemory(
    () => requests,
    async () => {
      seconds++;
      if (seconds <= 3) requests++;
    },
  );
  assert.equal(seconds, 4);
});
