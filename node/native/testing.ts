/** What the tests of the binding share: stores in scratch directories, and promises over tickets. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import {
  type FamilyId,
  type FamilyOptions,
  KV_STATUS,
  type KvEngine,
  KvError,
  type KvIterator,
  type KvOpenOptions,
  type KvStore,
} from '../src/storage/kv.ts';
import { WriteBatchBuilder } from '../src/storage/write-batch.ts';
import { createNativeEngine } from './index.ts';

export const testProcess = {
  cacheBytes: 16 << 20,
  memtableBytes: 16 << 20,
  backgroundBytesPerSecond: 0,
  backgroundThreads: 2,
  readThreads: 2,
} as const;

/** A directory that goes with the test file. */
export function scratchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ilion-native-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function familyOptions(changed: Partial<FamilyOptions> = {}): FamilyOptions {
  const policy = {
    clustering: false,
    fixedPartitionKeyBytes: 8,
    gcGraceSeconds: 3600,
    rowColumns: null,
    columnsKnown: 0,
  };
  return { policy, gridBits: 0, ...changed };
}

export function openOptions(changed: Partial<KvOpenOptions> = {}): KvOpenOptions {
  return {
    durability: 'periodic',
    syncPeriodMs: 1000,
    queueBytesMax: 1 << 20,
    families: new Map([['rows', familyOptions()]]),
    ...changed,
  };
}

let nextTicket = 1;
const waiting = new Map<number, (status: number) => void>();
let engine: KvEngine | null = null;

/** The engine of this process, whose completions `write` waits for. */
export function testEngine(): KvEngine {
  if (engine === null) {
    engine = createNativeEngine(testProcess);
    engine.onComplete((tickets, statuses, count) => {
      for (let i = 0; i < count; i++) {
        const resolve = waiting.get(tickets[i]);
        waiting.delete(tickets[i]);
        resolve?.(statuses[i]);
      }
    });
  }
  return engine;
}

/** Opens a store, which is closed after the tests of the file. */
export async function openStore(
  path: string,
  options: KvOpenOptions = openOptions(),
): Promise<KvStore> {
  const store = await testEngine().open(path, options);
  after(() => store.close());
  return store;
}

export function familyId(store: KvStore, name: string): FamilyId {
  const id = store.families().get(name);
  if (id === undefined) throw new KvError('BAD_ARGUMENT', `no family ${name}`);
  return id;
}

/** Submits what `fill` puts into a batch. @throws KvError with the ticket's status */
export async function write(
  store: KvStore,
  fill: (batch: WriteBatchBuilder) => void,
): Promise<void> {
  const batch = new WriteBatchBuilder();
  fill(batch);
  const ticket = nextTicket++;
  const status = await new Promise<number>((resolve, reject) => {
    waiting.set(ticket, resolve);
    if (!store.submit(batch.bytes, batch.length, ticket)) {
      waiting.delete(ticket);
      reject(new KvError('STALLED', 'the queue is full'));
    }
  });
  const name = KV_STATUS[status];
  if (name !== 'OK') throw new KvError(name, `ticket ended with ${name}`);
}

export async function put(store: KvStore, family: FamilyId, key: string, value: string) {
  const k = Buffer.from(key);
  const v = Buffer.from(value);
  await write(store, (batch) => batch.put(family, k, k.length, v, v.length));
}

/** Requests as `multiGet` wants them. */
export function packRequests(requests: readonly [FamilyId, Uint8Array | string][]): Buffer {
  return Buffer.concat(
    requests.map(([family, key]) => {
      const bytes = Buffer.from(key);
      const head = Buffer.alloc(8);
      head.writeUInt32LE(family, 0);
      head.writeUInt32LE(bytes.length, 4);
      return Buffer.concat([head, bytes]);
    }),
  );
}

/** The answers of a multiGet: values, or the negative codes. */
export function unpackAnswers(count: number, bytes: Uint8Array): (Buffer | number)[] {
  const out = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 4 * count;
  return Array.from({ length: count }, (_, i) => {
    const length = out.readInt32LE(4 * i);
    if (length < 0) return length;
    at += length;
    return Buffer.from(out.subarray(at - length, at));
  });
}

/** A value through the disk, or null. */
export async function get(
  store: KvStore,
  family: FamilyId,
  key: Uint8Array | string,
): Promise<Buffer | null> {
  const answer = await store.multiGetAsync(packRequests([[family, key]]), 1);
  const [value] = unpackAnswers(1, answer);
  return typeof value === 'number' ? null : value;
}

export function packEntries(
  entries: readonly (readonly [Uint8Array | string, Uint8Array | string])[],
): Buffer {
  return Buffer.concat(
    entries.map(([key, value]) => {
      const k = Buffer.from(key);
      const v = Buffer.from(value);
      const head = Buffer.alloc(8);
      head.writeUInt32LE(k.length, 0);
      head.writeUInt32LE(v.length, 4);
      return Buffer.concat([head, k, v]);
    }),
  );
}

export function unpackEntries(bytes: Buffer, count: number): [Buffer, Buffer][] {
  let at = 0;
  return Array.from({ length: count }, () => {
    const keyEnd = at + 8 + bytes.readUInt32LE(at);
    const valueEnd = keyEnd + bytes.readUInt32LE(at + 4);
    const entry: [Buffer, Buffer] = [
      Buffer.from(bytes.subarray(at + 8, keyEnd)),
      Buffer.from(bytes.subarray(keyEnd, valueEnd)),
    ];
    at = valueEnd;
    return entry;
  });
}

/** All that an iterator still gives, through threads; closes it. */
export async function drain(iterator: KvIterator): Promise<[string, string][]> {
  const out = Buffer.alloc(1 << 20);
  const all: [string, string][] = [];
  for (;;) {
    const count = await iterator.nextAsync(out, 100);
    if (count <= 0) break;
    for (const [key, value] of unpackEntries(out, count)) {
      all.push([key.toString('latin1'), value.toString('latin1')]);
    }
  }
  iterator.close();
  return all;
}

/** Keys of a family in order, as latin1. */
export async function keysOf(store: KvStore, family: FamilyId): Promise<string[]> {
  return (await drain(store.iterator(family, null, null))).map(([key]) => key);
}
