import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BUGS } from './bugs.ts';
import { simulateDatabase } from './database-simulation.ts';

for (const seed of [2, 4]) {
  test(`operator and database, seed ${seed}: nothing is lost, and it ends as it is to`, async () => {
    const { violations, requests } = await simulateDatabase({ seed, steps: 4 });
    assert.deepEqual(violations, []);
    assert.ok(requests['ok'] > 1_000, JSON.stringify(requests));
  });
}

test('a lost volume, under clients that look', async () => {
  const script = ['volume lost', 'scale'];
  const { violations } = await simulateDatabase({ seed: 1, script });
  assert.deepEqual(violations, []);
});

test('the same seed is the same history', async () => {
  const run = () => simulateDatabase({ seed: 3, script: ['scale'], clients: 1 });
  assert.deepEqual(await run(), await run());
});

test('found: nodes that are not wanted are not taken out of the ring, only deleted', async () => {
  const bug = BUGS.find(({ name }) => name.startsWith('nodes that are not wanted are not taken'));
  assert.ok(bug !== undefined);
  // Of four changes between three, four and five nodes one at least goes down.
  const script = ['scale', 'scale', 'scale', 'scale'];
  const { violations } = await simulateDatabase({ seed: 1, script, bug });
  assert.match(violations.join(), /which is normal, was deleted|the pod of .* was deleted/);
});
