/**
 * What multiGet says from memory is either the truth or NEEDS_DISK, whatever blocks the cache holds: merge operands of
 * one key are spread over files and blocks, and random parts of them are in the cache.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { NEEDS_DISK } from '../src/storage/kv.ts';
import { encodeRecord } from '../src/storage/record.ts';
import {
  familyId,
  familyOptions,
  openOptions,
  openStore,
  packRequests,
  scratchDirectory,
  unpackAnswers,
  write,
} from './testing.ts';

const ROUNDS = 12;
const KEYS = 60;

/** A linear congruential generator: the same run every time. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const keyOf = (i: number) => `key${String(i).padStart(3, '0')}`;

function record(timestamp: number, column: number): Uint8Array {
  const cell = { column, kind: 'live', timestamp: BigInt(timestamp), ttl: 0 } as const;
  return encodeRecord({
    liveness: { timestamp: BigInt(timestamp), ttl: 0, expiry: 0 },
    deletion: null,
    ranges: [],
    cells: [{ ...cell, localSeconds: 0, path: null, value: Buffer.alloc(60, column) }],
  });
}

test('from memory: the truth, or that the disk is needed', async () => {
  const below = generator(7);
  const options =
    'disable_auto_compactions=true;compression=kNoCompression;max_successive_merges=0;' +
    'block_based_table_factory={block_size=256;prepopulate_block_cache=kDisable}';
  const path = join(scratchDirectory(), 'db');
  let memory = 0;
  let disk = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const families = new Map([['rows', familyOptions({ options })]]);
    const store = await openStore(`${path}${round}`, openOptions({ families }));
    const family = familyId(store, 'rows');
    for (let file = 0; file < 4; file++) {
      const snapshots = [];
      await write(store, (batch) => {
        for (let i = 0; i < 100; i++) {
          const key = Buffer.from(keyOf(below(KEYS)));
          const bytes = record(file * 100 + i, below(5));
          if (below(20) === 0) batch.delete(family, key, key.length);
          else batch.merge(family, key, key.length, bytes, bytes.length);
        }
      });
      // Keeps several versions of a key in one file.
      snapshots.push(store.snapshot());
      await write(store, (batch) => {
        for (let i = 0; i < 50; i++) {
          const key = Buffer.from(keyOf(below(KEYS)));
          const bytes = record(file * 100 + i, below(5));
          batch.merge(family, key, key.length, bytes, bytes.length);
        }
      });
      await store.flush(family);
      for (const snapshot of snapshots) snapshot.release();
    }
    const all = packRequests(Array.from({ length: KEYS }, (_, i) => [family, keyOf(i)]));
    const out = Buffer.alloc(1 << 20);
    const check = () => store.multiGet(all, KEYS, out) && unpackAnswers(KEYS, out);
    const before = check();
    // Warms some blocks: whole keys, and single files by iterators that stop early.
    for (let i = 0; i < 8; i++) {
      await store.multiGetAsync(packRequests([[family, keyOf(below(KEYS))]]), 1);
    }
    const partly = check();
    const truth = unpackAnswers(KEYS, await store.multiGetAsync(all, KEYS));
    for (const answers of [before, partly, check()]) {
      assert.ok(answers);
      for (let i = 0; i < KEYS; i++) {
        if (answers[i] === NEEDS_DISK) disk++;
        else {
          memory++;
          assert.deepEqual(answers[i], truth[i], `round ${round}, ${keyOf(i)}`);
        }
      }
    }
    await store.close();
  }
  assert.ok(memory > 300 && disk > 300, `${memory} from memory, ${disk} need the disk`);
});
