/** Sorted files outside of a store: what `KvStore` exports, writes and ingests on a virtual disk. */
import { KvError, type LiveFile, type SstWriter } from '../storage/kv.ts';
import { bytesOf, tableOf } from './file-bytes.ts';
import type { MemoryEngine } from './memory-kv.ts';
import { keyText, lowerBound, MemoryTable, type TableView } from './memory-table.ts';
import type { VirtualDisk } from './virtual-disk.ts';

/** A file made here, or one that has arrived. @throws KvError IO, CORRUPTION */
export function openFile({ files, blobs }: VirtualDisk, path: string): MemoryTable {
  const file = files.get(path);
  if (file !== undefined) return file;
  const bytes = blobs.get(path);
  if (bytes === undefined) throw new KvError('IO', `no file ${path}`);
  return tableOf(bytes);
}

export function removeFile({ files, blobs }: VirtualDisk, path: string): void {
  files.delete(path);
  blobs.delete(path);
}

export function describeFile(name: string, directory: string, table: MemoryTable): LiveFile {
  const { keys } = table.view();
  return {
    family: '',
    name,
    directory,
    level: 6,
    bytes: bytesOf(table).length,
    entries: keys.length,
    deletions: 0,
    smallestKey: Buffer.from(keys[0] ?? '', 'latin1'),
    largestKey: Buffer.from(keys.at(-1) ?? '', 'latin1'),
    smallestSequence: 0,
    largestSequence: 0,
    checksum: '',
  };
}

/** Files of a store go only where there is nothing. @throws KvError BAD_ARGUMENT */
export function refuseOverlap(table: MemoryTable, { keys }: TableView): void {
  const own = table.view().keys;
  const next = own[lowerBound(own, keys[0] ?? '')];
  if (keys.length > 0 && next !== undefined && next <= (keys.at(-1) ?? '')) {
    throw new KvError('BAD_ARGUMENT', 'a file of a store, where there is something already');
  }
}

export class MemorySstWriter implements SstWriter {
  private readonly engine: MemoryEngine;
  private readonly path: string;
  private readonly table = new MemoryTable();
  private bytes = 0;

  constructor(engine: MemoryEngine, path: string) {
    this.engine = engine;
    this.path = path;
  }

  put(packed: Uint8Array, length: number): Promise<void> {
    const entries = Buffer.from(packed.subarray(0, length));
    for (let at = 0; at < length; ) {
      const keyEnd = at + 8 + entries.readUInt32LE(at);
      const end = keyEnd + entries.readUInt32LE(at + 4);
      this.table.set(keyText(entries.subarray(at + 8, keyEnd)), entries.subarray(keyEnd, end));
      at = end;
    }
    this.bytes += length;
    return Promise.resolve();
  }

  finish(): Promise<number> {
    const { disk } = this.engine;
    return this.engine.later(disk.faults.syncMillis, () => {
      const { writeFailure } = disk.faults;
      if (writeFailure !== null) throw new KvError(writeFailure, 'the disk fails');
      disk.files.set(this.path, this.table);
      return this.bytes;
    });
  }

  abort(): void {
    this.bytes = 0;
  }
}
