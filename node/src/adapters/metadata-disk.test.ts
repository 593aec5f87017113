import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MetadataFiles } from '../cluster/ports.ts';
import type { RaftEntry } from '../cluster/raft-types.ts';
import { createMetadataDisk, MetadataDiskError } from './metadata-disk.ts';

const SNAPSHOT = { index: 7, term: 2, voters: ['a', 'b', 'c'], data: Buffer.from('state') };
const FILES: MetadataFiles = {
  snapshot: SNAPSHOT,
  entries: [entry(8, 2)],
  hardState: { term: 2, votedFor: 'a', commit: 7 },
};

function entry(index: number, term: number, text = `entry ${index} of ${term}`): RaftEntry {
  return { index, term, kind: 'command', data: Buffer.from(text) };
}

async function withDirectory(run: (directory: string, path: string) => Promise<void>) {
  const directory = await mkdtemp(join(tmpdir(), 'ilion-metadata-'));
  try {
    await run(directory, join(directory, 'cluster.log'));
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function load(directory: string): Promise<MetadataFiles | null> {
  const disk = createMetadataDisk(directory);
  try {
    return await disk.load();
  } finally {
    await disk.close();
  }
}

/** A log with a replaced end. */
async function write(directory: string): Promise<MetadataFiles> {
  const disk = createMetadataDisk(directory);
  assert.equal(await disk.load(), null);
  await disk.replace(FILES);
  await disk.append([entry(9, 2), entry(10, 2)], null);
  await disk.append([], { term: 3, votedFor: '', commit: 8 });
  await disk.append([entry(10, 3), entry(11, 3)], { term: 3, votedFor: 'c', commit: 9 });
  await disk.close();
  return {
    snapshot: SNAPSHOT,
    entries: [entry(8, 2), entry(9, 2), entry(10, 3), entry(11, 3)],
    hardState: { term: 3, votedFor: 'c', commit: 9 },
  };
}

test('what was written is there; a later end replaces an earlier one', async () => {
  await withDirectory(async (directory) => {
    const written = await write(directory);
    assert.deepEqual(await load(directory), written);
    const disk = createMetadataDisk(directory);
    await disk.load();
    await disk.append([entry(12, 3)], null);
    const snapshot = { ...SNAPSHOT, index: 11, term: 3, data: Buffer.alloc(100_000, 7) };
    const files = { snapshot, entries: [entry(12, 3)], hardState: written.hardState };
    await disk.replace(files);
    await disk.append([entry(13, 4)], null);
    await disk.close();
    assert.deepEqual(await load(directory), { ...files, entries: [entry(12, 3), entry(13, 4)] });
  });
});

test('a torn end is cut off, wherever it is torn, and the log goes on', async () => {
  await withDirectory(async (directory, path) => {
    await write(directory);
    const bytes = await readFile(path);
    const before = { term: 3, votedFor: '', commit: 8 };
    for (const cut of [1, 5, 30, 70, 90]) {
      await writeFile(path, bytes.subarray(0, bytes.length - cut));
      const disk = createMetadataDisk(directory);
      const files = await disk.load();
      assert.deepEqual(files?.hardState, before);
      assert.deepEqual(files.entries, [entry(8, 2), entry(9, 2), entry(10, 2)]);
      await disk.append([entry(11, 5)], null);
      await disk.close();
      assert.deepEqual((await load(directory))?.entries.at(-1), entry(11, 5));
    }
  });
});

test('a damaged middle is refused by name; so is another format, and a file that is none', async () => {
  await withDirectory(async (directory, path) => {
    await write(directory);
    const bytes = await readFile(path);
    const refused = async (changed: Uint8Array, code: MetadataDiskError['code']) => {
      await writeFile(path, changed);
      await assert.rejects(load(directory), (error) => {
        assert.ok(error instanceof MetadataDiskError);
        assert.equal(error.code, code);
        assert.ok(error.message.includes(path));
        return true;
      });
    };
    for (let at = 0; at < bytes.length - 130; at += 3) {
      const changed = Buffer.from(bytes);
      changed[at] ^= 0x40;
      await refused(changed, at === 4 ? 'FORMAT' : 'DAMAGED');
    }
    const later = Buffer.from(bytes);
    later[4] = 9;
    await refused(later, 'FORMAT');
    await refused(bytes.subarray(0, 20), 'DAMAGED');
    await refused(Buffer.alloc(0), 'DAMAGED');
  });
});

test('a replacement that did not come to its end is not there', async () => {
  await withDirectory(async (directory, path) => {
    const written = await write(directory);
    await writeFile(`${path}.new`, 'half of a fi');
    assert.deepEqual(await load(directory), written);
  });
});

test('a disk that does not work is an error with the name of the file', async () => {
  await withDirectory(async (_directory, path) => {
    await writeFile(path, 'in the way');
    const disk = createMetadataDisk(path);
    await assert.rejects(disk.replace(FILES), (error) => {
      assert.ok(error instanceof MetadataDiskError);
      return error.code === 'IO' && error.message.includes(path);
    });
  });
});
