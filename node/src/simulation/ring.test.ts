/** Rings that change while all else goes wrong. More: `npm run simulate -- --topology`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSeed } from './run.ts';

/** 45: a table is dropped while its ranges arrive, which once kept a join from ever ending. */
const SEEDS = [1, 2, 45];

test(`${SEEDS.length} seeds of rings that change`, async () => {
  for (const seed of SEEDS) {
    const { problems } = await runSeed(seed, { ring: true, tables: true, faultMillis: 8_000 });
    const again = `npm run simulate -- --topology --seconds 8 --from ${seed} --seeds 1`;
    assert.deepEqual(problems, [], `seed ${seed}: ${again}`);
  }
});

test('a ring that changes replays step for step', async () => {
  const options = { ring: true, tables: true, faultMillis: 3_000 };
  const [first, second] = [await runSeed(5, options), await runSeed(5, options)];
  assert.equal(first.fingerprint, second.fingerprint);
});
