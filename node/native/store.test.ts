/** The port, call by call, through the real binding. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  ABSENT,
  KvError,
  type KvErrorCode,
  type KvEvent,
  NEEDS_DISK,
  TOO_SMALL,
} from '../src/storage/kv.ts';
import { encodeRecord } from '../src/storage/record.ts';
import { WriteBatchBuilder } from '../src/storage/write-batch.ts';
import {
  drain,
  familyId,
  familyOptions,
  get,
  keysOf,
  openOptions,
  openStore,
  packEntries,
  packRequests,
  put,
  scratchDirectory,
  testEngine,
  unpackAnswers,
  unpackEntries,
  write,
} from './testing.ts';

const scratch = scratchDirectory();
const store = await openStore(join(scratch, 'main'));
const rows = familyId(store, 'rows');

function withCode(code: KvErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof KvError && error.code === code;
}

/** A family of its own, so that tests do not see each other. */
async function newFamily(name: string): Promise<number> {
  return store.createFamily(name, familyOptions());
}

test('families that are made together are there; of those with one that cannot be, the first', async () => {
  const wanted = new Map(['m1', 'm2', 'm3'].map((name) => [name, familyOptions()]));
  const ids = await store.createFamilies(wanted);
  for (const name of wanted.keys()) assert.equal(store.families().get(name), ids.get(name));
  await write(store, (batch) => {
    batch.put(ids.get('m3') ?? 0, Buffer.from('a'), 1, Buffer.from('one'), 3);
  });
  const failing = new Map(['m4', 'm2', 'm5'].map((name) => [name, familyOptions()]));
  await assert.rejects(store.createFamilies(failing), withCode('BAD_ARGUMENT'));
  assert.ok(store.families().has('m4'));
  assert.ok(!store.families().has('m5'));
  assert.equal((await store.createFamilies(new Map())).size, 0);
  for (const name of ['m1', 'm2', 'm3', 'm4']) await store.dropFamily(name);
});

test('what is written is read, over several families, in one call', async () => {
  const other = await newFamily('other');
  await write(store, (batch) => {
    batch.put(rows, Buffer.from('a'), 1, Buffer.from('one'), 3);
    batch.put(other, Buffer.from('a'), 1, Buffer.alloc(0), 0);
    batch.put(0, Buffer.from('a'), 1, Buffer.from('default'), 7);
  });
  const requests = packRequests([
    [rows, 'a'],
    [other, 'a'],
    [rows, 'b'],
    [0, 'a'],
  ]);
  const out = Buffer.alloc(100);
  const used = store.multiGet(requests, 4, out);
  assert.equal(used, 4 * 4 + 3 + 0 + 7);
  const expected = [Buffer.from('one'), Buffer.alloc(0), ABSENT, Buffer.from('default')];
  assert.deepEqual(unpackAnswers(4, out), expected);
  assert.deepEqual(unpackAnswers(4, await store.multiGetAsync(requests, 4)), expected);
  assert.equal(store.multiGet(requests, 4, Buffer.alloc(8)), -used);
  assert.equal(store.multiGet(requests, 0, out), 0);
});

test('many requests in one call', async () => {
  const family = await newFamily('many');
  await write(store, (batch) => {
    for (let i = 0; i < 1000; i++) {
      const key = Buffer.from(`k${i}`);
      batch.put(family, key, key.length, key, key.length);
    }
  });
  const requests = packRequests(Array.from({ length: 1500 }, (_, i) => [family, `k${i}`]));
  const answers = unpackAnswers(1500, await store.multiGetAsync(requests, 1500));
  for (let i = 0; i < 1500; i++) {
    assert.deepEqual(answers[i], i < 1000 ? Buffer.from(`k${i}`) : ABSENT);
  }
});

test('bad requests are refused', async () => {
  const out = Buffer.alloc(100);
  const request = packRequests([[rows, 'a']]);
  assert.throws(() => store.multiGet(request.subarray(0, 8), 1, out), withCode('BAD_ARGUMENT'));
  assert.throws(() => store.multiGet(request, 2, out), withCode('BAD_ARGUMENT'));
  assert.throws(() => store.multiGet(packRequests([[99, 'a']]), 1, out), withCode('BAD_ARGUMENT'));
  await assert.rejects(store.multiGetAsync(packRequests([[99, 'a']]), 1), withCode('BAD_ARGUMENT'));
  await assert.rejects(store.multiGetAsync(request, 9), withCode('BAD_ARGUMENT'));
  assert.throws(() => store.iterator(99, null, null), withCode('BAD_ARGUMENT'));
});

test('bad batches are refused, and nothing of them is written', async () => {
  const family = await newFamily('batches');
  const key = Buffer.from('k');
  const build = (fill: (batch: WriteBatchBuilder) => void) => {
    const batch = new WriteBatchBuilder();
    batch.put(family, key, 1, key, 1);
    fill(batch);
    return batch;
  };
  const whole = build(() => {});
  const unknownFamily = build((batch) => batch.put(99, key, 1, key, 1));
  const noRecord = build((batch) => batch.merge(family, key, 1, key, 1));
  const refuse = (bytes: Uint8Array, length: number) =>
    assert.throws(() => store.submit(bytes, length, 0), withCode('BAD_BATCH'));
  for (let length = 0; length < whole.length; length++) refuse(whole.bytes, length);
  refuse(whole.bytes.subarray(0, whole.length), whole.length + 1);
  refuse(unknownFamily.bytes, unknownFamily.length);
  refuse(noRecord.bytes, noRecord.length);
  const wrongCount = Buffer.from(whole.bytes.subarray(0, whole.length));
  wrongCount.writeUInt32LE(2, 8);
  refuse(wrongCount, wrongCount.length);
  const wrongTag = Buffer.from(whole.bytes.subarray(0, whole.length));
  wrongTag[12] = 0x55;
  refuse(wrongTag, wrongTag.length);
  assert.equal(await get(store, family, 'k'), null);
  await put(store, family, 'k', 'still works');
});

test('deletes, range deletes and merges', async () => {
  const family = await newFamily('deletes');
  const record = (timestamp: bigint) =>
    encodeRecord({
      liveness: { timestamp, ttl: 0, expiry: 0 },
      deletion: null,
      ranges: [],
      cells: [],
    });
  for (const key of ['a', 'b', 'c', 'd']) await put(store, family, key, key);
  await write(store, (batch) => {
    batch.delete(family, Buffer.from('a'), 1);
    batch.deleteRange(family, Buffer.from('c'), 1, Buffer.from('d'), 1);
  });
  assert.deepEqual(await keysOf(store, family), ['b', 'd']);
  for (const timestamp of [5n, 9n, 2n]) {
    const bytes = record(timestamp);
    await write(store, (batch) => batch.merge(family, Buffer.from('m'), 1, bytes, bytes.length));
  }
  assert.deepEqual(await get(store, family, 'm'), Buffer.from(record(9n)));
  await store.flush(family);
  await store.compact(family);
  assert.deepEqual(await get(store, family, 'm'), Buffer.from(record(9n)));
});

test('merging into what is no record fails, and says so', async () => {
  const family = await newFamily('unmergeable');
  const bytes = encodeRecord({
    liveness: { timestamp: 1n, ttl: 0, expiry: 0 },
    deletion: null,
    ranges: [],
    cells: [],
  });
  await put(store, family, 'k', 'no record');
  await write(store, (batch) => batch.merge(family, Buffer.from('k'), 1, bytes, bytes.length));
  await assert.rejects(get(store, family, 'k'), withCode('CORRUPTION'));
  await store.dropFamily('unmergeable');
});

test('iterators: bounds, both directions, small buffers, seek', async () => {
  const family = await newFamily('iterators');
  const keys = ['a', 'b', 'c', 'd', 'e'];
  for (const key of keys) await put(store, family, key, key.repeat(10));
  const bounds = [Buffer.from('b'), Buffer.from('e')] as const;
  const names = async (reverse: boolean) =>
    (await drain(store.iterator(family, ...bounds, { reverse }))).map(([key]) => key);
  assert.deepEqual(await names(false), ['b', 'c', 'd']);
  assert.deepEqual(await names(true), ['d', 'c', 'b']);

  const iterator = store.iterator(family, null, null);
  const out = Buffer.alloc(2 * (8 + 1 + 10));
  assert.equal(iterator.next(Buffer.alloc(10), 5), TOO_SMALL);
  assert.equal(iterator.next(out, 5), 2);
  assert.equal(iterator.next(out, 1), 1);
  assert.equal(unpackEntries(out, 1)[0][0].toString(), 'c');
  iterator.seek(Buffer.from('b'));
  assert.equal(iterator.next(out, 1), 1);
  assert.equal(unpackEntries(out, 1)[0][0].toString(), 'b');
  assert.equal(await iterator.nextAsync(out, 1), 1);
  assert.equal(unpackEntries(out, 1)[0][0].toString(), 'c');
  assert.equal(iterator.next(out, 9), 2);
  assert.equal(iterator.next(out, 9), 0);
  const busy = iterator.nextAsync(out, 1);
  assert.throws(() => iterator.next(out, 1), withCode('BAD_ARGUMENT'));
  await busy;
  iterator.close();
  iterator.close();
  assert.throws(() => iterator.next(out, 1), withCode('CLOSED'));
  await assert.rejects(iterator.nextAsync(out, 1), withCode('CLOSED'));
});

test('cache-only reads say when they need the disk, and go on there', async () => {
  const path = join(scratch, 'cold');
  const uncached = 'block_based_table_factory={prepopulate_block_cache=kDisable}';
  const families = new Map([['rows', familyOptions({ options: uncached })]]);
  const cold = await openStore(path, openOptions({ families }));
  const family = familyId(cold, 'rows');
  for (let i = 0; i < 50; i++) await put(cold, family, `k${i + 100}`, 'x'.repeat(1000));
  await cold.flush(family);
  await put(cold, family, 'k100', 'new');
  const out = Buffer.alloc(1 << 20);
  const requests = packRequests([
    [family, 'k100'],
    [family, 'k120'],
    [family, 'zzz'],
  ]);
  cold.multiGet(requests, 3, out);
  const [fresh, flushed] = unpackAnswers(3, out);
  assert.deepEqual(fresh, Buffer.from('new'));
  assert.equal(flushed, NEEDS_DISK);
  const iterator = cold.iterator(family, null, null, { cacheOnly: true });
  assert.equal(iterator.next(out, 100), NEEDS_DISK);
  assert.equal(await iterator.nextAsync(out, 20), 20);
  assert.equal(iterator.next(out, 100), NEEDS_DISK, 'what went to the disk stays there');
  assert.equal(await iterator.nextAsync(out, 100), 30);
  iterator.close();
  const warm = cold.iterator(family, null, null, { cacheOnly: true });
  assert.equal(warm.next(out, 100), 50);
  assert.equal(warm.next(out, 100), 0);
  warm.close();
  cold.multiGet(requests, 3, out);
  assert.deepEqual(unpackAnswers(3, out)[1], Buffer.from('x'.repeat(1000)));
});

test('a cache-only iterator that leaves memory half-way gives each row once', async () => {
  const options = 'block_based_table_factory={prepopulate_block_cache=kDisable;block_size=512}';
  const family = await store.createFamily('halfway', familyOptions({ options }));
  for (let i = 0; i < 40; i++) await put(store, family, `k${i + 100}`, 'x'.repeat(200));
  await store.flush(family);
  const out = Buffer.alloc(1 << 20);
  for (const reverse of [false, true]) {
    const bounds: [Buffer | null, Buffer | null] = reverse
      ? [Buffer.from('k120'), null]
      : [null, Buffer.from('k120')];
    const warm = store.iterator(family, ...bounds, { reverse });
    while (warm.next(out, 100) > 0);
    warm.close();
  }
  for (const reverse of [false, true]) {
    const iterator = store.iterator(family, null, null, {
      cacheOnly: true,
      reverse,
    });
    const seen: string[] = [];
    const take = (count: number) => {
      for (const [key] of unpackEntries(out, count)) seen.push(key.toString());
    };
    for (;;) {
      let count = iterator.next(out, 3);
      if (count === NEEDS_DISK) count = await iterator.nextAsync(out, 3);
      if (count === 0) break;
      take(count);
    }
    iterator.close();
    const expected = Array.from({ length: 40 }, (_, i) => `k${i + 100}`);
    assert.deepEqual(seen, reverse ? expected.reverse() : expected);
  }
});

test('snapshots see what was', async () => {
  const family = await newFamily('snapshots');
  await put(store, family, 'a', 'old');
  const snapshot = store.snapshot();
  await put(store, family, 'a', 'new');
  await put(store, family, 'b', 'new');
  await store.flush(family);
  await store.compact(family);
  assert.deepEqual(await drain(store.iterator(family, null, null, { snapshot })), [['a', 'old']]);
  const late = store.iterator(family, null, null, { snapshot });
  snapshot.release();
  snapshot.release();
  assert.deepEqual(await drain(late), [['a', 'old']], 'an iterator keeps its snapshot');
  assert.throws(() => store.iterator(family, null, null, { snapshot }), withCode('CLOSED'));
});

test('families come and go', async () => {
  const family = await newFamily('brief');
  await put(store, family, 'a', 'a');
  const iterator = store.iterator(family, null, null);
  await store.dropFamily('brief');
  assert.equal(store.families().has('brief'), false);
  assert.throws(() => store.iterator(family, null, null), withCode('BAD_ARGUMENT'));
  assert.deepEqual(await drain(iterator), [['a', 'a']], 'an iterator outlives its family');
  await assert.rejects(store.dropFamily('brief'), withCode('BAD_ARGUMENT'));
  await assert.rejects(store.createFamily('rows', familyOptions()), withCode('BAD_ARGUMENT'));
  await assert.rejects(
    store.createFamily('odd', familyOptions({ options: 'no_such_option=1' })),
    withCode('BAD_ARGUMENT'),
  );
  assert.throws(() => store.setPolicy(family, familyOptions().policy), withCode('BAD_ARGUMENT'));
});

test('a store is found again with its families, also those nobody names', async () => {
  const path = join(scratch, 'again');
  const first = await testEngine().open(path, openOptions());
  const extra = await first.createFamily('extra', familyOptions());
  await put(first, extra, 'k', 'v');
  await first.close();
  const second = await openStore(path);
  assert.deepEqual([...second.families().keys()].sort(), ['default', 'extra', 'rows']);
  assert.deepEqual(await get(second, familyId(second, 'extra'), 'k'), Buffer.from('v'));
});

test('bad options name themselves', async () => {
  const open = (options: string) =>
    testEngine().open(join(scratch, 'odd'), openOptions({ options }));
  await assert.rejects(open('max_open_files=many'), withCode('BAD_ARGUMENT'));
  await assert.rejects(open('no_such_option=1'), /no_such_option/);
  const families = new Map([['rows', familyOptions({ gridBits: 65 })]]);
  await assert.rejects(
    testEngine().open(join(scratch, 'odd'), openOptions({ families })),
    withCode('BAD_ARGUMENT'),
  );
});

test('tickets come in order, and a full queue refuses', async () => {
  const path = join(scratch, 'queue');
  const small = await openStore(path, openOptions({ durability: 'group', queueBytesMax: 4000 }));
  const family = familyId(small, 'rows');
  const value = Buffer.alloc(1000);
  const done: number[] = [];
  const writes: Promise<void>[] = [];
  // The writer may be quick: goes on until it was caught with a full queue.
  for (let refused = 0; refused === 0; ) {
    const i = writes.length;
    const key = Buffer.alloc(4);
    key.writeUInt32BE(i);
    const written = write(small, (batch) => batch.put(family, key, 4, value, value.length));
    writes.push(
      written.then(
        () => void done.push(i),
        (error) => assert.ok(withCode('STALLED')(error)),
      ),
    );
    assert.ok(small.queuedBytes() <= 4000);
    if (writes.length % 20 === 0) {
      await Promise.all(writes);
      refused = writes.length - done.length;
    }
  }
  assert.ok(done.length > 0);
  assert.deepEqual(
    done,
    [...done].sort((x, y) => x - y),
  );
  await small.syncWal();
  assert.equal(small.queuedBytes(), 0);
  assert.equal((await keysOf(small, family)).length, done.length);
});

test('checkpoint, export and import, ingest, delete files', async () => {
  const family = await newFamily('files');
  for (let i = 10; i < 60; i++) await put(store, family, `k${i}`, `v${i}`);
  await store.flush(family);
  const copy = join(scratch, 'copy');
  await store.checkpoint(copy);
  const restored = await openStore(copy);
  assert.equal((await keysOf(restored, familyId(restored, 'files'))).length, 50);

  const exported = join(scratch, 'exported');
  const exportedFamily = await store.exportFamily(family, exported);
  const imported = await restored.importFamily(
    'imported',
    familyOptions(),
    exported,
    exportedFamily,
    { move: false },
  );
  assert.deepEqual(await get(restored, imported, 'k33'), Buffer.from('v33'));
  const cut = { metadata: exportedFamily.metadata.subarray(1) };
  await assert.rejects(
    restored.importFamily('bad', familyOptions(), exported, cut, {
      move: false,
    }),
    withCode('BAD_ARGUMENT'),
  );
  await assert.rejects(
    restored.importFamily('bad', familyOptions(), exported, exportedFamily, {
      names: ['000000.sst'],
      move: false,
    }),
    withCode('BAD_ARGUMENT'),
  );

  // A live store's own file, as streaming sends it, into an empty range of another store.
  const live = store.liveFiles().filter((file) => file.family === 'files');
  assert.equal(live.length, 1);
  assert.equal(Buffer.from(live[0].smallestKey).toString(), 'k10');
  assert.equal(Buffer.from(live[0].largestKey).toString(), 'k59');
  assert.equal(live[0].entries, 50);
  const target = await restored.createFamily('target', familyOptions());
  await restored.ingest(target, [join(live[0].directory, live[0].name)], {
    databaseMade: true,
    link: true,
    verifyChecksums: true,
  });
  assert.deepEqual(await get(restored, target, 'k59'), Buffer.from('v59'));

  const file = join(scratch, 'made.sst');
  const writer = restored.sstWriter(target, file);
  const liveness = { timestamp: 1n, ttl: 0, expiry: 0 };
  const record = encodeRecord({
    liveness,
    deletion: null,
    ranges: [],
    cells: [],
  });
  const entries = packEntries([
    ['z1', record],
    ['z2', record],
  ]);
  await writer.put(entries, entries.length);
  await assert.rejects(writer.put(entries, entries.length), withCode('BAD_ARGUMENT'));
  assert.ok((await writer.finish()) > 0);
  await assert.rejects(writer.put(entries, 1), withCode('CLOSED'));
  await restored.ingest(target, [file], { move: true });
  assert.deepEqual(await get(restored, target, 'z2'), Buffer.from(record));
  assert.equal(existsSync(file), false);

  const abandoned = restored.sstWriter(target, join(scratch, 'abandoned.sst'));
  await abandoned.put(entries, entries.length);
  abandoned.abort();
  abandoned.abort();
  assert.equal(existsSync(join(scratch, 'abandoned.sst')), false);
  await restored.verifyChecksums();

  await restored.compact(target);
  await restored.deleteFilesInRange(target, null, null);
  assert.deepEqual(await keysOf(restored, target), []);
});

test('events, statistics, properties, memory', async () => {
  const family = await newFamily('events');
  const events: KvEvent[] = [];
  store.onEvent((event) => events.push(event));
  await put(store, family, 'a', 'a');
  await store.flush(family);
  await store.compact(family);
  await store.syncWal();
  const kinds = new Set(
    events.filter((e) => 'family' in e && e.family === 'events').map((e) => e.kind),
  );
  assert.ok(kinds.has('flush') && kinds.has('compaction'), [...kinds].join());
  assert.equal(store.property(family, 'rocksdb.num-files-at-level0'), '0');
  assert.equal(store.property(family, 'rocksdb.no-such-property'), undefined);
  assert.ok(store.statistics()['rocksdb.number.keys.written'] > 0);
  const memory = testEngine().memoryUsage();
  assert.ok(memory.cacheBytes > 0 && memory.memtableBytes > 0);
});

test('closing: idempotent, ends what is under way, and everything is refused afterwards', async () => {
  const path = join(scratch, 'closing');
  const closing = await testEngine().open(path, openOptions());
  const family = familyId(closing, 'rows');
  const iterator = closing.iterator(family, null, null);
  const snapshot = closing.snapshot();
  const written = put(closing, family, 'a', 'a');
  const read = closing.multiGetAsync(packRequests([[family, 'a']]), 1);
  const scanned = iterator.nextAsync(Buffer.alloc(100), 1);
  const both = [closing.close(), closing.close()];
  await Promise.all([written, read, scanned, ...both]);
  const out = Buffer.alloc(10);
  const batch = new WriteBatchBuilder();
  for (const call of [
    () => closing.families(),
    () => closing.submit(batch.bytes, batch.length, 1),
    () => closing.multiGet(packRequests([[family, 'a']]), 1, out),
    () => closing.iterator(family, null, null),
    () => iterator.next(out, 1),
    () => iterator.seek(out),
    () => closing.snapshot(),
    () => closing.liveFiles(),
    () => closing.statistics(),
    () => closing.property(family, 'rocksdb.stats'),
    () => closing.queuedBytes(),
    () => closing.sstWriter(family, 'x'),
    () => closing.setPolicy(family, familyOptions().policy),
  ]) {
    assert.throws(call, withCode('CLOSED'));
  }
  for (const call of [
    () => closing.multiGetAsync(packRequests([[family, 'a']]), 1),
    () => iterator.nextAsync(out, 1),
    () => closing.flush(),
    () => closing.compact(family),
    () => closing.syncWal(),
    () => closing.verifyChecksums(),
    () => closing.checkpoint(join(scratch, 'no')),
    () => closing.createFamily('no', familyOptions()),
  ]) {
    await assert.rejects(call, withCode('CLOSED'));
  }
  iterator.close();
  snapshot.release();
  const again = await openStore(path);
  assert.deepEqual(await get(again, familyId(again, 'rows'), 'a'), Buffer.from('a'));
});
