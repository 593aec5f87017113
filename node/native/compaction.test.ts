/** The compaction filter's rules (storage-format.md, 5) and the cuts at the token grid, through real compactions. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type FamilyId, type FamilyPolicy, KvError } from '../src/storage/kv.ts';
import { type Cell, decodeRecord, encodeRecord, type RecordState } from '../src/storage/record.ts';
import { familyOptions, get, keysOf, openStore, put, scratchDirectory, write } from './testing.ts';

const NOW = Math.floor(Date.now() / 1000);
const DAY = 86_400;
const GRACE = 10 * DAY;
const OLD = NOW - GRACE - 100;
const RECENT = NOW - 100;

const store = await openStore(join(scratchDirectory(), 'db'));
let families = 0;
const POLICY: FamilyPolicy = {
  ...{ clustering: true, fixedPartitionKeyBytes: 0, gcGraceSeconds: GRACE },
  ...{ rowColumns: null, columnsKnown: 0 },
};

async function newFamily(policy: Partial<FamilyPolicy>, gridBits = 0): Promise<FamilyId> {
  return store.createFamily(
    `f${families++}`,
    familyOptions({
      policy: { ...POLICY, ...policy },
      gridBits,
    }),
  );
}

const token = Buffer.from('\x80\0\0\0\0\0\0\x01', 'latin1');

/** A key in the stuffed form; the partition record's without clustering. */
function key(partition: string, clustering?: string): Buffer {
  const row = clustering === undefined ? '' : `\x40${clustering}\0\0`;
  return Buffer.concat([token, Buffer.from(`${partition}\0\0${row}`, 'latin1')]);
}

function state(changed: Partial<RecordState>): RecordState {
  return { liveness: null, deletion: null, ranges: [], cells: [], ...changed };
}

function cell(changed: Partial<Cell>): Cell {
  return {
    column: 1,
    kind: 'live',
    timestamp: 5n,
    ttl: 0,
    localSeconds: 0,
    path: null,
    value: Buffer.from('v'),
    ...changed,
  };
}

const row = (timestamp: bigint) =>
  state({ liveness: { timestamp, ttl: 0, expiry: 0 }, cells: [cell({ timestamp })] });
const tombstone = (localSeconds: number, column = 1) =>
  cell({ column, kind: 'tombstone', localSeconds, value: null });

async function merge(family: FamilyId, at: Buffer, record: RecordState): Promise<void> {
  const bytes = encodeRecord(record);
  await write(store, (batch) => batch.merge(family, at, at.length, bytes, bytes.length));
}

async function compact(family: FamilyId): Promise<void> {
  await store.flush(family);
  await store.compact(family);
}

/** What is stored under a key now; null: nothing. */
async function stored(family: FamilyId, at: Buffer): Promise<RecordState | null> {
  const value = await get(store, family, at);
  return value === null ? null : decodeRecord(value);
}

/** Empty records may stay until the next compaction. */
async function isGone(family: FamilyId, at: Buffer): Promise<boolean> {
  const found = await stored(family, at);
  return found === null || (found.cells.length === 0 && !found.liveness && !found.deletion);
}

test('rule 1: what has expired becomes a tombstone, or goes after the grace', async () => {
  const family = await newFamily({});
  const expiring = (ttl: number, expiry: number) =>
    cell({ kind: 'expiring', ttl, localSeconds: expiry });
  await merge(family, key('p', 'alive'), state({ cells: [expiring(DAY, NOW + DAY)] }));
  await merge(family, key('p', 'fresh'), state({ cells: [expiring(50, NOW - 50)] }));
  await merge(family, key('p', 'old'), state({ cells: [expiring(50, OLD)] }));
  const marker = { timestamp: 5n, ttl: 50, expiry: NOW - 10 };
  await merge(family, key('p', 'marker'), state({ liveness: marker, cells: [cell({})] }));
  const oldMarker = { timestamp: 5n, ttl: 50, expiry: OLD };
  await merge(family, key('p', 'old-marker'), state({ liveness: oldMarker, cells: [cell({})] }));
  await compact(family);
  assert.deepEqual((await stored(family, key('p', 'alive')))?.cells[0].kind, 'expiring');
  const fresh = (await stored(family, key('p', 'fresh')))?.cells[0];
  assert.equal(fresh?.kind, 'tombstone');
  assert.equal(fresh?.localSeconds, NOW - 100, 'as old as the write');
  assert.ok(await isGone(family, key('p', 'old')));
  assert.deepEqual((await stored(family, key('p', 'marker')))?.liveness, marker);
  assert.equal((await stored(family, key('p', 'old-marker')))?.liveness, null);
  assert.equal((await stored(family, key('p', 'old-marker')))?.cells.length, 1);
});

test('rule 2: what a partition tombstone or range covers goes', async () => {
  const family = await newFamily({});
  for (const name of ['a', 'b', 'c', 'd']) {
    await merge(family, key('p', name), row(5n));
    await merge(family, key('q', name), row(5n));
  }
  await merge(family, key('p', 'd'), row(20n));
  await store.flush(family);
  const range = {
    start: Buffer.from('\x40b\0\0', 'latin1'),
    end: Buffer.from('\x40c\0\0\xff', 'latin1'),
    timestamp: 10n,
    localSeconds: RECENT,
  };
  await merge(family, key('q'), state({ ranges: [range] }));
  await merge(family, key('p'), state({ deletion: { timestamp: 10n, localSeconds: RECENT } }));
  await compact(family);
  for (const name of ['a', 'b', 'c']) assert.ok(await isGone(family, key('p', name)), name);
  assert.ok(!(await isGone(family, key('p', 'd'))), 'written after the deletion');
  for (const name of ['b', 'c']) assert.ok(await isGone(family, key('q', name)), name);
  for (const name of ['a', 'd']) assert.ok(!(await isGone(family, key('q', name))), name);
  assert.notEqual(await stored(family, key('p')), null, 'the deletion itself is within its grace');
  assert.equal((await stored(family, key('q')))?.ranges.length, 1);
});

test('rule 3: tombstones older than the grace go, younger ones stay', async () => {
  const family = await newFamily({});
  await merge(family, key('p', 'old'), state({ cells: [tombstone(OLD)] }));
  await merge(family, key('p', 'recent'), state({ cells: [tombstone(RECENT)] }));
  await merge(family, key('p', 'both'), state({ cells: [tombstone(OLD), tombstone(RECENT, 2)] }));
  const deleted = (localSeconds: number) => state({ deletion: { timestamp: 5n, localSeconds } });
  await merge(family, key('p', 'row-old'), deleted(OLD));
  await merge(family, key('p', 'row-recent'), deleted(RECENT));
  await merge(family, key('old'), deleted(OLD));
  await compact(family);
  await compact(family);
  assert.equal(await stored(family, key('p', 'old')), null);
  assert.equal((await stored(family, key('p', 'recent')))?.cells.length, 1);
  assert.equal((await stored(family, key('p', 'both')))?.cells.length, 1);
  assert.equal(await stored(family, key('p', 'row-old')), null);
  assert.notEqual(await stored(family, key('p', 'row-recent')), null);
  assert.equal(await stored(family, key('old')), null);
});

test('rule 3: a tombstone is kept while older data may lie under it', async () => {
  const family = await newFamily({ clustering: false });
  await merge(family, key('k'), row(3n));
  await compact(family);
  // Only the upper file is flushed, nothing is compacted with what is below.
  await merge(family, key('k'), state({ deletion: { timestamp: 5n, localSeconds: OLD } }));
  await store.flush(family);
  assert.ok(await isGoneByDeletion(family, key('k')));
  await compact(family);
  assert.ok(await isGone(family, key('k')));
});

async function isGoneByDeletion(family: FamilyId, at: Buffer): Promise<boolean> {
  const found = await stored(family, at);
  return found !== null && found.deletion !== null && found.cells.length === 0;
}

/**
 * A file with the rows of the partition in another level, then a compaction of the partition's tombstone alone.
 * `disable_auto_compactions` keeps the rows where they are; the range of `compact` chooses the files.
 */
test('rule 3: a partition tombstone stays while a file elsewhere holds its rows', async () => {
  const quiet = familyOptions({
    policy: POLICY,
    gridBits: 0,
    options:
      'disable_auto_compactions=true;target_file_size_base=4096;compression=kNoCompression;block_based_table_factory={block_size=1024}',
  });
  const family = await store.createFamily('elsewhere', quiet);
  const filler = (i: number) => `r${String(i).padStart(4, '0')}`;
  const big = state({ cells: [cell({ value: Buffer.alloc(200, 'x') })] });
  for (let i = 0; i < 100; i++) await merge(family, key('p', filler(i)), big);
  await compact(family);
  const files = store.liveFiles().filter((file) => file.family === 'elsewhere');
  assert.ok(files.length > 3, 'the partition spans several files');
  await merge(family, key('p'), state({ deletion: { timestamp: 10n, localSeconds: OLD } }));
  await store.flush(family);
  // Only the tombstone and the first rows take part.
  await store.compact(family, key('p'), key('p', filler(1)));
  assert.notEqual((await stored(family, key('p')))?.deletion ?? null, null);
  assert.ok(!(await isGone(family, key('p', filler(99)))), 'covered, but not yet dropped');
  await compact(family);
  for (let i = 0; i < 100; i++) assert.ok(await isGone(family, key('p', filler(i))));
  await compact(family);
  assert.equal(await stored(family, key('p')), null);
  assert.deepEqual(await keysOf(store, family), []);
});

test('a covered row under a plain value does not come back when its tombstone is purged', async () => {
  const family = await newFamily({});
  await merge(family, key('p', 'r'), row(3n));
  await compact(family); // now a plain value
  await merge(family, key('p', 'r'), state({ cells: [cell({ column: 2, timestamp: 4n })] }));
  await merge(family, key('p'), state({ deletion: { timestamp: 10n, localSeconds: OLD } }));
  await compact(family); // operand and plain value meet; the tombstone is old enough to go
  assert.equal((await stored(family, key('p')))?.deletion ?? null, null);
  assert.ok(await isGone(family, key('p', 'r')));
});

test('while a snapshot lives, nothing goes on account of another key', async () => {
  const family = await newFamily({});
  await merge(family, key('p', 'r'), row(3n));
  const snapshot = store.snapshot();
  await merge(family, key('p', 'r'), state({ cells: [cell({ column: 2, timestamp: 4n })] }));
  await merge(family, key('p'), state({ deletion: { timestamp: 10n, localSeconds: OLD } }));
  await compact(family);
  assert.notEqual((await stored(family, key('p')))?.deletion ?? null, null);
  snapshot.release();
  await compact(family);
  await compact(family);
  assert.equal(await stored(family, key('p')), null);
  assert.ok(await isGone(family, key('p', 'r')));
});

test('a value that replaces older ones keeps its tombstones while there is an older file', async () => {
  const policy = { clustering: false, gcGraceSeconds: GRACE, rowColumns: [1, 2], columnsKnown: 3 };
  const made = await newFamily(policy);
  const at = key('k');
  const older = state({
    liveness: { timestamp: 5n, ttl: 0, expiry: 0 },
    cells: [cell({}), cell({ column: 2 })],
  });
  await merge(made, at, older);
  const directory = join(scratchDirectory(), 'older');
  const { files } = await store.exportFamily(made, directory);
  const name = `f${families++}`;
  const family = await store.createFamily(name, {
    ...{ policy: { ...POLICY, ...policy }, gridBits: 0 },
    options: 'level_compaction_dynamic_level_bytes=false;level0_file_num_compaction_trigger=2',
  });
  // Into the last level.
  const paths = files.map((file) => join(directory, file.name));
  await store.ingest(family, paths, { databaseMade: true, link: true });
  const dead = (timestamp: bigint) =>
    state({
      liveness: { timestamp, ttl: 0, expiry: 0 },
      cells: [cell({ timestamp }), { ...tombstone(OLD, 2), timestamp }],
    });
  for (const timestamp of [6n, 7n]) {
    // Of two keys, as a file of one key only is moved as it is.
    for (const one of [at, key('l')]) await merge(family, one, dead(timestamp));
    await store.flush(family);
  }
  const upper = () =>
    store.liveFiles().filter((file) => file.family === name && file.level > 0 && file.level < 6);
  for (let i = 0; i < 1000 && upper().length === 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const [file] = upper();
  const alone = await newFamily(policy);
  await store.ingest(alone, [join(file.directory, file.name)], { databaseMade: true, link: true });
  assert.deepEqual(await stored(alone, at), dead(7n));
  await compact(family);
  assert.deepEqual(
    (await stored(family, at))?.cells.map(({ column }) => column),
    [1],
    'where nothing older is left they go',
  );
});

test('a changed policy counts from the next compaction on; families nobody described are left', async () => {
  const family = await newFamily({ clustering: false });
  await merge(family, key('k'), state({ cells: [tombstone(RECENT)] }));
  await compact(family);
  assert.notEqual(await stored(family, key('k')), null);
  store.setPolicy(family, {
    clustering: false,
    fixedPartitionKeyBytes: 0,
    gcGraceSeconds: 10,
    rowColumns: null,
    columnsKnown: 0,
  });
  await compact(family);
  assert.equal(await stored(family, key('k')), null);

  await merge(0, key('k'), state({ cells: [tombstone(OLD)] }));
  await put(store, 0, 'no record', 'at all');
  await compact(0);
  assert.notEqual(await stored(0, key('k')), null);
  assert.deepEqual(await get(store, 0, 'no record'), Buffer.from('at all'));
});

test('values and keys that are not ours survive a compaction', async () => {
  const family = await newFamily({});
  await put(store, family, 'short', 'x');
  await put(store, family, 'a key without an end of its partition', 'x');
  const at = key('p', 'r');
  await write(store, (batch) => batch.put(family, at, at.length, Buffer.from('junk'), 4));
  await compact(family);
  assert.equal((await keysOf(store, family)).length, 3);
});

test('files are cut where the top bits of the token change', async () => {
  const family = await newFamily({ clustering: false, fixedPartitionKeyBytes: 8 }, 4);
  const bytes = encodeRecord(row(1n));
  await write(store, (batch) => {
    for (let i = 0; i < 256; i++) {
      const at = Buffer.alloc(16, 7);
      at[0] = i;
      batch.merge(family, at, at.length, bytes, bytes.length);
    }
  });
  await compact(family);
  const name = [...store.families()].find(([, id]) => id === family)?.[0];
  const files = store.liveFiles().filter((file) => file.family === name);
  assert.equal(files.length, 16);
  for (const file of files) {
    assert.equal(file.smallestKey[0] >> 4, file.largestKey[0] >> 4);
    assert.equal(file.entries, 16);
  }
  // A table that has grown.
  store.setGridBits(family, 6);
  await compact(family);
  assert.equal(store.liveFiles().filter((file) => file.family === name).length, 64);
  assert.throws(() => store.setGridBits(family, 65), KvError);
});
