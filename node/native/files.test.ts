/** What streaming does with files: export, checksums, ingest as they are, slices, clearing a range. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type ExportedFamily,
  type FamilyId,
  KvError,
  type KvStore,
  type LiveFile,
} from '../src/storage/kv.ts';
import { mergeRecords } from '../src/storage/merge.ts';
import { encodeRecord } from '../src/storage/record.ts';
import { fileChecksum } from './index.ts';
import {
  familyOptions,
  get,
  openStore,
  scratchDirectory,
  testEngine,
  unpackEntries,
  write,
} from './testing.ts';

const scratch = scratchDirectory();
testEngine();
const source = await openStore(join(scratch, 'source'));
const target = await openStore(join(scratch, 'target'));
const GRID = 4;

let families = 0;
async function newFamily(store: KvStore): Promise<FamilyId> {
  return store.createFamily(`files-${++families}`, familyOptions({ gridBits: GRID }));
}

/** 16 keys, one in each cell of the grid. */
function keyOf(cell: number): Buffer {
  return Buffer.from([cell << 4, 1, 2, 3, 4, 5, 6, 7, 8]);
}

function recordOf(column: number, timestamp: bigint): Uint8Array {
  const value = Buffer.from(`${column}:${timestamp}`);
  return encodeRecord({
    liveness: null,
    deletion: null,
    ranges: [],
    cells: [
      {
        column,
        kind: 'live',
        timestamp,
        ttl: 0,
        localSeconds: 0,
        path: null,
        value,
      },
    ],
  });
}

async function merge(store: KvStore, family: FamilyId, cell: number, record: Uint8Array) {
  const key = keyOf(cell);
  await write(store, (batch) => batch.merge(family, key, key.length, record, record.length));
}

/** A family whose files overlap: some compacted, others in level 0 with more of the same keys. */
async function overlapping(): Promise<FamilyId> {
  const family = await newFamily(source);
  for (let cell = 0; cell < 16; cell++) await merge(source, family, cell, recordOf(1, 10n));
  await source.flush(family);
  await source.compact(family);
  for (const column of [2, 1]) {
    for (let cell = 0; cell < 16; cell++) await merge(source, family, cell, recordOf(column, 20n));
    await source.flush(family);
  }
  return family;
}

const expected = Buffer.from(mergeRecords([recordOf(1, 10n), recordOf(2, 20n), recordOf(1, 20n)]));

/** As they have to be given to `ingest`. */
function oldestFirst(files: readonly LiveFile[]): LiveFile[] {
  return [...files].sort((a, b) => b.level - a.level || a.largestSequence - b.largestSequence);
}

function pathsOf(files: readonly LiveFile[]): string[] {
  return files.map(({ directory, name }) => join(directory, name));
}

async function cellsOf(store: KvStore, family: FamilyId): Promise<number[]> {
  const out = Buffer.alloc(1 << 16);
  const iterator = store.iterator(family, null, null);
  const count = await iterator.nextAsync(out, 100);
  iterator.close();
  return unpackEntries(out, count).map(([key]) => key[0] >> 4);
}

let exports = 0;
async function exported(
  family: FamilyId,
): Promise<ExportedFamily & { readonly directory: string }> {
  const directory = join(scratch, `exported-${++exports}`);
  const made = await source.exportFamily(family, directory);
  const files = made.files.map((file) => ({ ...file, directory }));
  return { ...made, files, directory };
}

test('every file has the checksum of its bytes', async () => {
  const { files } = await exported(await overlapping());
  assert.ok(files.length >= 18, `${files.length} files`);
  for (const [i, path] of pathsOf(files).entries()) {
    assert.match(files[i].checksum, /^[0-9a-f]{8}$/);
    assert.equal(await fileChecksum(path), files[i].checksum);
  }
  const flipped = join(scratch, 'flipped');
  const bytes = readFileSync(pathsOf(files)[0]);
  bytes[bytes.length >> 1] ^= 4;
  writeFileSync(flipped, bytes);
  assert.notEqual(await fileChecksum(flipped), files[0].checksum);
  await assert.rejects(
    fileChecksum(join(scratch, 'none')),
    (error) => error instanceof KvError && error.code === 'IO',
  );
  // Castagnoli's polynomial: the check value of every catalogue of CRCs.
  writeFileSync(flipped, '123456789');
  assert.equal(await fileChecksum(flipped), 'e3069283');
});

test('files that overlap go into an empty range as they are, and later writes on top', async () => {
  const { files } = await exported(await overlapping());
  const family = await newFamily(target);
  const ordered = oldestFirst(files);
  await target.ingest(family, pathsOf(ordered), {
    databaseMade: true,
    link: true,
    checksums: ordered.map(({ checksum }) => checksum),
  });
  for (let cell = 0; cell < 16; cell++) {
    assert.deepEqual(await get(target, family, keyOf(cell)), expected, `cell ${cell}`);
  }
  const arrived = target.liveFiles().filter((file) => file.family === `files-${families}`);
  assert.deepEqual(
    arrived.map(({ checksum }) => checksum).sort(),
    files.map(({ checksum }) => checksum).sort(),
  );
  const later = recordOf(1, 30n);
  await merge(target, family, 3, later);
  const both = Buffer.from(mergeRecords([expected, later]));
  assert.deepEqual(await get(target, family, keyOf(3)), both);
  await target.flush(family);
  await target.compact(family);
  assert.deepEqual(await get(target, family, keyOf(3)), both);
  assert.deepEqual(await get(target, family, keyOf(4)), expected);
});

test('not where there is something already, in memory or on disk; beside it they may', async () => {
  const { files } = await exported(await overlapping());
  const inCell = (cell: number) =>
    files.filter(
      ({ smallestKey, largestKey }) => smallestKey[0] >> 4 === cell && largestKey[0] >> 4 === cell,
    );
  const family = await newFamily(target);
  await merge(target, family, 5, recordOf(9, 1n));
  for (const place of ['memory', 'disk']) {
    if (place === 'disk') await target.flush(family);
    await assert.rejects(
      target.ingest(family, pathsOf(inCell(5)), {
        databaseMade: true,
        link: true,
      }),
      KvError,
      place,
    );
  }
  await target.ingest(family, pathsOf(inCell(6)), {
    databaseMade: true,
    link: true,
  });
  assert.deepEqual(await get(target, family, keyOf(6)), Buffer.from(recordOf(1, 10n)));
  assert.deepEqual(await get(target, family, keyOf(5)), Buffer.from(recordOf(9, 1n)));
});

test('a slice of some files, by a family of its own, is merged with what is there', async () => {
  const from = await exported(await overlapping());
  const wide = from.files.filter(({ level }) => level === 0);
  assert.equal(wide.length, 2);
  const staged = await source.importFamily('staged', familyOptions(), from.directory, from, {
    names: wide.map(({ name }) => name),
    move: true,
  });
  const family = await newFamily(target);
  await merge(target, family, 2, recordOf(3, 1n));
  const path = join(scratch, 'slice.sst');
  const writer = target.sstWriter(family, path);
  const iterator = source.iterator(staged, keyOf(2), keyOf(4));
  const out = Buffer.alloc(4096);
  const count = await iterator.nextAsync(out, 100);
  assert.equal(count, 2);
  let length = 0;
  for (let i = 0; i < count; i++)
    length += 8 + out.readUInt32LE(length) + out.readUInt32LE(length + 4);
  await writer.put(out, length);
  iterator.close();
  await writer.finish();
  await target.ingest(family, [path], { move: true });
  const slice = mergeRecords([recordOf(2, 20n), recordOf(1, 20n)]);
  assert.deepEqual(await get(target, family, keyOf(3)), Buffer.from(slice));
  assert.deepEqual(
    await get(target, family, keyOf(2)),
    Buffer.from(mergeRecords([slice, recordOf(3, 1n)])),
  );
  await source.dropFamily('staged');
});

test('a range that was cleared takes files again', async () => {
  const { files } = await exported(await overlapping());
  const family = await newFamily(target);
  const ordered = oldestFirst(files.filter(({ level }) => level > 0));
  const all = { databaseMade: true, link: true };
  await target.ingest(family, pathsOf(ordered), all);
  await merge(target, family, 7, recordOf(5, 5n));
  await target.clearRange(family, keyOf(6), keyOf(9));
  const left = await cellsOf(target, family);
  assert.deepEqual(left, [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15]);
  const again = ordered.filter(
    ({ smallestKey }) => smallestKey[0] >> 4 >= 6 && smallestKey[0] >> 4 < 9,
  );
  assert.equal(again.length, 3);
  await target.ingest(family, pathsOf(again), all);
  assert.deepEqual(await get(target, family, keyOf(7)), Buffer.from(recordOf(1, 10n)));
  assert.equal((await cellsOf(target, family)).length, 16);
});
