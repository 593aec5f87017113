/** The simulation's engine: held to the native one, and its disk to what a crash may do. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  drain,
  familyId,
  familyOptions,
  openOptions,
  openStore,
  packRequests,
  scratchDirectory,
  unpackAnswers,
  unpackEntries,
  write,
} from '../../native/testing.ts';
import { KV_STATUS, KvError, type KvStore, NEEDS_DISK } from '../storage/kv.ts';
import { LocalStore } from '../storage/local-store.ts';
import { decodeRecord, encodeRecord } from '../storage/record.ts';
import { WriteBatchBuilder } from '../storage/write-batch.ts';
import { MemoryEngine } from './memory-kv.ts';
import { SeededRandom } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { VirtualDisk } from './virtual-disk.ts';

class World {
  readonly scheduler = new Scheduler();
  readonly disk: VirtualDisk;
  engine: MemoryEngine;
  statuses = new Map<number, string>();

  constructor(seed: number) {
    this.disk = new VirtualDisk(this.scheduler, new SeededRandom(seed));
    this.engine = this.newEngine();
  }

  newEngine(): MemoryEngine {
    this.engine = new MemoryEngine(this.disk);
    this.engine.onComplete((tickets, statuses, count) => {
      for (let i = 0; i < count; i++) this.statuses.set(tickets[i], KV_STATUS[statuses[i]]);
    });
    return this.engine;
  }

  /** What a promise gives, after as much virtual time as it takes. */
  async settled<T>(promise: Promise<T>): Promise<T> {
    let open = true;
    const done = () => {
      open = false;
    };
    promise.then(done, done);
    assert.ok(await this.scheduler.runWhile(() => open, this.scheduler.now + 60_000));
    return promise;
  }

  open(durability: 'group' | 'periodic' = 'group', queueBytesMax = 1 << 20): Promise<KvStore> {
    const families = new Map([['rows', familyOptions()]]);
    const options = { durability, syncPeriodMs: 100, queueBytesMax, families };
    return this.settled(this.engine.open('store', options));
  }
}

const KEYS = ['a', 'ab', 'b', 'ba', 'c', 'd\0', 'e', 'f', '\xff'] as const;
const key = fc.constantFrom(...KEYS);
const record = fc
  .record({
    liveness: fc.option(fc.integer({ min: 1, max: 4 })),
    deletion: fc.option(fc.integer({ min: 1, max: 4 }), { freq: 4 }),
    cell: fc.option(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.uint8Array({ maxLength: 2 }))),
  })
  .map(({ liveness, deletion, cell }) =>
    encodeRecord({
      liveness: liveness === null ? null : { timestamp: BigInt(liveness), ttl: 0, expiry: 0 },
      deletion: deletion === null ? null : { timestamp: BigInt(deletion), localSeconds: 1 },
      ranges: [],
      cells:
        cell === null
          ? []
          : [
              {
                column: 1,
                kind: 'live',
                timestamp: BigInt(cell[0]),
                ttl: 0,
                localSeconds: 0,
                path: null,
                value: cell[1],
              },
            ],
    }),
  );

const operation = fc.oneof(
  fc.record({ kind: fc.constant('merge' as const), key, value: record }),
  fc.record({ kind: fc.constant('put' as const), key, value: record }),
  fc.record({ kind: fc.constant('delete' as const), key }),
  fc.record({ kind: fc.constant('delete-range' as const), key, upper: key }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const scan = fc.record({
  lower: fc.option(key),
  upper: fc.option(key),
  reverse: fc.boolean(),
  seek: fc.option(key),
  bufferBytes: fc.constantFrom(10, 60, 1000),
  maxEntries: fc.constantFrom(1, 2, 100),
});
type ScanOfTest = typeof scan extends fc.Arbitrary<infer T> ? T : never;

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function fill(batch: WriteBatchBuilder, family: number, operations: readonly Operation[]): void {
  for (const operation of operations) {
    const name = latin1(operation.key);
    if (operation.kind === 'delete') batch.delete(family, name, name.length);
    else if (operation.kind === 'delete-range') {
      const upper = latin1(operation.upper);
      if (operation.key >= operation.upper) continue;
      batch.deleteRange(family, name, name.length, upper, upper.length);
    } else {
      const { value } = operation;
      batch[operation.kind](family, name, name.length, value, value.length);
    }
  }
}

/** All that an iterator says: counts and entries, as text. */
async function readAll(
  store: KvStore,
  family: number,
  { lower, upper, reverse, seek, bufferBytes, maxEntries }: ScanOfTest,
  settled: <T>(promise: Promise<T>) => Promise<T>,
): Promise<string[]> {
  const bounds = [lower === null ? null : latin1(lower), upper === null ? null : latin1(upper)];
  const iterator = store.iterator(family, bounds[0], bounds[1], { reverse });
  const out = Buffer.alloc(bufferBytes);
  const said: string[] = [];
  if (seek !== null) iterator.seek(latin1(seek));
  for (let i = 0; i < 20; i++) {
    const count = await settled(iterator.nextAsync(out, maxEntries));
    said.push(String(count));
    if (count <= 0) break;
    for (const [name, value] of unpackEntries(out, count)) {
      said.push(`${name.toString('hex')}=${value.toString('hex')}`);
    }
  }
  iterator.close();
  return said;
}

const scratch = scratchDirectory();
const native = await openStore(join(scratch, 'native'));

test('the same operations have the same outcomes as in RocksDB', async () => {
  let round = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.array(operation, { maxLength: 8 }), scan), {
        maxLength: 8,
      }),
      async (steps) => {
        const name = `family${round++}`;
        const nativeFamily = await native.createFamily(name, familyOptions());
        const world = new World(round);
        const store = await world.open();
        const family = await world.settled(store.createFamily(name, familyOptions()));
        for (const [i, [operations, how]] of steps.entries()) {
          await write(native, (batch) => fill(batch, nativeFamily, operations));
          const batch = new WriteBatchBuilder();
          fill(batch, family, operations);
          assert.equal(store.submit(batch.bytes, batch.length, i), true);
          await world.scheduler.runUntil(world.scheduler.now + 10);
          assert.equal(world.statuses.get(i), 'OK');
          const requests = (id: number) => packRequests(KEYS.map((k) => [id, latin1(k)]));
          assert.deepEqual(
            unpackAnswers(
              KEYS.length,
              await world.settled(store.multiGetAsync(requests(family), KEYS.length)),
            ),
            unpackAnswers(
              KEYS.length,
              await native.multiGetAsync(requests(nativeFamily), KEYS.length),
            ),
          );
          assert.deepEqual(
            await readAll(store, family, how, (promise) => world.settled(promise)),
            await readAll(native, nativeFamily, how, (promise) => promise),
          );
        }
        await native.dropFamily(name);
      },
    ),
    { numRuns: 60, seed: 4 },
  );
});

/** A deletion under a whole row may be there or not (storage-format.md, 6). */
function withoutHidden(answer: Buffer | number): unknown {
  if (typeof answer === 'number') return answer;
  const row = decodeRecord(answer);
  return row.liveness !== null && row.cells.length > 0 ? { ...row, deletion: null } : row;
}

test('rows that replace what is older do so as in RocksDB', async () => {
  const policy = { ...familyOptions().policy, rowColumns: [1], columnsKnown: 2 };
  const options = { ...familyOptions(), policy };
  let round = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(operation, { maxLength: 8 }), { maxLength: 12 }),
      async (steps) => {
        const name = `replacing${round++}`;
        const nativeFamily = await native.createFamily(name, options);
        const world = new World(round);
        const store = await world.open();
        const family = await world.settled(store.createFamily(name, options));
        const requests = (id: number) => packRequests(KEYS.map((k) => [id, latin1(k)]));
        for (const [i, operations] of steps.entries()) {
          await write(native, (batch) => fill(batch, nativeFamily, operations));
          const batch = new WriteBatchBuilder();
          fill(batch, family, operations);
          assert.equal(store.submit(batch.bytes, batch.length, i), true);
          await world.scheduler.runUntil(world.scheduler.now + 10);
          const simulated = await world.settled(store.multiGetAsync(requests(family), KEYS.length));
          const real = await native.multiGetAsync(requests(nativeFamily), KEYS.length);
          assert.deepEqual(
            unpackAnswers(KEYS.length, simulated).map(withoutHidden),
            unpackAnswers(KEYS.length, real).map(withoutHidden),
          );
        }
        await native.dropFamily(name);
      },
    ),
    { numRuns: 200, seed: 4 },
  );
});

test('what is malformed is refused, as by RocksDB', async () => {
  const store = await new World(1).open();
  const rows = familyId(store, 'rows');
  const batch = new WriteBatchBuilder();
  batch.put(rows, latin1('k'), 1, latin1('v'), 1);
  const badBatch = (error: unknown) => error instanceof KvError && error.code === 'BAD_BATCH';
  for (let length = 0; length < batch.length; length++) {
    assert.throws(() => store.submit(batch.bytes, length, 0), badBatch);
  }
  batch.merge(rows, latin1('k'), 1, latin1('no record'), 9);
  assert.throws(() => store.submit(batch.bytes, batch.length, 0), badBatch);
  const unknown = new WriteBatchBuilder();
  unknown.put(99, latin1('k'), 1, latin1('v'), 1);
  assert.throws(() => store.submit(unknown.bytes, unknown.length, 0), badBatch);
  const out = Buffer.alloc(10);
  assert.throws(() => store.multiGet(Buffer.alloc(3), 1, out), KvError);
  assert.throws(() => store.multiGet(packRequests([[99, 'k']]), 1, out), KvError);
});

function putBatch(family: number, name: string): WriteBatchBuilder {
  const batch = new WriteBatchBuilder();
  batch.put(family, latin1(name), name.length, latin1(name), name.length);
  return batch;
}

test('group: what was acknowledged survives a crash, and the rest is a beginning of it', async () => {
  for (let seed = 0; seed < 60; seed++) {
    const world = new World(seed);
    const store = await world.open('group');
    const rows = familyId(store, 'rows');
    for (let i = 0; i < 30; i++) {
      const batch = putBatch(rows, String.fromCharCode(0x41 + i));
      store.submit(batch.bytes, batch.length, i);
      await world.scheduler.runUntil(world.scheduler.now + 0.3);
    }
    const acknowledged = world.statuses.size;
    world.disk.crash('power');
    world.newEngine();
    const again = await world.open('group');
    const found = (await readKeys(world, again, rows)).length;
    assert.ok(found >= acknowledged && found <= 30, `${found} of ${acknowledged}`);
    await world.scheduler.runUntil(world.scheduler.now + 1000);
    assert.equal(world.statuses.size, acknowledged, 'a dead process hears of nothing');
  }
});

async function readKeys(world: World, store: KvStore, family: number): Promise<string[]> {
  const all = await world.settled(drain(store.iterator(family, null, null)));
  return all.map(([name]) => name);
}

test('periodic: what was not synced may be lost, all before a sync may not', async () => {
  const lost = new Set<number>();
  for (let seed = 0; seed < 60; seed++) {
    const world = new World(seed);
    const store = await world.open('periodic');
    const rows = familyId(store, 'rows');
    const writeMany = async (names: readonly string[]) => {
      for (const name of names) {
        const batch = putBatch(rows, name);
        store.submit(batch.bytes, batch.length, name.charCodeAt(0));
        await world.scheduler.runUntil(world.scheduler.now + 0.2);
      }
    };
    await writeMany(['a', 'b', 'c']);
    await world.settled(store.syncWal());
    await writeMany(['d', 'e', 'f']);
    world.disk.crash('power');
    world.newEngine();
    const found = await readKeys(world, await world.open('periodic'), rows);
    assert.deepEqual(found, ['a', 'b', 'c', 'd', 'e', 'f'].slice(0, found.length));
    assert.ok(found.length >= 3);
    lost.add(6 - found.length);
  }
  assert.deepEqual([...lost].sort(), [0, 1, 2, 3]);
});

test('periodic: a process that dies alone loses nothing that was acknowledged', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const world = new World(seed);
    const store = await world.open('periodic');
    const rows = familyId(store, 'rows');
    const batch = putBatch(rows, 'a');
    store.submit(batch.bytes, batch.length, 1);
    await world.scheduler.runUntil(world.scheduler.now + 0.02);
    const acknowledged = world.statuses.has(1);
    world.disk.crash('process');
    world.newEngine();
    const found = await readKeys(world, await world.open('periodic'), rows);
    assert.deepEqual(found, acknowledged ? ['a'] : []);
  }
});

test('a full queue, a failing disk, a slow one, one that lies', async () => {
  const world = new World(1);
  const store = await world.open('group', 100);
  const rows = familyId(store, 'rows');
  const batch = putBatch(rows, 'x'.repeat(30));
  assert.equal(store.submit(batch.bytes, batch.length, 1), true);
  assert.equal(store.submit(batch.bytes, batch.length, 2), false);
  world.disk.faults.writeFailure = 'NO_SPACE';
  await world.scheduler.runUntil(world.scheduler.now + 10);
  assert.equal(world.statuses.get(1), 'NO_SPACE');
  assert.deepEqual(await readKeys(world, store, rows), []);
  world.disk.heal();
  world.disk.faults.syncMillis = 5000;
  store.submit(batch.bytes, batch.length, 3);
  await world.scheduler.runUntil(world.scheduler.now + 10);
  assert.equal(world.statuses.has(3), false);
  await world.scheduler.runUntil(world.scheduler.now + 10_000);
  assert.equal(world.statuses.get(3), 'OK');
  world.disk.faults.readFailure = 'IO';
  await assert.rejects(world.settled(store.multiGetAsync(packRequests([[rows, 'k']]), 1)), KvError);
  let lost = 0;
  for (let seed = 0; seed < 20; seed++) {
    const liar = new World(seed);
    liar.disk.planted.syncLies = true;
    const lying = await liar.open('group');
    lying.submit(batch.bytes, batch.length, 1);
    await liar.scheduler.runUntil(100);
    assert.equal(liar.statuses.get(1), 'OK');
    liar.disk.crash('power');
    liar.newEngine();
    lost += (await readKeys(liar, await liar.open(), rows)).length === 0 ? 1 : 0;
  }
  assert.ok(lost > 0);
});

test('snapshots, iterators that leave memory, checkpoints, sorted files', async () => {
  const world = new World(3);
  const store = await world.open();
  const rows = familyId(store, 'rows');
  const putOne = async (name: string) => {
    const batch = putBatch(rows, name);
    store.submit(batch.bytes, batch.length, 1);
    await world.scheduler.runUntil(world.scheduler.now + 10);
  };
  await putOne('a');
  const snapshot = store.snapshot();
  await putOne('b');
  const old = await world.settled(drain(store.iterator(rows, null, null, { snapshot })));
  assert.deepEqual(old, [['a', 'a']]);
  world.disk.faults.missRate = 1;
  const cold = store.iterator(rows, null, null, { cacheOnly: true });
  const out = Buffer.alloc(100);
  assert.equal(cold.next(out, 5), NEEDS_DISK);
  assert.equal(await world.settled(cold.nextAsync(out, 5)), 2);
  world.disk.faults.missRate = 0;
  assert.equal(store.multiGet(packRequests([[rows, 'a']]), 1, out), 5);
  await world.settled(store.checkpoint('copy'));
  await putOne('c');
  const copy = await world.settled(world.engine.open('copy', openOptions({ families: new Map() })));
  assert.deepEqual(await readKeys(world, copy, rows), ['a', 'b']);
  const writer = store.sstWriter(rows, 'file');
  const liveness = { timestamp: 1n, ttl: 0, expiry: 0 };
  const record = encodeRecord({
    liveness,
    deletion: null,
    ranges: [],
    cells: [],
  });
  const packed = Buffer.concat([Buffer.from([1, 0, 0, 0, record.length, 0, 0, 0, 0x7a]), record]);
  await writer.put(packed, packed.length);
  await world.settled(writer.finish());
  await world.settled(copy.ingest(rows, ['file'], { move: true }));
  assert.deepEqual(await readKeys(world, copy, rows), ['a', 'b', 'z']);
  const exported = await world.settled(copy.exportFamily(rows, 'exported'));
  assert.deepEqual(
    exported.files.map(({ name }) => name),
    ['/97.sst', '/98.sst', '/122.sst'],
  );
  const how = { names: ['/97.sst', '/122.sst'], move: false };
  const options = familyOptions();
  const some = await world.settled(copy.importFamily('some', options, 'exported', exported, how));
  assert.deepEqual(await readKeys(world, copy, some), ['a', 'z']);
  const made = { databaseMade: true };
  await assert.rejects(world.settled(copy.ingest(some, ['exported/97.sst'], made)), KvError);
  await world.settled(copy.ingest(some, ['exported/98.sst'], made));
  await world.settled(copy.clearRange(some, Buffer.from('a'), Buffer.from('b')));
  assert.deepEqual(await readKeys(world, copy, some), ['b', 'z']);
  await copy.close();
  assert.throws(() => copy.families(), KvError);
});

test('LocalStore runs over it', async () => {
  const world = new World(5);
  const store = await world.open();
  const local = new LocalStore(world.engine, [store], {
    scheduleFlush: (flush) => world.scheduler.soon(flush),
    afterAnswers: () => {},
  });
  const handle = {
    table: {} as never,
    keys: { partitionKey: [], clustering: [], fixedPartitionKeyBytes: 8 },
    families: [familyId(store, 'rows')],
  };
  const bytes = encodeRecord({
    liveness: { timestamp: 7n, ttl: 0, expiry: 0 },
    deletion: null,
    ranges: [],
    cells: [],
  });
  const heard: string[] = [];
  const name = Buffer.from('0011223344556677', 'hex');
  for (let i = 0; i < 3; i++) {
    const shard = local.merge(handle, name, name.length, bytes, bytes.length);
    local.addSink(shard, {
      written: (error) => heard.push(error?.message ?? 'written'),
    });
  }
  await world.scheduler.runUntil(100);
  assert.deepEqual(heard, ['written', 'written', 'written']);
  // Some of these are answered from memory, some by a thread.
  for (let i = 0; i < 20; i++) {
    local.get(handle, 0, name, name.length);
    const reader = {
      records: (buffer: Uint8Array, starts: Int32Array, ends: Int32Array, first: number) => {
        const found = Buffer.from(buffer.subarray(starts[first], ends[first]));
        heard.push(found.equals(Buffer.from(bytes)) ? 'read' : found.toString('hex'));
      },
      failed: (error: Error) => heard.push(error.message),
    };
    local.addReader(0, reader, 1);
    await world.scheduler.runUntil(world.scheduler.now + 5);
  }
  assert.deepEqual(new Set(heard.slice(3)), new Set(['read']));
  assert.equal(heard.length, 23);
  const run = local.scan(handle, 0, {
    lower: null,
    upper: null,
    reverse: false,
    expected: 10,
  });
  const count = run.next();
  const entries = typeof count === 'number' ? count : await world.settled(count);
  assert.equal(entries, 1);
});
