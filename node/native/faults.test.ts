/** Damaged files, a directory in use, a full disk: errors that say what is wrong, never wrong answers. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { KvError, type KvErrorCode, type KvEvent } from '../src/storage/kv.ts';
import {
  drain,
  familyId,
  familyOptions,
  get,
  keysOf,
  openOptions,
  openStore,
  put,
  scratchDirectory,
  testEngine,
  write,
} from './testing.ts';

const scratch = scratchDirectory();

function withCode(code: KvErrorCode, text: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof KvError && error.code === code && text.test(error.message);
}

/** The only file with this ending. */
function fileOf(directory: string, ending: string): string {
  const files = readdirSync(directory).filter((name) => name.endsWith(ending));
  const sized = files.filter((name) => statSync(join(directory, name)).size > 0);
  assert.equal(sized.length, 1, files.join());
  return join(directory, sized[0]);
}

function flipBit(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] ^= 0x10;
  writeFileSync(path, bytes);
}

test('a flipped bit in an SST file is corruption, and the message names the file', async () => {
  const path = join(scratch, 'flipped');
  // What a flush leaves in the cache would still be right.
  const options = 'block_based_table_factory={prepopulate_block_cache=kDisable}';
  const families = new Map([['rows', familyOptions({ options })]]);
  const store = await testEngine().open(path, openOptions({ families }));
  const family = familyId(store, 'rows');
  for (let i = 0; i < 100; i++) await put(store, family, `k${i}`, `value ${i}`);
  await store.flush(family);
  await store.close();
  flipBit(fileOf(path, '.sst'), 200);
  const damaged = await openStore(path);
  const rows = familyId(damaged, 'rows');
  await assert.rejects(get(damaged, rows, 'k50'), withCode('CORRUPTION', /\.sst/));
  await assert.rejects(drain(damaged.iterator(rows, null, null)), withCode('CORRUPTION', /\.sst/));
  await assert.rejects(damaged.verifyChecksums(), withCode('CORRUPTION', /\.sst/));
});

test('a truncated SST file is refused, and the message names it', async () => {
  const path = join(scratch, 'truncated');
  const store = await testEngine().open(path, openOptions());
  const family = familyId(store, 'rows');
  await put(store, family, 'k', 'v');
  await store.flush(family);
  await store.close();
  const file = fileOf(path, '.sst');
  truncateSync(file, statSync(file).size - 100);
  await assert.rejects(testEngine().open(path, openOptions()), withCode('CORRUPTION', /\d+\.sst/));
});

/** A store whose log holds what was put, as kill -9 leaves it: copied while open. */
async function killed(name: string, count: number): Promise<string> {
  const path = join(scratch, `${name}-live`);
  const store = await openStore(path);
  const family = familyId(store, 'rows');
  for (let i = 0; i < count; i++) await put(store, family, `k${i}`, `value ${i}`);
  const copy = join(scratch, name);
  cpSync(path, copy, { recursive: true });
  return copy;
}

test('a log with a torn tail is accepted up to there', async () => {
  const path = await killed('torn', 100);
  const log = fileOf(path, '.log');
  truncateSync(log, statSync(log).size - 7);
  const store = await openStore(path);
  assert.equal((await keysOf(store, familyId(store, 'rows'))).length, 99);
});

test('damage in the middle of a log is refused, and the message names the log', async () => {
  const path = await killed('holed', 100);
  const log = fileOf(path, '.log');
  flipBit(log, Math.floor(statSync(log).size / 2));
  await assert.rejects(testEngine().open(path, openOptions()), withCode('CORRUPTION', /\d+\.log/));
});

test('a damaged manifest is refused', async () => {
  const path = await killed('manifest', 1);
  // There may be an older one that RocksDB has not deleted yet.
  const manifest = readFileSync(join(path, 'CURRENT'), 'utf8').trim();
  flipBit(join(path, manifest), 20);
  await assert.rejects(testEngine().open(path, openOptions()), withCode('CORRUPTION', /MANIFEST/));
});

test('a directory that another process uses is refused', async () => {
  const path = join(scratch, 'locked');
  await openStore(path);
  const script = `
    import { createNativeEngine } from ${JSON.stringify(import.meta.resolve('./index.ts'))};
    import { openOptions, testProcess } from ${JSON.stringify(import.meta.resolve('./testing.ts'))};
    await createNativeEngine(testProcess).open(${JSON.stringify(path)}, openOptions()).then(
      () => console.log('opened'),
      (error) => console.log(error.name, error.code, error.message),
    );`;
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '--eval',
    script,
  ]);
  assert.match(stdout, /KvError LOCKED .*locked/);
});

test('what is no directory is refused', async () => {
  const path = join(scratch, 'file');
  writeFileSync(path, '');
  await assert.rejects(testEngine().open(path, openOptions()), withCode('IO', /./));
});

/** A small file system of our own; null where one may not be mounted. */
function smallDisk(name: string): string | null {
  const path = join(scratch, name);
  mkdirSync(path);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', path], { stdio: 'ignore' });
  } catch {
    return null;
  }
  after(() => void execFileSync('umount', ['-l', path]));
  return path;
}

test('a full disk fails writes with NO_SPACE, never the loop, and passes', async (t) => {
  const disk = smallDisk('small');
  if (disk === null) return t.diagnostic('needs the right to mount a tmpfs');
  const families = new Map([['rows', familyOptions({ options: 'compression=kNoCompression' })]]);
  const store = await openStore(join(disk, 'db'), openOptions({ durability: 'group', families }));
  const family = familyId(store, 'rows');
  const events: KvEvent[] = [];
  store.onEvent((event) => events.push(event));
  const ballast = join(disk, 'ballast');
  writeFileSync(ballast, Buffer.alloc(20 << 20));
  const value = Buffer.alloc(100_000, 'x');
  let stored = 0;
  await assert.rejects(
    async () => {
      for (; ; stored++) {
        const key = Buffer.from(`k${stored}`);
        await write(store, (batch) => batch.put(family, key, key.length, value, value.length));
      }
    },
    withCode('NO_SPACE', /./),
  );
  assert.ok(events.some((event) => event.kind === 'error' && event.code === 'NO_SPACE'));
  assert.equal((await keysOf(store, family)).length, stored);
  truncateSync(ballast, 0);
  for (;;) {
    try {
      await put(store, family, 'again', 'v');
      break;
    } catch (error) {
      assert.ok(error instanceof KvError);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  assert.deepEqual(await get(store, family, 'again'), Buffer.from('v'));
  assert.equal((await keysOf(store, family)).length, stored + 1);
});

test('a live store can be read while it is written; its log grows', async () => {
  const path = join(scratch, 'log');
  const store = await openStore(path, openOptions({ durability: 'group' }));
  const family = familyId(store, 'rows');
  await put(store, family, 'acknowledged', 'means in the log');
  const log = openSync(fileOf(path, '.log'), 'r');
  const bytes = Buffer.alloc(1000);
  const count = readSync(log, bytes);
  assert.ok(bytes.subarray(0, count).includes('acknowledged'));
});
