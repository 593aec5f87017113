/**
 * Rows that are written as values because they replace all that is older (storage-format.md, 6): which ones are, and, by
 * random histories, that no reader can tell. `HISTORIES=1000 SEED=7` plays that many others.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FamilyId, FamilyOptions, FamilyPolicy, KvStore } from '../src/storage/kv.ts';
import { mergeRecords } from '../src/storage/merge.ts';
import { type Cell, decodeRecord, encodeRecord, type RecordState } from '../src/storage/record.ts';
import {
  drain,
  familyId,
  familyOptions,
  get,
  openOptions,
  packEntries,
  scratchDirectory,
  testEngine,
  write,
} from './testing.ts';

const HISTORIES = Number(process.env['HISTORIES'] ?? 40);
const SEED = Number(process.env['SEED'] ?? 1);
const NOW = Math.floor(Date.now() / 1000);
const scratch = scratchDirectory();
let stores = 0;

function policyOf(rowColumns: readonly number[], columnsKnown: number): FamilyPolicy {
  const base = { clustering: true, fixedPartitionKeyBytes: 8, gcGraceSeconds: 3600 };
  return { ...base, rowColumns, columnsKnown };
}

function optionsOf(policy: FamilyPolicy): FamilyOptions {
  return familyOptions({ policy, options: 'max_successive_merges=0' });
}

function open(path: string, policy: FamilyPolicy): Promise<KvStore> {
  return testEngine().open(path, openOptions({ families: new Map([['rows', optionsOf(policy)]]) }));
}

function cell(column: number, timestamp: bigint, changed: Partial<Cell> = {}): Cell {
  const value = Buffer.from(`${column}@${timestamp}`);
  const base = { column, kind: 'live', timestamp, ttl: 0, localSeconds: 0, path: null } as const;
  return { ...base, value, ...changed };
}

function row(columns: readonly number[], timestamp: bigint): RecordState {
  return {
    liveness: { timestamp, ttl: 0, expiry: 0 },
    ...{ deletion: null, ranges: [] },
    cells: columns.map((column) => cell(column, timestamp)),
  };
}

const keyOf = (n: number) => Buffer.from(`tokentok${'partitio'}\x40row${n}`, 'latin1');

async function merge(store: KvStore, family: FamilyId, n: number, record: RecordState) {
  const [key, bytes] = [keyOf(n), encodeRecord(record)];
  await write(store, (batch) => batch.merge(family, key, key.length, bytes, bytes.length));
}

/** Of the files, after a flush: how many entries there are, and how many of them are merged. */
async function entriesOf(store: KvStore, family: FamilyId): Promise<[number, number]> {
  await store.flush(family);
  const text = store.property(family, 'rocksdb.aggregated-table-properties') ?? '';
  const count = (name: string) => Number(new RegExp(`# ${name}=(\\d+)`).exec(text)?.[1]);
  return [count('entries'), count('merge operands')];
}

async function fresh(policy = policyOf([1, 2], 3)): Promise<[KvStore, FamilyId]> {
  const store = await open(join(scratch, `s${stores++}`), policy);
  return [store, familyId(store, 'rows')];
}

async function slice(store: KvStore, family: FamilyId, n: number, record: RecordState) {
  const file = join(scratch, `slice${stores++}.sst`);
  const writer = store.sstWriter(family, file);
  const packed = packEntries([[keyOf(n), encodeRecord(record)]]);
  await writer.put(packed, packed.length);
  await writer.finish();
  await store.ingest(family, [file], { move: true });
}

test('a whole row that is later than all before it is a value', async () => {
  const [store, family] = await fresh();
  await merge(store, family, 1, row([1, 2], 5n));
  await merge(store, family, 1, row([1, 2], 6n));
  assert.deepEqual(await entriesOf(store, family), [1, 0]);
  const ttl = { timestamp: 7n, ttl: 60, expiry: NOW + 60 };
  const expiring = { kind: 'expiring', ttl: 60, localSeconds: NOW + 60 } as const;
  const cells = [cell(1, 7n, expiring), cell(2, 7n, { kind: 'tombstone', value: null })];
  await merge(store, family, 1, { ...row([], 7n), liveness: ttl, cells });
  await merge(store, family, 2, row([1], 7n));
  assert.deepEqual(await entriesOf(store, family), [3, 1]);
  await store.close();
});

const MERGED: readonly (readonly [string, RecordState])[] = [
  ['of the same time', row([1, 2], 5n)],
  ['earlier', row([1, 2], 4n)],
  ['without a column', row([1], 6n)],
  ['without liveness', { ...row([1, 2], 6n), liveness: null }],
  ['with a column that the table has not', row([1, 2, 3], 6n)],
  ['with a deletion', { ...row([1, 2], 6n), deletion: { timestamp: 5n, localSeconds: 1 } }],
  ['with a cell of another time', { ...row([1], 6n), cells: [cell(1, 6n), cell(2, 4n)] }],
  ['with a path', { ...row([1], 6n), cells: [cell(1, 6n), cell(2, 6n, { path: Buffer.of(1) })] }],
];

for (const [what, record] of MERGED) {
  test(`a row is merged: ${what}`, async () => {
    const [store, family] = await fresh();
    await merge(store, family, 1, row([1, 2], 5n));
    await merge(store, family, 1, record);
    const both = mergeRecords([encodeRecord(row([1, 2], 5n)), encodeRecord(record)]);
    assert.deepEqual(await get(store, family, keyOf(1)), Buffer.from(both));
    await store.close();
  });
}

test('a record of a newer schema has all rows merged until the policy knows its columns', async () => {
  const [store, family] = await fresh();
  await merge(store, family, 1, { ...row([3], 5n), liveness: null });
  await merge(store, family, 1, row([1, 2], 6n));
  await store.flush(family);
  assert.deepEqual(
    decodeRecord((await get(store, family, keyOf(1))) ?? Buffer.of()).cells.map((c) => c.column),
    [1, 2, 3],
  );
  store.setPolicy(family, policyOf([1, 2, 3], 4));
  await merge(store, family, 1, row([1, 2], 7n));
  await merge(store, family, 1, row([1, 2, 3], 8n));
  const record = decodeRecord((await get(store, family, keyOf(1))) ?? Buffer.of());
  assert.deepEqual(record, row([1, 2, 3], 8n));
  await store.close();
});

test('what files have counts after a restart and when files come', async () => {
  const path = join(scratch, `s${stores++}`);
  const policy = policyOf([1, 2], 3);
  let store = await open(path, policy);
  await merge(store, familyId(store, 'rows'), 1, { ...row([1], 100n), liveness: null });
  await store.close();
  store = await open(path, policy);
  const family = familyId(store, 'rows');
  await merge(store, family, 1, row([1, 2], 50n));
  const seen = async () =>
    decodeRecord((await get(store, family, keyOf(1))) ?? Buffer.of()).cells.map((c) => c.timestamp);
  assert.deepEqual(await seen(), [100n, 50n]);
  await merge(store, family, 1, row([1, 2], 101n));
  assert.deepEqual(await seen(), [101n, 101n]);
  await slice(store, family, 1, { ...row([2], 200n), liveness: null });
  await merge(store, family, 1, row([1, 2], 150n));
  assert.deepEqual(await seen(), [150n, 200n]);
  await merge(store, family, 1, row([1, 2], 201n));
  assert.deepEqual(await seen(), [201n, 201n]);
  const [entries, merged] = await entriesOf(store, family);
  await merge(store, family, 2, row([1, 2], 202n));
  assert.deepEqual(await entriesOf(store, family), [entries + 1, merged], 'a value again');
  await store.close();
});

/** xorshift32: a history depends on its seed alone. */
function randomOf(seed: number): (limit: number) => number {
  let x = Math.imul(seed, 0x9e3779b1) | 1;
  return (limit) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % limit;
  };
}

/** What must be the same. @param replaced the latest row that may have replaced what was there, and deletions with it */
function shown(record: Uint8Array | null, replaced: bigint): RecordState | null {
  if (record === null) return null;
  const state = decodeRecord(record);
  const isHidden = state.deletion !== null && state.deletion.timestamp < replaced;
  return isHidden ? { ...state, deletion: null } : state;
}

class History {
  private readonly below: (limit: number) => number;
  private readonly path = join(scratch, `h${stores++}`);
  private readonly written = new Map<number, Uint8Array[]>();
  private readonly replaced = new Map<number, bigint>();
  private columns: readonly number[] = [1, 2];
  private store: KvStore | null = null;
  private family = 0;
  private clock = 100;

  constructor(seed: number) {
    this.below = randomOf(seed);
  }

  private get policy(): FamilyPolicy {
    return policyOf(this.columns, (this.columns.at(-1) ?? 0) + 1);
  }

  private async opened(): Promise<KvStore> {
    if (this.store === null) {
      this.store = await open(this.path, this.policy);
      this.family = familyId(this.store, 'rows');
    }
    return this.store;
  }

  private record(): RecordState {
    const { below } = this;
    this.clock += below(3);
    // Mostly in order, sometimes late, seldom far ahead.
    const late = below(4) === 0 ? below(12) : 0;
    const timestamp = BigInt(this.clock - late + (below(200) === 0 ? 30 : 0));
    const columns = below(3) > 0 ? this.columns : [this.columns[below(this.columns.length)]];
    const whole = row(columns, timestamp);
    switch (below(8)) {
      case 0:
        return { ...whole, liveness: null };
      case 1:
        return {
          ...{ liveness: null, ranges: [], cells: [] },
          deletion: { timestamp, localSeconds: NOW },
        };
      case 2: {
        const dead = { kind: 'tombstone', localSeconds: NOW, value: null } as const;
        return { ...whole, cells: columns.map((column) => cell(column, timestamp, dead)) };
      }
      case 3:
        // By who has an older schema.
        return row([1, 2], timestamp);
      default:
        return whole;
    }
  }

  private note(n: number, record: RecordState): RecordState {
    const all = this.written.get(n) ?? [];
    all.push(encodeRecord(record));
    this.written.set(n, all);
    const timestamp = record.liveness?.timestamp ?? 0n;
    const isWhole = String(record.cells.map((c) => c.column)) === String(this.columns);
    if (isWhole && timestamp > this.replacedOf(n)) this.replaced.set(n, timestamp);
    return record;
  }

  private replacedOf(n: number): bigint {
    return this.replaced.get(n) ?? 0n;
  }

  async step(): Promise<void> {
    const { below } = this;
    const store = await this.opened();
    const n = below(6);
    switch (below(40)) {
      case 0:
      case 1:
        await store.flush(this.family);
        return;
      case 2:
        await store.compact(this.family);
        return;
      case 3:
        await store.close();
        this.store = null;
        return;
      case 4:
      case 5:
        await slice(store, this.family, n, this.note(n, this.record()));
        return;
      case 6: {
        if (this.columns.length > 5) return;
        // Nothing with the new column is older than a deletion before it: such a cell may be seen (storage-format.md, 6).
        this.clock += 50;
        const added = [...this.columns, (this.columns.at(-1) ?? 0) + 1];
        // Others may hear of it first.
        if (below(2) === 0) {
          const timestamp = BigInt(this.clock);
          await merge(store, this.family, n, this.note(n, row(added, timestamp)));
        }
        this.columns = added;
        store.setPolicy(this.family, this.policy);
        return;
      }
      case 7: {
        // Both in one batch.
        const records = [this.note(n, this.record()), this.note(n, this.record())];
        await write(store, (batch) => {
          for (const one of records.map(encodeRecord)) {
            const key = keyOf(n);
            batch.merge(this.family, key, key.length, one, one.length);
          }
        });
        return;
      }
      default:
        await merge(store, this.family, n, this.note(n, this.record()));
    }
  }

  async check(): Promise<void> {
    const store = await this.opened();
    const scanned = new Map(await drain(store.iterator(this.family, null, null)));
    for (const [n, records] of this.written) {
      const expected = shown(mergeRecords(records), this.replacedOf(n));
      const read = await get(store, this.family, keyOf(n));
      assert.deepEqual(shown(read, this.replacedOf(n)), expected, `key ${n}`);
      const inScan = scanned.get(keyOf(n).toString('latin1'));
      const bytes = inScan === undefined ? null : Buffer.from(inScan, 'latin1');
      assert.deepEqual(shown(bytes, this.replacedOf(n)), expected, `key ${n} in a scan`);
    }
  }

  async close(): Promise<void> {
    await this.store?.close();
  }
}

test(`nobody can tell rows that replace from rows that are merged (${HISTORIES} histories)`, async () => {
  for (let seed = SEED; seed < SEED + HISTORIES; seed++) {
    const history = new History(seed);
    try {
      for (let i = 0; i < 200; i++) {
        await history.step();
        if (i % 10 === 9) await history.check();
      }
    } catch (error) {
      throw new Error(`SEED=${seed} HISTORIES=1`, { cause: error });
    } finally {
      await history.close();
    }
  }
});
