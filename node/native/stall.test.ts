/** A write stall is the writer thread's affair: loops go on, and see a queue that fills. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { WriteBatchBuilder } from '../src/storage/write-batch.ts';
import { createNativeEngine } from './index.ts';
import { familyId, familyOptions, openOptions, scratchDirectory, testProcess } from './testing.ts';

test('the loop turns while writes are stopped, and then all of them end', async () => {
  const path = join(scratchDirectory(), 'db');
  // Two small memtables, and flushes of 100 KB/s: the third must wait.
  const engine = createNativeEngine({ ...testProcess, backgroundBytesPerSecond: 100_000 });
  const options = 'write_buffer_size=65536;max_write_buffer_number=2;compression=kNoCompression';
  const families = new Map([['rows', familyOptions({ options })]]);
  const store = await engine.open(path, openOptions({ families, queueBytesMax: 300_000 }));
  after(() => store.close());
  const family = familyId(store, 'rows');
  const states: string[] = [];
  store.onEvent((event) => {
    if (event.kind === 'stall') states.push(event.state);
  });
  let done = 0;
  engine.onComplete((_tickets, statuses, count) => {
    for (let i = 0; i < count; i++) assert.equal(statuses[i], 0);
    done += count;
  });
  const batch = new WriteBatchBuilder();
  const value = Buffer.alloc(20_000, 'x');
  let taken = 0;
  let refused = 0;
  for (let i = 0; i < 40; i++) {
    batch.clear();
    batch.put(family, Buffer.from([i]), 1, value, value.length);
    if (store.submit(batch.bytes, batch.length, i)) taken++;
    else refused++;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  let longest = 0;
  let last = performance.now();
  while (done < taken) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }
  assert.ok(refused > 0, 'a queue that does not move fills');
  assert.ok(states.includes('stopped'), states.join());
  assert.ok(longest < 500, `the loop stood still for ${longest} ms`);
});
