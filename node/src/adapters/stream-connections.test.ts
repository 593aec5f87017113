/** Whole transfers between two real stores, over real connections. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileChecksum, openTls, receiveFile, sendFile } from '../../native/index.ts';
import {
  familyOptions,
  get,
  openStore,
  scratchDirectory,
  testEngine,
  write,
} from '../../native/testing.ts';
import { LinkError, type Links, type Peer, Verb } from '../internode/links.ts';
import type { TableDef } from '../schema/schema.ts';
import type { FamilyId, KvStore } from '../storage/kv.ts';
import { mergeRecords } from '../storage/merge.ts';
import { encodeRecord } from '../storage/record.ts';
import type { Part } from '../streaming/file-plan.ts';
import {
  decodeClose,
  decodeOpen,
  decodeRowsRequest,
  encodeHello,
  encodeOffer,
  encodeRowsPage,
} from '../streaming/messages.ts';
import { type BucketRange, StreamError, type StreamStores } from '../streaming/ports.ts';
import { StreamSource } from '../streaming/stream-source.ts';
import { type Fetcher, type PullDeps, pull } from '../streaming/stream-target.ts';
import { Throttle } from '../streaming/throttle.ts';
import { fixedTls } from './grpc-links-tls.ts';
import { createFetcher, listenForStreams } from './stream-connections.ts';
import { createStreamFiles } from './stream-files.ts';
import { createAuthority } from './testing/authority.ts';

const scratch = scratchDirectory();
testEngine();
const TABLE = { keyspace: 'ks', name: 't' } as unknown as TableDef;
const REF = Buffer.alloc(20, 7);
const PEER: Peer = { hostId: 'source', address: '127.0.0.1', controlPort: 1, dataPort: 2 };
const authority = createAuthority();
const stranger = createAuthority();
const skip = authority === null ? 'openssl is needed' : false;
const GRID = 6;
const mover = { sendFile, receiveFile, openTls };
const options = familyOptions({ gridBits: GRID });
const clock = {
  nowMillis: () => performance.now(),
  after: (millis: number, run: () => void) => {
    const timer = setTimeout(run, millis);
    return () => clearTimeout(timer);
  },
};

async function openShards(name: string, count: number): Promise<StreamStores> {
  const shards: { readonly store: KvStore; readonly family: FamilyId }[] = [];
  for (let i = 0; i < count; i++) {
    const store = await openStore(join(scratch, `${name}-${i}`));
    shards.push({ store, family: await store.createFamily('t', options) });
  }
  return {
    count,
    store: (shard) => shards[shard].store,
    family: (shard) => shards[shard].family,
    options: () => options,
  };
}

function keyOf(bucket: number): Buffer {
  return Buffer.from([bucket >> 8, bucket & 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

function recordOf(column: number, timestamp: bigint): Uint8Array {
  const value = randomBytes(64);
  const kind = 'live';
  const cell = { column, kind, timestamp, ttl: 0, localSeconds: 0, path: null, value } as const;
  return encodeRecord({ liveness: null, deletion: null, ranges: [], cells: [cell] });
}

async function merge(stores: StreamStores, bucket: number, record: Uint8Array): Promise<void> {
  const shard = Math.floor((bucket * stores.count) / 0x10000);
  const family = stores.family(shard, TABLE);
  const key = keyOf(bucket);
  await write(stores.store(shard), (batch) =>
    batch.merge(family, key, key.length, record, record.length),
  );
}

async function storedAt(stores: StreamStores, bucket: number): Promise<Buffer | null> {
  const shard = Math.floor((bucket * stores.count) / 0x10000);
  return get(stores.store(shard), stores.family(shard, TABLE), keyOf(bucket));
}

/** Every 64th bucket has a row: part of them compacted, all of them in level 0 again, some in memory. */
const rows = new Map<number, Buffer>();
async function fill(stores: StreamStores): Promise<void> {
  const put = async (bucket: number, record: Uint8Array) => {
    await merge(stores, bucket, record);
    const before = rows.get(bucket);
    rows.set(bucket, Buffer.from(mergeRecords(before === undefined ? [record] : [before, record])));
  };
  for (let bucket = 0; bucket < 0x10000; bucket += 64) await put(bucket, recordOf(1, 1n));
  for (let shard = 0; shard < stores.count; shard++) {
    await stores.store(shard).flush();
    await stores.store(shard).compact(stores.family(shard, TABLE));
  }
  for (let bucket = 0; bucket < 0x10000; bucket += 640) await put(bucket, recordOf(2, 2n));
  for (let shard = 0; shard < stores.count; shard++) await stores.store(shard).flush();
  for (let bucket = 0; bucket < 0x10000; bucket += 1280) await put(bucket, recordOf(1, 3n));
}

const sourceStores = await openShards('source', 2);
await fill(sourceStores);
let fenced = 0;
let refusal: string | null = null;
const throttle = new Throttle(clock, 0);
const warnings: string[] = [];
const listener = await listenForStreams({
  host: '127.0.0.1',
  port: 0,
  tls: null,
  throttle,
  mover,
  send: (hello) => source.send(hello),
  log: { info: () => {}, warn: (_message, { reason }) => warnings.push(String(reason)) },
});
const files = createStreamFiles(fileChecksum);
const source = new StreamSource({
  stores: sourceStores,
  files,
  clock,
  directory: join(scratch, 'out'),
  tableOf: (ref) => (ref.equals(REF) ? TABLE : null),
  port: listener.port,
  refusal: () => refusal,
  fence: (epoch) => {
    fenced = epoch;
    return Promise.resolve();
  },
  randomBytes,
});
await source.start();
after(async () => {
  await source.stop();
  await listener.close();
});

/** To the source alone. */
const links: Links = {
  call: (_to, verb, body, _timeout, sink) => {
    if (verb === Verb.StreamRows) {
      source.rows('target', decodeRowsRequest(body)).then(
        (page) => sink.answered(encodeRowsPage(page)),
        (error: unknown) => sink.failed(new LinkError('FAILED', String(error))),
      );
      return;
    }
    const answer = (): Uint8Array => {
      if (body.length === 17) {
        void source.close('target', decodeClose(body));
        return Buffer.of(1);
      }
      return encodeOffer(source.open('target', decodeOpen(body)));
    };
    try {
      const bytes = answer();
      setImmediate(() => sink.answered(bytes));
    } catch (error) {
      sink.failed(new LinkError('FAILED', String(error)));
    }
  },
  handle: () => {},
  latencyMillis: () => null,
};

let targets = 0;
async function newTarget(shards: number, changed: Partial<PullDeps> = {}): Promise<PullDeps> {
  const name = `target-${++targets}`;
  const stores = await openShards(name, shards);
  const fetcher = createFetcher(null, mover);
  const directory = join(scratch, `${name}-in`);
  const apply = async (_table: TableDef, entries: Buffer) => {
    for (let at = 0; at < entries.length; ) {
      const keyEnd = at + 8 + entries.readUInt32LE(at);
      const end = keyEnd + entries.readUInt32LE(at + 4);
      const key = entries.subarray(at + 8, keyEnd);
      await merge(stores, (key[0] << 8) | key[1], entries.subarray(keyEnd, end));
      at = end;
    }
  };
  const rows = { asRows: false, apply };
  return { links, stores, files, fetcher, clock, directory, randomBytes, ...rows, ...changed };
}

const NEVER = new AbortController().signal;
interface Seen {
  readonly parts: Part[];
  bytes: number;
  files: number;
}

async function transfer(
  deps: PullDeps,
  ranges: readonly BucketRange[],
  signal: AbortSignal = NEVER,
): Promise<Seen> {
  const seen: Seen = { parts: [], bytes: 0, files: 0 };
  const tables = [{ table: TABLE, ref: REF, ranges }];
  await pull(
    deps,
    { operation: 'op', epoch: 42, source: PEER, tables },
    {
      planned: (count, bytes) => {
        seen.files = count;
        seen.bytes = bytes;
      },
      fetched: () => {},
      rowsTaken: (bytes) => {
        seen.bytes += bytes;
      },
      ingested: (_table, part) => {
        seen.parts.push(part);
        return Promise.resolve();
      },
    },
    signal,
  );
  return seen;
}

async function holdsExactly(
  stores: StreamStores,
  isWanted: (bucket: number) => boolean,
): Promise<void> {
  for (let bucket = 0; bucket < 0x10000; bucket += 64) {
    const expected = isWanted(bucket) ? rows.get(bucket) : null;
    assert.deepEqual(await storedAt(stores, bucket), expected, `bucket ${bucket}`);
  }
}

function isLeftOver(directory: string): boolean {
  return readdirSync(directory).length > 0;
}

for (const shards of [1, 2, 4]) {
  test(`ranges arrive, into ${shards} shards, and nothing else does`, async () => {
    const deps = await newTarget(shards);
    // Along the grid and across it, and around a shard's end.
    const ranges = [
      { first: 0, last: 0x3ff },
      { first: 0x1234, last: 0x2345 },
      { first: 0x7f00, last: 0x9000 },
      { first: 0xf000, last: 0xffff },
    ];
    const { parts } = await transfer(deps, ranges);
    assert.equal(fenced, 42);
    assert.ok(parts.length >= ranges.length);
    await holdsExactly(deps.stores, (bucket) =>
      ranges.some(({ first, last }) => bucket >= first && bucket <= last),
    );
    assert.equal(isLeftOver(deps.directory), false);
    assert.equal(source.sessionCount, 0);
  });
}

test('row by row, the same arrives', async () => {
  const deps = await newTarget(2, { asRows: true });
  const ranges = [
    { first: 0x100, last: 0x3ff },
    { first: 0x7f00, last: 0x9000 },
  ];
  const { bytes, files: count } = await transfer(deps, ranges);
  assert.ok(bytes > 0 && count === 0);
  await holdsExactly(deps.stores, (bucket) =>
    ranges.some(({ first, last }) => bucket >= first && bucket <= last),
  );
  assert.equal(source.sessionCount, 0);
});

test('a range that has something already keeps it, and gets the rest', async () => {
  const deps = await newTarget(2);
  const own = recordOf(9, 9n);
  await merge(deps.stores, 128, own);
  for (let round = 0; round < 2; round++) await transfer(deps, [{ first: 0, last: 0xffff }]);
  const expected = mergeRecords([own, rows.get(128) as Buffer]);
  assert.deepEqual(await storedAt(deps.stores, 128), Buffer.from(expected));
  for (const bucket of [0, 64, 640, 1280]) {
    assert.deepEqual(await storedAt(deps.stores, bucket), rows.get(bucket));
  }
});

test('connections that break in the middle: what arrived is not sent again', async () => {
  let breaks = 5;
  let asked = 0;
  const whole = createFetcher(null, mover);
  const fetcher: Fetcher = {
    connect: async (address, port) => {
      const lane = await whole.connect(address, port);
      return {
        fetch: async (hello, path, length) => {
          asked += length;
          if (breaks > 0 && length > 2_000) {
            breaks--;
            // A connection that ended after the first bytes.
            await lane.fetch(hello, path, 1_000).catch(() => {});
            throw new StreamError('BROKEN', 'cut');
          }
          await lane.fetch(hello, path, length);
        },
        close: () => lane.close(),
      };
    },
  };
  const deps = await newTarget(2, { fetcher });
  const { bytes } = await transfer(deps, [{ first: 0x4000, last: 0xbfff }]);
  assert.equal(breaks, 0);
  await holdsExactly(deps.stores, (bucket) => bucket >= 0x4000 && bucket <= 0xbfff);
  assert.ok(asked > bytes && asked < 2 * bytes, `${asked} asked for of ${bytes}`);
});

test('a bit that flipped at the source is found before anything is ingested', async () => {
  const whole = createFetcher(null, mover);
  const fetcher: Fetcher = {
    connect: async (address, port) => {
      const lane = await whole.connect(address, port);
      return {
        fetch: async (hello, path, length) => {
          await lane.fetch(hello, path, length);
          if (hello.file !== 3) return;
          const content = readFileSync(path);
          content[content.length >> 1] ^= 1;
          writeFileSync(path, content);
        },
        close: () => lane.close(),
      };
    },
  };
  const deps = await newTarget(1, { fetcher });
  await assert.rejects(
    transfer(deps, [{ first: 0x1000, last: 0x2fff }]),
    (error) =>
      error instanceof StreamError && error.code === 'CORRUPT' && /127/.test(error.message),
  );
  await holdsExactly(deps.stores, () => false);
  assert.equal(isLeftOver(deps.directory), false);
});

test('refusals say why and leave nothing', async () => {
  const deps = await newTarget(1);
  const isRefused = (text: RegExp) => (error: unknown) =>
    error instanceof StreamError && error.code === 'REFUSED' && text.test(error.message);
  refusal = 'no such operation';
  await assert.rejects(transfer(deps, [{ first: 0, last: 9 }]), isRefused(/no such operation/));
  refusal = null;
  const aborted = AbortSignal.abort();
  await assert.rejects(
    transfer(deps, [{ first: 0, last: 9 }], aborted),
    (error) => error instanceof StreamError && error.code === 'CANCELLED',
  );
  assert.equal(isLeftOver(deps.directory), false);
  assert.equal(source.sessionCount, 0);
  // Somebody without a session, and somebody who speaks something else.
  const hello = { session: randomBytes(16), token: randomBytes(32), file: 0, offset: 0 };
  for (const bytes of [encodeHello(hello), Buffer.from('GET / HTTP/1.1\r\n'.repeat(10))]) {
    const before = warnings.length;
    const socket = connect(listener.port, '127.0.0.1');
    socket.write(bytes);
    await new Promise((resolve) =>
      socket
        .on('close', resolve)
        .on('error', () => {})
        .resume(),
    );
    assert.equal(warnings.length, before + 1);
  }
});

test('the same over TLS, and not for strangers', { skip }, async () => {
  if (authority === null || stranger === null) return;
  const own = { ca: authority.pem, ...authority.issue('IP:127.0.0.1') };
  const tls = fixedTls({ ...own, mutual: true, verifyAddress: true });
  const refused: string[] = [];
  const secure = await listenForStreams({
    host: '127.0.0.1',
    port: 0,
    tls,
    throttle,
    mover,
    send: (hello) => source.send(hello),
    log: { info: () => {}, warn: (message, { reason }) => refused.push(`${message}: ${reason}`) },
  });
  after(() => secure.close());
  // The source says the port of its plain listener.
  const toSecure = (fetcher: Fetcher): Fetcher => ({
    connect: (address) => fetcher.connect(address, secure.port),
  });
  const ranges = [{ first: 0x800, last: 0x47ff }];
  const deps = await newTarget(2, { fetcher: toSecure(createFetcher(tls, mover)) });
  await transfer(deps, ranges);
  await holdsExactly(deps.stores, (bucket) => bucket >= 0x800 && bucket <= 0x47ff);
  const other = { ca: authority.pem, ...stranger.issue('IP:127.0.0.1') };
  const foreign = fixedTls({ ...other, mutual: true, verifyAddress: true });
  for (const fetcher of [createFetcher(foreign, mover), createFetcher(null, mover)]) {
    const hasty = {
      ...clock,
      after: (millis: number, run: () => void) => clock.after(millis / 50, run),
    };
    const outside = await newTarget(1, { fetcher: toSecure(fetcher), clock: hasty });
    await assert.rejects(
      transfer(outside, ranges),
      (error) => error instanceof StreamError && error.code === 'BROKEN',
    );
    await holdsExactly(outside.stores, () => false);
  }
  const taken = /was refused: its certificate is not taken \(.*\): it must be signed by internode_/;
  assert.match(refused[0], taken);
});

test('over TLS: what is taken changes without a restart; errors say the cure', {
  skip,
}, async () => {
  if (authority === null || stranger === null) return;
  const setOf = (issuer: typeof authority, name = 'IP:127.0.0.1') => {
    const both = { mutual: true, verifyAddress: true };
    return { ca: issuer.pem, ...issuer.issue(name), ...both };
  };
  const older = setOf(authority);
  const newer = setOf(stranger);
  let current = older;
  const path = join(scratch, 'sent');
  writeFileSync(path, randomBytes(100_000));
  const refused: string[] = [];
  const secure = await listenForStreams({
    host: '127.0.0.1',
    port: 0,
    tls: { current: () => current, onChange: () => () => {} },
    throttle,
    mover,
    send: ({ offset }) => ({ path, offset, length: 100_000 - offset, release: () => {} }),
    log: { info: () => {}, warn: (_message, { reason }) => refused.push(String(reason)) },
  });
  after(() => secure.close());
  const hello = { session: randomBytes(16), token: randomBytes(32), file: 0, offset: 0 };
  const to = join(scratch, 'fetched');
  const fetchWith = async (tls: typeof older, port = secure.port) => {
    const lane = await createFetcher(fixedTls(tls), mover).connect('127.0.0.1', port);
    await lane.fetch(hello, to, 100_000).catch((error: unknown) => {
      lane.close();
      throw error;
    });
    return lane;
  };
  const isBroken = (text: RegExp) => (error: unknown) =>
    error instanceof StreamError && error.code === 'BROKEN' && text.test(error.message);
  const standing = await fetchWith(older);
  assert.ok(readFileSync(to).equals(readFileSync(path)));
  await assert.rejects(fetchWith(newer), isBroken(/must be signed by this node's internode_auth/));
  const plain = await createFetcher(null, mover).connect('127.0.0.1', secure.port);
  await assert.rejects(plain.fetch(hello, to, 100_000), isBroken(/./));
  plain.close();
  assert.match(refused.join(), /does not speak TLS: if it is a node, it needs internode_encrypt/);
  const mixed = { ...newer, ca: older.ca };
  await assert.rejects(fetchWith(mixed), isBroken(/seems not to take this node's certificate/));
  await assert.rejects(
    fetchWith(older, listener.port),
    isBroken(/the node there seems to have internode_encryption: none/),
  );
  current = newer;
  (await fetchWith(newer)).close();
  await assert.rejects(fetchWith(older), isBroken(/must be signed by this node's internode_auth/));
  await standing.fetch(hello, to, 100_000);
  standing.close();
  current = setOf(stranger, 'IP:127.0.0.9');
  await assert.rejects(fetchWith(newer), isBroken(/is not made out to 127\.0\.0\.1/));
});

test('over TLS: too many at once are not let in, with those that say nothing', {
  skip,
}, async () => {
  if (authority === null) return;
  const own = { ca: authority.pem, ...authority.issue('IP:127.0.0.1') };
  const secure = await listenForStreams({
    host: '127.0.0.1',
    port: 0,
    tls: fixedTls({ ...own, mutual: true, verifyAddress: false }),
    throttle,
    mover,
    send: (hello) => source.send(hello),
    log: { info: () => {}, warn: () => {} },
  });
  const ended: Promise<boolean>[] = [];
  const idle = Array.from({ length: 140 }, () => {
    const socket = connect(secure.port, '127.0.0.1').on('error', () => {});
    const { promise, resolve } = Promise.withResolvers<boolean>();
    socket.on('close', () => resolve(true)).resume();
    ended.push(promise);
    return socket;
  });
  let closed = 0;
  for (const one of ended) void one.then(() => closed++);
  while (closed < 12) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(closed, 12);
  await secure.close();
  // Handshakes that are under way end with it.
  await Promise.all(ended);
  for (const socket of idle) socket.destroy();
});
