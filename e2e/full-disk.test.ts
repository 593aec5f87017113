/**
 * A node whose disk is full refuses writes with an error that says so, goes on reading, and writes again by itself once
 * there is room; nothing acknowledged is lost, not even by kill -9. On a small file system in memory.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import cassandra from 'cassandra-driver';
import { type NodeProcess, startNode, temporaryDirectory } from './support/node-process.ts';

const DISK_MIB = 160;
/**
 * What is removed to make room again: more than twice what is written by then, as compactions that waited for room write
 * everything once more before they remove anything, and must not fill the disk again.
 */
const BALLAST_BYTES = 112 << 20;
const VALUE_BYTES = 16_384;
const WRITERS = 16;
const READERS = 16;
/** Refused writes after which the disk is as full as it gets. */
const REFUSALS = 50;
const FILL_MILLIS = 30_000;
const RECOVERY_MILLIS = 60_000;
/** Tables made while the engine still gives room back. */
const TABLES_MAX = 20;
/** After a refused write, when an error must have come. */
const ANSWER_MILLIS = 5_000;

const mounted = new Set<string>();
process.on('exit', () => {
  for (const place of mounted) spawnSync('umount', ['--lazy', place]);
});

/** @returns null where mounting is not allowed */
function mountDisk(): string | null {
  const place = join(temporaryDirectory(), 'disk');
  mkdirSync(place);
  const options = ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'ilion-test', place];
  if (spawnSync('mount', options).status !== 0) return null;
  mounted.add(place);
  return place;
}

function unmount(place: string): void {
  spawnSync('umount', ['--lazy', place]);
  mounted.delete(place);
}

/** Bytes that do not compress, other ones for each key. */
function valueOfKey(k: number): Buffer {
  const value = Buffer.alloc(VALUE_BYTES);
  let state = k + 1;
  for (let at = 0; at < VALUE_BYTES; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    value.writeInt32LE(state, at);
  }
  return value;
}

async function withClient(
  node: NodeProcess,
  use: (client: cassandra.Client) => Promise<void>,
): Promise<void> {
  const client = new cassandra.Client({
    contactPoints: [`127.0.0.1:${node.cqlPort}`],
    localDataCenter: 'datacenter1',
    queryOptions: { prepare: true, consistency: cassandra.types.consistencies.one },
    policies: { retry: new cassandra.policies.retry.FallthroughRetryPolicy() },
    socketOptions: { readTimeout: ANSWER_MILLIS },
  });
  try {
    await client.connect();
    await use(client);
  } finally {
    await client.shutdown();
  }
}

/** Keys written so far, and what those that were not got for an answer. */
class Ledger {
  readonly acknowledged = new Set<number>();
  readonly refusals: unknown[] = [];
  private next = 0;

  async put(client: cassandra.Client): Promise<boolean> {
    const k = this.next++;
    try {
      await client.execute('INSERT INTO d.t (k, v) VALUES (?, ?)', [k, valueOfKey(k)]);
      this.acknowledged.add(k);
      return true;
    } catch (error) {
      this.refusals.push(error);
      return false;
    }
  }

  async fill(client: cassandra.Client): Promise<void> {
    const end = performance.now() + FILL_MILLIS;
    const more = () => this.refusals.length < REFUSALS && performance.now() < end;
    const write = async () => {
      while (more()) await this.put(client);
    };
    await Promise.all(Array.from({ length: WRITERS }, write));
    assert.ok(this.refusals.length >= REFUSALS, 'the disk was never full');
  }

  /** @throws AssertionError if an answer was not that the disk is full */
  checkRefusals(): void {
    for (const error of this.refusals) {
      assert.ok(error instanceof cassandra.errors.ResponseError, String(error));
      assert.equal(error.code, cassandra.types.responseErrorCodes.serverError);
      assert.match(error.message, /NO_SPACE/);
    }
    this.refusals.length = 0;
  }

  /** @throws AssertionError if anything acknowledged is not there */
  async verify(client: cassandra.Client): Promise<void> {
    const keys = this.acknowledged.values();
    const read = async () => {
      for (const k of keys) {
        const row = (await client.execute('SELECT v FROM d.t WHERE k = ?', [k])).first();
        assert.ok(row !== null, `key ${k} was acknowledged and is not there`);
        assert.ok(valueOfKey(k).equals(row['v']), `key ${k}`);
      }
    };
    await Promise.all(Array.from({ length: READERS }, read));
  }

  /** Writes until a hundred writes in a row go through. */
  async waitUntilWritable(client: cassandra.Client): Promise<void> {
    const end = performance.now() + RECOVERY_MILLIS;
    for (let inRow = 0; inRow < 100; ) {
      if (await this.put(client)) inRow++;
      else {
        inRow = 0;
        assert.ok(performance.now() < end, `no writes again: ${String(this.refusals.at(-1))}`);
        await sleep(100);
      }
    }
  }
}

async function createTable(client: cassandra.Client): Promise<void> {
  await client.execute(
    "CREATE KEYSPACE d WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  );
  await client.execute('CREATE TABLE d.t (k int PRIMARY KEY, v blob)');
}

/** Takes what room is left to the last block: small files of metadata find none either. */
function fillUp(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (const bytes of [1 << 20, 4096]) {
      const block = Buffer.alloc(bytes);
      while (tryWrite(file, block));
    }
  } finally {
    closeSync(file);
  }
}

function tryWrite(file: number, block: Buffer): boolean {
  try {
    return writeSync(file, block) === block.length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}

const IS_FULL = /The disk is full: .*\(NO_SPACE\)/;

/**
 * Takes all room, and finds that no table can be made. The engine gives room back at moments of its own, by what it
 * removes: then it is taken, too, and another table is tried.
 *
 * @returns how many tables were made before one was refused
 */
async function createUntilRefused(client: cassandra.Client, rest: string): Promise<number> {
  mkdirSync(rest);
  for (let i = 0; i < TABLES_MAX; i++) {
    fillUp(join(rest, String(i)));
    const error = await client.execute(createTableOf(i)).then(
      () => null,
      (reason: unknown) => reason,
    );
    if (error === null) continue;
    assert.match((error as Error).message, IS_FULL);
    return i;
  }
  assert.fail(`${TABLES_MAX} tables were made on a full disk`);
}

const createTableOf = (i: number) => `CREATE TABLE IF NOT EXISTS d.more${i} (k int PRIMARY KEY)`;

interface Case {
  readonly name: string;
  readonly flags: Readonly<Record<string, string>>;
}

const CASES: readonly Case[] = ['group', 'periodic'].flatMap((mode) => [
  {
    name: `a flush finds the disk full, mode ${mode}`,
    flags: { 'commitlog-sync': mode, 'memtable-size': '4MiB' },
  },
  {
    name: `the log finds the disk full, mode ${mode}`,
    flags: { 'commitlog-sync': mode, 'memtable-size': '64MiB', shards: '1' },
  },
]);

for (const { name, flags } of CASES) {
  test(name, { timeout: 240_000 }, async (t) => {
    const disk = mountDisk();
    if (disk === null) return t.skip('mounting a file system is not allowed here');
    try {
      const ballast = join(disk, 'ballast');
      writeFileSync(ballast, Buffer.alloc(BALLAST_BYTES));
      const dataDirectory = join(disk, 'data');
      const ledger = new Ledger();
      {
        await using node = await startNode({ dataDirectory, flags });
        await withClient(node, async (client) => {
          await createTable(client);
          await ledger.fill(client);
          ledger.checkRefusals();
          await ledger.verify(client);
          const rest = join(disk, 'rest');
          const refused = await createUntilRefused(client, rest);
          rmSync(rest, { recursive: true });
          rmSync(ballast);
          const room = performance.now();
          await ledger.waitUntilWritable(client);
          ledger.checkRefusals();
          await ledger.verify(client);
          console.log(`writes go on after ${Math.round(performance.now() - room)} ms`);
          await client.execute(createTableOf(refused));
          await client.execute(`INSERT INTO d.more${refused} (k) VALUES (1)`);
        });
        await node.kill9();
      }
      await using node = await startNode({ dataDirectory, flags });
      await withClient(node, (client) => ledger.verify(client));
    } finally {
      unmount(disk);
    }
  });
}
