/** What a node has of a key is what another has of it after its files went there, in whatever way it came together. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createStreamFiles } from '../src/adapters/stream-files.ts';
import { type Links, Verb } from '../src/internode/links.ts';
import { DEFAULT_TABLE_OPTIONS, type TableDef } from '../src/schema/schema.ts';
import type { KvStore } from '../src/storage/kv.ts';
import { decodeRecord, encodeRecord } from '../src/storage/record.ts';
import { decodeClose, decodeOpen, encodeOffer } from '../src/streaming/messages.ts';
import type { StreamStores } from '../src/streaming/ports.ts';
import { copySlice } from '../src/streaming/slices.ts';
import { StreamSource } from '../src/streaming/stream-source.ts';
import { pull } from '../src/streaming/stream-target.ts';
import { fileChecksum } from './index.ts';
import {
  familyId,
  familyOptions,
  get,
  openOptions,
  openStore,
  scratchDirectory,
  write,
} from './testing.ts';

const scratch = scratchDirectory();
const KEY = Buffer.from('0011223344556677');
const ALL = { first: 0, last: 0xffff };
const TABLE: TableDef = {
  ...{ keyspace: 'ks', name: 't', id: 't', generation: 0, nextColumnId: 0, columns: [] },
  ...{ options: DEFAULT_TABLE_OPTIONS, droppedColumns: [], isCounter: false },
};
const clock = { nowMillis: () => performance.now(), after: () => () => {} };

function open(name: string): Promise<KvStore> {
  const families = new Map([
    ['rows', familyOptions()],
    ['aside', familyOptions()],
  ]);
  return openStore(join(scratch, name), openOptions({ families }));
}

function storesOf(store: KvStore): StreamStores {
  return {
    count: 1,
    store: () => store,
    family: () => familyId(store, 'rows'),
    options: () => familyOptions(),
  };
}

async function merge(store: KvStore, family: string, column: number, timestamp: bigint) {
  const cell = { column, kind: 'live', timestamp, ttl: 0, localSeconds: 0, path: null } as const;
  const record = encodeRecord({
    ...{ liveness: null, deletion: null, ranges: [] },
    cells: [{ ...cell, value: Buffer.from('x') }],
  });
  await write(store, (batch) =>
    batch.merge(familyId(store, family), KEY, KEY.length, record, record.length),
  );
}

/** When all of its files have become one, too: what is hidden is gone then. */
async function columnsOf(store: KvStore): Promise<number[]> {
  await store.compact(familyId(store, 'rows'));
  const record = await get(store, familyId(store, 'rows'), KEY);
  return record === null ? [] : decodeRecord(record).cells.map(({ column }) => column);
}

/** As `streaming` does, without a network. */
async function stream(from: KvStore, to: KvStore, name: string): Promise<void> {
  const files = createStreamFiles(fileChecksum);
  const source = new StreamSource({
    ...{ stores: storesOf(from), files, clock, randomBytes, port: 1 },
    directory: join(scratch, `${name}-out`),
    tableOf: () => TABLE,
    refusal: () => null,
    fence: () => Promise.resolve(),
  });
  await source.start();
  const links: Pick<Links, 'call'> = {
    call: async (_to, verb, body, _timeout, sink) => {
      if (verb !== Verb.StreamOpen) {
        await source.close('to', decodeClose(body));
        sink.answered(new Uint8Array(0));
        return;
      }
      const request = decodeOpen(body);
      let offer = source.open('to', request);
      for (; offer === null; offer = source.open('to', request)) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      sink.answered(encodeOffer(offer));
    },
  };
  const lane = {
    fetch: async (hello: Parameters<StreamSource['send']>[0], path: string) => {
      const job = source.send(hello);
      appendFileSync(path, readFileSync(job.path).subarray(job.offset));
      job.release();
    },
    close: () => {},
  };
  const directory = join(scratch, `${name}-in`);
  await files.make(directory);
  await pull(
    {
      ...{ stores: storesOf(to), files, clock, randomBytes, directory, asRows: false },
      links: links as Links,
      fetcher: { connect: () => Promise.resolve(lane) },
      apply: () => Promise.resolve(),
    },
    {
      ...{ operation: '00000000-0000-4000-8000-000000000001', epoch: 1 },
      source: { hostId: 'from', address: 'from', controlPort: 1, dataPort: 1 },
      tables: [{ table: TABLE, ref: Buffer.alloc(20), ranges: [ALL] }],
    },
    { planned() {}, fetched() {}, rowsTaken() {}, ingested: () => Promise.resolve() },
    new AbortController().signal,
  );
}

test('a key that was written often does not hide what was ingested after that', async () => {
  const first = await open('first');
  // The engine makes one value of so many merges.
  for (let i = 1; i <= 40; i++) await merge(first, 'rows', 1, BigInt(i));
  await first.flush(familyId(first, 'rows'));
  // What was kept aside is taken back.
  await merge(first, 'aside', 2, 7n);
  const path = join(scratch, 'aside.sst');
  const [family, target] = [familyId(first, 'aside'), familyId(first, 'rows')];
  await copySlice({ store: first, family, target, range: ALL, path });
  await first.ingest(target, [path], { move: true });
  const second = await open('second');
  await stream(first, second, 'second');
  assert.deepEqual(await columnsOf(second), [1, 2]);
});

test('what is written after files came is newer than they are, however long their source has been writing', async () => {
  const first = await open('long');
  for (let i = 1; i <= 200; i++) await merge(first, 'rows', 1, BigInt(i));
  const second = await open('short');
  await stream(first, second, 'short');
  await merge(second, 'rows', 2, 7n);
  assert.deepEqual(await columnsOf(second), [1, 2]);
  await merge(second, 'rows', 3, 7n);
  await second.flush(familyId(second, 'rows'));
  const third = await open('third');
  await stream(second, third, 'third');
  await merge(third, 'rows', 4, 7n);
  assert.deepEqual(await columnsOf(third), [1, 2, 3, 4]);
});

test('a row that replaced older ones does so where its files go, too', async () => {
  const policy = { ...familyOptions().policy, rowColumns: [1, 2], columnsKnown: 3 };
  const families = new Map([['rows', { ...familyOptions(), policy }]]);
  const first = await openStore(join(scratch, 'values'), openOptions({ families }));
  const second = await openStore(join(scratch, 'values-2'), openOptions({ families }));
  const rows = familyId(first, 'rows');
  const whole = async (store: KvStore, timestamp: bigint, columns: readonly number[]) => {
    const record = encodeRecord({
      liveness: { timestamp, ttl: 0, expiry: 0 },
      ...{ deletion: null, ranges: [] },
      cells: columns.map((column) => ({
        ...{ column, kind: 'live', timestamp, ttl: 0, localSeconds: 0, path: null },
        value: Buffer.from(`${timestamp}`),
      })),
    });
    const family = familyId(store, 'rows');
    await write(store, (batch) => batch.merge(family, KEY, KEY.length, record, record.length));
  };
  const seen = async (store: KvStore) =>
    decodeRecord((await get(store, familyId(store, 'rows'), KEY)) ?? Buffer.of()).cells.map(
      ({ timestamp }) => timestamp,
    );
  // One below the other, in files of their own: the oldest in the last level.
  await whole(first, 1n, [1, 2]);
  await first.flush(rows);
  await first.compact(rows);
  await whole(first, 5n, [1, 2]);
  await first.flush(rows);
  await whole(first, 9n, [1]);
  await first.flush(rows);
  await whole(first, 7n, [1, 2]);
  await first.flush(rows);
  assert.ok(first.liveFiles().length >= 3);
  assert.deepEqual(await seen(first), [9n, 7n]);
  await stream(first, second, 'values');
  assert.deepEqual(await seen(second), [9n, 7n]);
  // What came counts for what is written on top of it.
  await whole(second, 8n, [1, 2]);
  assert.deepEqual(await seen(second), [9n, 8n]);
  await whole(second, 10n, [1, 2]);
  await second.flush(familyId(second, 'rows'));
  await second.compact(familyId(second, 'rows'));
  assert.deepEqual(await seen(second), [10n, 10n]);
});
