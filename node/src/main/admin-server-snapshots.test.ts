import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { KvError } from '../storage/kv.ts';
import { AdminError, type AdminErrorCode } from './admin-messages.ts';
import { Snapshots } from './admin-server-snapshots.ts';

let data = '';

beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'ilion-snapshots-'));
  saveMetadata(0);
});

afterEach(() => rmSync(data, { recursive: true, force: true }));

function saveMetadata(epoch: number): void {
  writeFileSync(join(data, 'metadata.json'), JSON.stringify({ format: 1, layout: 3, epoch }));
}

/** A shard whose checkpoint is one file that holds its number. */
function shard(index: number, onCheckpoint: () => void = () => {}) {
  return {
    path: join(data, 'shards.3', String(index)),
    checkpoint: async (directory: string) => {
      onCheckpoint();
      mkdirSync(directory);
      writeFileSync(join(directory, 'CURRENT'), `shard ${index}`);
    },
  };
}

function snapshots(...stores: ReturnType<typeof shard>[]): Snapshots {
  return new Snapshots({ dataDirectory: data, stores, nowMs: () => Date.UTC(2026, 7, 1, 12, 30) });
}

function refusal(code: AdminErrorCode, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof AdminError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

const kept = () => readdirSync(join(data, 'snapshots'));

test('every shard and the metadata, laid out as a data directory', async () => {
  const all = snapshots(shard(0), shard(1));
  const info = await all.create('a');
  assert.equal(info.directory, join(data, 'snapshots/a'));
  const read = (path: string) => readFileSync(join(info.directory, path), 'utf8');
  assert.equal(read('shards.3/0/CURRENT'), 'shard 0');
  assert.equal(read('shards.3/1/CURRENT'), 'shard 1');
  assert.equal(read('metadata.json'), readFileSync(join(data, 'metadata.json'), 'utf8'));
  assert.equal(info.bytes, 14 + read('metadata.json').length);
  assert.equal((await all.create('')).name, '20260801T123000Z');
  assert.deepEqual((await all.list()).map(({ name }) => name).sort(), ['20260801T123000Z', 'a']);
  await all.drop('a');
  assert.deepEqual(kept(), ['20260801T123000Z']);
});

test('names that could leave the directory are refused, everywhere', async () => {
  const all = snapshots(shard(0));
  const long = 'x'.repeat(129);
  for (const name of ['..', '.', '../a', 'a/b', '/etc', '.partial-a', 'a\0', 'a b', 'ä', long]) {
    const refused = refusal('INVALID_ARGUMENT', /cannot be the name of a snapshot: use/);
    await assert.rejects(all.create(name), refused);
    await assert.rejects(all.drop(name), refused);
  }
  await assert.rejects(all.drop(''), refusal('INVALID_ARGUMENT', /cannot be the name/));
  await all.create('x'.repeat(128));
});

test('an existing name and an unknown one are refused', async () => {
  const all = snapshots(shard(0));
  await all.create('a');
  await assert.rejects(all.create('a'), refusal('ALREADY_EXISTS', /drop-snapshot a/));
  await assert.rejects(all.drop('b'), refusal('NOT_FOUND', /there is no snapshot 'b'/));
  assert.deepEqual(kept(), ['a']);
});

test('all or nothing: a shard that fails leaves nothing', async () => {
  const failing = shard(1, () => {
    throw new KvError('NO_SPACE', 'no space left');
  });
  const all = snapshots(shard(0), failing);
  await assert.rejects(all.create('a'), refusal('RESOURCE_EXHAUSTED', /the disk is full/));
  assert.deepEqual(kept(), []);
  assert.deepEqual(await all.list(), []);
});

test('what a crash has left is not listed, and removed with the next', async () => {
  mkdirSync(join(data, 'snapshots/.partial-old/shards.3'), { recursive: true });
  const all = snapshots(shard(0));
  assert.deepEqual(await all.list(), []);
  await all.create('a');
  assert.deepEqual(kept(), ['a']);
});

test('a schema that changes meanwhile: made anew, with the schema that fits', async () => {
  let times = 0;
  const changing = shard(0, () => {
    if (times++ < 2) saveMetadata(times);
  });
  const info = await snapshots(changing).create('a');
  assert.equal(times, 3);
  const saved = JSON.parse(readFileSync(join(info.directory, 'metadata.json'), 'utf8'));
  assert.equal(saved.epoch, 2);

  const restless = shard(0, () => saveMetadata(++times));
  await assert.rejects(snapshots(restless).create('b'), refusal('ABORTED', /try again/));
  assert.deepEqual(kept(), ['a']);
});

test('calls at the same time run one after another', async () => {
  const all = snapshots(shard(0));
  const results = await Promise.allSettled([all.create('a'), all.create('a'), all.drop('a')]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(kept(), []);
});
