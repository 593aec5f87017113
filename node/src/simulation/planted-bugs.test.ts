/** The checkers have teeth: bugs that are put in on purpose are found. One of them: `npm run simulate -- --bug NAME`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { huntBug } from './bug-hunt.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';

for (const [name, bug] of Object.entries(PLANTED_BUGS)) {
  test(`found within ${bug.seeds} seeds: ${name}`, async () => {
    assert.notEqual(await huntBug(bug), null);
  });
}
