/** Opens the node's shards, and lays the data out anew when their number has changed. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../config/settings.ts';
import { familyName, type TableDef } from '../schema/schema.ts';
import { familyOptions } from '../storage/families.ts';
import { tokenPrefix } from '../storage/keys.ts';
import {
  type KvEngine,
  KvError,
  type KvOpenOptions,
  type KvProcessOptions,
  type KvStore,
  TOO_SMALL,
} from '../storage/kv.ts';
import { DataDirectoryError, type Metadata } from './metadata-file.ts';

const RESHARD_BUFFER_BYTES = 1 << 20;

export function processOptions(settings: Settings): KvProcessOptions {
  return {
    cacheBytes: settings.cacheBytes,
    memtableBytes: settings.memtableBytes,
    backgroundBytesPerSecond: settings.compactionBytesPerSecond,
    backgroundThreads: settings.concurrentCompactors,
    readThreads: settings.concurrentReads,
  };
}

export function openOptions(settings: Settings, tables: readonly TableDef[]): KvOpenOptions {
  return {
    durability: settings.commitlogSync,
    syncPeriodMs: settings.commitlogSyncPeriodMs,
    queueBytesMax: 32 << 20,
    families: new Map(tables.map((table) => [familyName(table), familyOptions(table)])),
  };
}

export function shardDirectory(dataDirectory: string, layout: number, shard: number): string {
  return join(dataDirectory, `shards.${layout}`, String(shard));
}

/** @throws DataDirectoryError if another process has them, or a file is damaged */
export async function openShards(
  engine: KvEngine,
  settings: Settings,
  metadata: Pick<Metadata, 'shards' | 'layout'>,
  tables: readonly TableDef[],
): Promise<KvStore[]> {
  const options = openOptions(settings, tables);
  const stores: KvStore[] = [];
  for (let shard = 0; shard < metadata.shards; shard++) {
    const directory = shardDirectory(settings.dataDirectory, metadata.layout, shard);
    await mkdir(directory, { recursive: true });
    try {
      stores.push(await engine.open(directory, options));
    } catch (error) {
      for (const store of stores) await store.close();
      if (error instanceof KvError && error.code === 'LOCKED') {
        throw new DataDirectoryError(
          'LOCKED',
          `the data directory ${settings.dataDirectory} is in use by another process: stop it, or choose another with --data-directory`,
          { cause: error },
        );
      }
      if (error instanceof KvError && error.code === 'CORRUPTION') {
        throw new DataDirectoryError(
          'DAMAGED',
          `shard ${shard} of ${settings.dataDirectory} cannot be opened: ${error.message}. Restore it from a snapshot or another replica`,
          { cause: error },
        );
      }
      throw error;
    }
  }
  return stores;
}

/**
 * Copies all records from `metadata.shards` shards to `settings.shards`. The old ones stay until the caller has saved
 * the new layout, so a crash in the middle starts again from them.
 * @param onTable called before each table, for progress
 * @returns the new layout
 */
export async function reshard(
  engine: KvEngine,
  settings: Settings,
  metadata: Metadata,
  tables: readonly TableDef[],
  onTable: (table: TableDef, index: number) => void,
): Promise<Pick<Metadata, 'shards' | 'layout'>> {
  const next = { shards: settings.shards, layout: metadata.layout + 1 };
  await rm(join(settings.dataDirectory, `shards.${next.layout}`), { recursive: true, force: true });
  const from = await openShards(engine, settings, metadata, tables);
  const to = await openShards(engine, settings, next, tables);
  for (const [index, table] of tables.entries()) {
    onTable(table, index);
    await copyTable(familyName(table), from, to);
  }
  for (const store of [...from, ...to]) await store.close();
  return next;
}

export async function removeLayout(dataDirectory: string, layout: number): Promise<void> {
  await rm(join(dataDirectory, `shards.${layout}`), { recursive: true, force: true });
}

/** Old shards come in token order, so each new shard's file is written in key order, too. */
async function copyTable(
  family: string,
  from: readonly KvStore[],
  to: readonly KvStore[],
): Promise<void> {
  const shift = 32 - Math.log2(to.length);
  const shardOf = (key: Uint8Array) =>
    shift === 32 ? 0 : Math.floor(tokenPrefix(key) / 2 ** shift);
  let buffer = Buffer.allocUnsafe(RESHARD_BUFFER_BYTES);
  let target = -1;
  let writer: ReturnType<KvStore['sstWriter']> | null = null;
  let file = '';
  const finish = async () => {
    if (writer === null) return;
    await writer.finish();
    const store = to[target];
    await store.ingest(store.families().get(family) ?? 0, [file], { move: true });
    writer = null;
  };
  for (const store of from) {
    const iterator = store.iterator(store.families().get(family) ?? 0, null, null, {
      noFill: true,
    });
    try {
      for (;;) {
        const count = await iterator.nextAsync(buffer, RESHARD_BUFFER_BYTES);
        if (count === TOO_SMALL) {
          buffer = Buffer.allocUnsafe(buffer.length * 4);
          continue;
        }
        if (count === 0) break;
        let start = 0;
        let at = 0;
        for (let i = 0; i < count; i++) {
          const shard = shardOf(buffer.subarray(at + 8, at + 16));
          if (shard !== target) {
            if (writer !== null && at > start)
              await writer.put(buffer.subarray(start, at), at - start);
            await finish();
            start = at;
            target = shard;
            file = join(to[shard].path, `${family}.reshard.sst`);
            writer = to[shard].sstWriter(to[shard].families().get(family) ?? 0, file);
          }
          at += 8 + buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4);
        }
        if (writer !== null && at > start) await writer.put(buffer.subarray(start, at), at - start);
      }
    } finally {
      iterator.close();
    }
  }
  await finish();
}
