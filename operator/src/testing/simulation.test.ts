import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BUGS } from './bugs.ts';
import { simulate } from './simulation.ts';

/** Each takes about a third of a second. */
const SEEDS = 40;
const FIRST_SEED = 1_000;
const HUNT_SEEDS_MAX = 60;

test('histories of edits, faults and restarts end as the spec says, and lose nothing on the way', async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const { violations } = await simulate({ seed });
    assert.deepEqual(violations, [], `seed ${seed}`);
  }
});

test('the same seed is the same history', async () => {
  assert.deepEqual(await simulate({ seed: 7 }), await simulate({ seed: 7 }));
});

for (const bug of BUGS) {
  test(`found: ${bug.name}`, async () => {
    let isFound = false;
    const seeds = [bug.seed ?? 1, ...Array.from({ length: HUNT_SEEDS_MAX }, (_, i) => i + 1)];
    for (const seed of seeds) {
      const { violations } = await simulate({ seed, bug });
      isFound ||= violations.length > 0;
      if (isFound) break;
    }
    assert.ok(isFound, `not found by ${HUNT_SEEDS_MAX} seeds`);
  });
}
