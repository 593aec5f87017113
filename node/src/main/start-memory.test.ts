import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { releaseStartMemory } from './start-memory.ts';

test('memory goes back in the first second without a request, not before', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let requests = 0;
  let isDone = false;
  const released = releaseStartMemory(() => requests).then(() => {
    isDone = true;
  });
  const second = async () => {
    mock.timers.tick(1000);
    // The collection itself takes turns of the event loop.
    for (let turn = 0; turn < 20; turn++) await setImmediate();
  };
  for (let busy = 0; busy < 3; busy++) {
    requests++;
    await second();
    assert.equal(isDone, false, `after ${busy + 1} busy seconds`);
  }
  await second();
  await released;
  assert.ok(isDone);
  mock.timers.reset();
});
