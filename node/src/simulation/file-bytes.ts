/** Sorted files of a virtual disk as bytes, such as go over a network: entries, each u32le key length, u32le record length, key, record. */
import { crc32 } from 'node:zlib';
import { KvError } from '../storage/kv.ts';
import { MemoryTable } from './memory-table.ts';

const known = new WeakMap<MemoryTable, Buffer>();

/** @param table that does not change any more @throws KvError CORRUPTION */
export function bytesOf(table: MemoryTable): Buffer {
  let bytes = known.get(table);
  if (bytes === undefined) {
    const { keys, values } = table.view();
    bytes = Buffer.concat(keys.map((key) => entryOf(key, values.get(key))));
    known.set(table, bytes);
  }
  return bytes;
}

function entryOf(key: string, value: unknown): Buffer {
  if (!(value instanceof Uint8Array)) throw new KvError('CORRUPTION', 'a value is no record');
  const entry = Buffer.alloc(8 + key.length + value.length);
  entry.writeUInt32LE(key.length, 0);
  entry.writeUInt32LE(value.length, 4);
  entry.write(key, 8, 'latin1');
  entry.set(value, 8 + key.length);
  return entry;
}

/** @throws KvError CORRUPTION */
export function tableOf(bytes: Buffer): MemoryTable {
  const table = new MemoryTable();
  for (let at = 0; at < bytes.length; ) {
    const keyEnd = at + 8 <= bytes.length ? at + 8 + bytes.readUInt32LE(at) : Number.MAX_VALUE;
    const end = keyEnd + (keyEnd <= bytes.length ? bytes.readUInt32LE(at + 4) : 0);
    if (end > bytes.length) throw new KvError('CORRUPTION', 'a file is cut short, or damaged');
    table.set(bytes.toString('latin1', at + 8, keyEnd), Buffer.from(bytes.subarray(keyEnd, end)));
    at = end;
  }
  return table;
}

/** 8 hex digits. */
export function checksumOf(bytes: Buffer): string {
  return crc32(bytes).toString(16).padStart(8, '0');
}
