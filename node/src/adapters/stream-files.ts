/** `StreamFiles` on the disk. */
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { StreamFiles } from '../streaming/ports.ts';

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** @param checksum `fileChecksum` of node/native */
export function createStreamFiles(checksum: StreamFiles['checksum']): StreamFiles {
  return {
    make: async (directory) => {
      await mkdir(directory, { recursive: true });
    },
    list: async (directory) => (await orNull(readdir(directory))) ?? [],
    remove: (path) => rm(path, { recursive: true, force: true }),
    size: async (path) => (await orNull(stat(path)))?.size ?? null,
    checksum,
    sync,
    read: (path) => orNull(readFile(path, 'utf8')),
    write: async (path, text) => {
      const next = `${path}.next`;
      const handle = await open(next, 'w');
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(next, path);
      await sync(dirname(path));
    },
    freeBytes: async (directory) => {
      const { bavail, bsize } = await statfs(directory);
      return bavail * bsize;
    },
  };
}
