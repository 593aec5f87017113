/** Bugs of moving ranges are found as well. One of them: `npm run simulate -- --bug NAME`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { huntBug } from './bug-hunt.ts';
import { RING_BUGS } from './ring-bugs.ts';

for (const [name, bug] of Object.entries(RING_BUGS)) {
  test(`found within ${bug.seeds} seeds: ${name}`, async () => {
    assert.notEqual(await huntBug(bug, bug.from), null);
  });
}
