/**
 * What the binding costs: CPU of the whole process (and of the event loop's thread alone) for one operation.
 *
 *   node node/native/bench.ts [rows]          (default 1,000,000 rows of about 100 B)
 *   BENCH_DB, BENCH_FAMILY                    option strings, to compare settings
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Durability, KvStore } from '../src/storage/kv.ts';
import { WriteBatchBuilder } from '../src/storage/write-batch.ts';
import { createNativeEngine, processCpuNanos, threadCpuNanos } from './index.ts';

const ROWS = Number(process.argv[2] ?? 1_000_000);
const KEY_BYTES = 16;
const VALUE_BYTES = 86;
const GETS_PER_CALL = 32;
const HOT_MERGES = 100_000;

const engine = createNativeEngine({
  cacheBytes: 512 << 20,
  memtableBytes: 128 << 20,
  backgroundBytesPerSecond: 0,
  backgroundThreads: 2,
  readThreads: 2,
});
let inFlight = 0;
let wake: (() => void) | null = null;
engine.onComplete((_tickets, statuses, count) => {
  for (let i = 0; i < count; i++) if (statuses[i] !== 0) throw new Error(`status ${statuses[i]}`);
  inFlight -= count;
  wake?.();
});

function until(inFlightMax: number): Promise<void> {
  if (inFlight <= inFlightMax) return Promise.resolve();
  return new Promise((resolve) => {
    wake = () => {
      if (inFlight > inFlightMax) return;
      wake = null;
      resolve();
    };
  });
}

async function measure(name: string, operations: number, run: () => void | Promise<void>) {
  const started = performance.now();
  const processStart = processCpuNanos();
  const threadStart = threadCpuNanos();
  await run();
  const cpu = (processCpuNanos() - processStart) / 1000 / operations;
  const loop = (threadCpuNanos() - threadStart) / 1000 / operations;
  const perSecond = operations / ((performance.now() - started) / 1000);
  const figures = `${cpu.toFixed(3)} µs CPU, ${loop.toFixed(3)} on the loop`;
  console.log(`${name.padEnd(44)} ${figures}, ${Math.round(perSecond).toLocaleString()}/s`);
}

/** Token-like: spreads the row numbers over the key space. */
function writeKey(key: Buffer, row: number): void {
  key.writeUInt32BE(Math.imul(row, 0x9e3779b1) >>> 0, 0);
  key.writeUInt32BE(Math.imul(row, 0x85ebca6b) >>> 0, 4);
  key.writeUInt32BE(0, 8);
  key.writeUInt32BE(row, 12);
}

/** A row with a liveness and one cell. */
function newRecord(): Buffer {
  const record = Buffer.alloc(9 + 3 + VALUE_BYTES, 0x61);
  record[0] = 0x11;
  record.writeBigInt64BE(1_700_000_000_000_000n, 1);
  record.set([1, 0, VALUE_BYTES], 9);
  return record;
}

async function merges(
  store: KvStore,
  family: number,
  perBatch: number,
  rowOf: (i: number) => number,
  count = ROWS,
) {
  const batch = new WriteBatchBuilder();
  const key = Buffer.alloc(KEY_BYTES);
  const record = newRecord();
  for (let done = 0; done < count; done += perBatch) {
    batch.clear();
    for (let i = done; i < done + perBatch && i < count; i++) {
      writeKey(key, rowOf(i));
      record.writeUInt32BE(i, 5);
      batch.merge(family, key, KEY_BYTES, record, record.length);
    }
    while (!store.submit(batch.bytes, batch.length, done)) await until(inFlight - 1);
    inFlight++;
    if (inFlight >= 4) await until(3);
  }
  await until(0);
}

function gets(store: KvStore, family: number, rowOf: (i: number) => number, count = ROWS): void {
  let found = 0;
  const requests = Buffer.alloc(GETS_PER_CALL * (8 + KEY_BYTES));
  const out = Buffer.alloc(64 << 10);
  const key = Buffer.alloc(KEY_BYTES);
  for (let done = 0; done < count; done += GETS_PER_CALL) {
    for (let i = 0; i < GETS_PER_CALL; i++) {
      writeKey(key, rowOf(done + i));
      const at = i * (8 + KEY_BYTES);
      requests.writeUInt32LE(family, at);
      requests.writeUInt32LE(KEY_BYTES, at + 4);
      requests.set(key, at + 8);
    }
    if (store.multiGet(requests, GETS_PER_CALL, out) > 4 * GETS_PER_CALL) found++;
  }
  const expected = rowOf(0) >= ROWS ? 0 : Math.ceil(count / GETS_PER_CALL);
  if (found !== expected) console.log(`(only ${found} of ${expected} calls found rows in memory)`);
}

function scan(store: KvStore, family: number): void {
  const out = Buffer.alloc(64 << 10);
  const iterator = store.iterator(family, null, null);
  let rows = 0;
  for (let n = 0; (n = iterator.next(out, 1 << 20)) > 0; ) rows += n;
  iterator.close();
  if (rows !== ROWS) throw new Error(`scanned ${rows} of ${ROWS} rows`);
}

/** What a compaction has just written is not in the cache. */
async function compactionsEnd(store: KvStore, family: number): Promise<void> {
  const counts = ['rocksdb.compaction-pending', 'rocksdb.num-running-compactions'];
  while (counts.some((name) => store.property(family, name) !== '0')) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function benchStore(directory: string, durability: Durability): Promise<void> {
  const described = {
    policy: {
      clustering: false,
      fixedPartitionKeyBytes: 8,
      gcGraceSeconds: 864_000,
      rowColumns: null,
      columnsKnown: 0,
    },
    gridBits: 0,
    options: process.env['BENCH_FAMILY'] ?? '',
  };
  const store = await engine.open(directory, {
    durability,
    syncPeriodMs: 1000,
    queueBytesMax: 32 << 20,
    options: process.env['BENCH_DB'] ?? '',
    families: new Map([
      ['rows', described],
      ['hot', described],
    ]),
  });
  const rows = store.families().get('rows') ?? 0;
  const hot = store.families().get('hot') ?? 0;
  const own = (i: number) => i;
  const random = (i: number) => Math.imul(i, 0x27d4eb2f) >>> 0;
  for (const perBatch of [1, 10, 100]) {
    const count = perBatch === 1 ? ROWS / 10 : ROWS;
    await measure(`${durability}: merge, ${perBatch} a batch`, count, () =>
      merges(store, rows, perBatch, own, count),
    );
  }
  if (durability === 'periodic') {
    await compactionsEnd(store, rows);
    scan(store, rows);
    await measure('get, as written', ROWS, () => gets(store, rows, (i) => random(i) % ROWS));
    await measure('get, as written, absent keys', ROWS, () => gets(store, rows, (i) => ROWS + i));
    await store.flush(rows);
    await store.compact(rows);
    scan(store, rows);
    for (const pass of [1, 2]) {
      await measure(`get, compacted, cached (${pass})`, ROWS, () =>
        gets(store, rows, (i) => random(i) % ROWS),
      );
    }
    await measure('get, absent keys, compacted', ROWS, () => gets(store, rows, (i) => ROWS + i));
    await measure('scan, compacted, cached', ROWS, () => scan(store, rows));
    await measure(`${HOT_MERGES} merges into one hot key`, HOT_MERGES, () =>
      merges(store, hot, 100, () => 1, HOT_MERGES),
    );
    // Where nothing bounds the operands of a key (max_successive_merges=0), this is quadratic.
    await measure('get of the hot key', 32, () => gets(store, hot, () => 1, 32));
  }
  console.log(engine.memoryUsage());
  await store.close();
}

const scratch = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ilion-bench-'));
try {
  await benchStore(join(scratch, 'periodic'), 'periodic');
  await benchStore(join(scratch, 'group'), 'group');
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
