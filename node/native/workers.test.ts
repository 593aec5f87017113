/** Many workers on one store, and workers that end in the middle of everything. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { familyId, get, keysOf, openStore, put, scratchDirectory } from './testing.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 50);

const path = join(scratchDirectory(), 'db');
const store = await openStore(path);
const rows = familyId(store, 'rows');

/** What a worker (or another process) begins with: `store`, `rows`, `write`, `busy`. */
const PREAMBLE = `
import { createNativeEngine } from ${JSON.stringify(import.meta.resolve('./index.ts'))};
import { openOptions, testProcess } from ${JSON.stringify(import.meta.resolve('./testing.ts'))};
import { WriteBatchBuilder } from ${JSON.stringify(import.meta.resolve('../src/storage/write-batch.ts'))};
const engine = createNativeEngine(testProcess);
const batch = new WriteBatchBuilder();
const pending = new Map();
engine.onComplete((tickets, statuses, count) => {
  for (let i = 0; i < count; i++) {
    pending.get(tickets[i])?.(statuses[i]);
    pending.delete(tickets[i]);
  }
});
let nextTicket = 1;
async function open(path) {
  const store = await engine.open(path, openOptions());
  return { store, rows: store.families().get('rows') };
}
function write(store, family, key) {
  batch.clear();
  const bytes = Buffer.from(key);
  batch.put(family, bytes, bytes.length, bytes, bytes.length);
  const ticket = nextTicket++;
  if (!store.submit(batch.bytes, batch.length, ticket)) return Promise.resolve(-1);
  return new Promise((resolve) => pending.set(ticket, resolve));
}
/** Everything at once, without end: writes, reads, iterators, snapshots, long jobs. */
async function busy(store, rows) {
  const request = Buffer.alloc(9);
  request.writeUInt32LE(rows, 0);
  request.writeUInt32LE(1, 4);
  request[8] = 97;
  const out = Buffer.alloc(1 << 16);
  const kept = [store.snapshot(), store.iterator(rows, null, null, { cacheOnly: true })];
  store.onEvent(() => {});
  for (let i = 0; ; i++) {
    const iterator = store.iterator(rows, null, null);
    const jobs = [iterator.nextAsync(out, 1000), store.multiGetAsync(request, 1)];
    for (let j = 0; j < 20; j++) jobs.push(write(store, rows, 'busy' + (i % 100) + '.' + j));
    store.multiGet(request, 1, out.subarray(1 << 15));
    if (i % 7 === 0) jobs.push(store.flush(rows), store.syncWal());
    if (i % 31 === 0) jobs.push(store.compact(rows));
    kept[1].seek(request);
    await Promise.all(jobs);
    if (i % 3 === 0) iterator.close();
  }
}
`;

function startWorker(script: string): Worker {
  const source = `${PREAMBLE}
import { parentPort } from 'node:worker_threads';
const { store, rows } = await open(${JSON.stringify(path)});
${script}`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
}

test('workers share one instance, and each gets its own completions', async () => {
  await put(store, rows, 'a', 'from main');
  const workers = ['w1', 'w2', 'w3'].map((name) =>
    startWorker(`
      const statuses = [];
      for (let i = 0; i < 50; i++) statuses.push(write(store, rows, '${name}.' + i));
      parentPort.postMessage(await Promise.all(statuses));
      await store.close();`),
  );
  const ends = workers.map((worker) =>
    Promise.all([once(worker, 'message'), once(worker, 'exit')]),
  );
  for (const [[statuses]] of await Promise.all(ends)) {
    assert.deepEqual(statuses, new Array(50).fill(0));
  }
  const keys = await keysOf(store, rows);
  assert.equal(keys.filter((key) => key.startsWith('w')).length, 150);
});

test('a worker that simply ends leaves nothing behind', async () => {
  const worker = startWorker(`
    await write(store, rows, 'left behind');
    store.iterator(rows, null, null).next(Buffer.alloc(1000), 1);
    store.snapshot();`);
  const [code] = await once(worker, 'exit');
  assert.equal(code, 0);
  assert.notEqual(await get(store, rows, 'left behind'), null);
  assert.equal(
    store.property(rows, 'rocksdb.num-snapshots') === '0' || (await noSnapshots()),
    true,
  );
});

/** The handle of a worker ends on a thread, soon after the worker. */
async function noSnapshots(): Promise<void> {
  while (store.property(rows, 'rocksdb.num-snapshots') !== '0') {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test(`workers are terminated with work in flight (${ROUNDS} times)`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const worker = startWorker(`parentPort.postMessage('on'); await busy(store, rows);`);
    worker.on('error', (error) => assert.fail(error));
    await once(worker, 'message');
    await new Promise((resolve) => setTimeout(resolve, (round * 7) % 30));
    await put(store, rows, 'a', `round ${round}`);
    await worker.terminate();
  }
  assert.deepEqual(await get(store, rows, 'a'), Buffer.from(`round ${ROUNDS - 1}`));
  await noSnapshots();
});

test('a worker terminated while it opens or closes', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const worker = startWorker(`
      parentPort.postMessage('on');
      for (;;) {
        const more = await Promise.all([open(${JSON.stringify(path)}), open(${JSON.stringify(`${path}-${round}`)})]);
        await Promise.all(more.map((one) => one.store.close()));
      }`);
    await once(worker, 'message');
    await new Promise((resolve) => setTimeout(resolve, (round * 3) % 20));
    await worker.terminate();
  }
  assert.notEqual(await get(store, rows, 'a'), null);
});

/** Runs a process to its end; rejects if it crashes. */
function run(script: string): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
}

test('process.exit and a natural end in the middle of work do not crash', async () => {
  const directory = scratchDirectory();
  for (let round = 0; round < 8; round++) {
    const own = JSON.stringify(join(directory, `exit-${round % 2}`));
    const end =
      round % 4 < 2
        ? `setTimeout(() => process.exit(0), ${10 + round * 5});`
        : `setTimeout(() => { process.exitCode = 0; throw 0; }, 20);
           process.on('uncaughtException', () => process.exit(0));`;
    await run(`${PREAMBLE}
      const { store, rows } = await open(${own});
      ${end}
      await busy(store, rows);`);
  }
  for (let round = 0; round < 8; round++) {
    const { stdout } = await run(`${PREAMBLE}
      const { store, rows } = await open(${JSON.stringify(join(directory, 'natural'))});
      await write(store, rows, 'k');
      console.log('not closed');`);
    assert.equal(stdout, 'not closed\n');
  }
});

test('the addon stays when the last worker that loaded it is gone', async () => {
  const directory = scratchDirectory();
  const source = `${PREAMBLE}
    const { store, rows } = await open(${JSON.stringify(join(directory, 'db'))});
    for (let i = 0; i < 100; i++) void write(store, rows, 'k' + i);
    await write(store, rows, 'last');`;
  const { stdout } = await run(`
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    const source = ${JSON.stringify(`data:text/javascript,${encodeURIComponent(source)}`)};
    for (let i = 0; i < 5; i++) await once(new Worker(new URL(source)), 'exit');
    console.log('done');`);
  assert.equal(stdout, 'done\n');
});
