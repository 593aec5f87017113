import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableDef } from '../schema/schema.ts';
import { familyName } from '../schema/schema.ts';
import { asideName } from './families.ts';
import type { KvEngine, KvStore } from './kv.ts';
import { LocalStore, type WriteSink } from './local-store.ts';
import type { TableHandle } from './record-source.ts';

const TABLE = { keyspace: 'ks', name: 't', id: '7-7', generation: 1 } as unknown as TableDef;
const MAIN = 3;
const ASIDE = 9;

/** A store of one shard whose batches are done when the test says so. */
function newStore(families: Readonly<Record<string, number>>) {
  const batches: Buffer[] = [];
  const tickets: number[] = [];
  let done: (tickets: Float64Array, statuses: Uint8Array, count: number) => void = () => {};
  const store = {
    path: 'x',
    families: () => new Map(Object.entries(families)),
    submit: (batch: Uint8Array, length: number, ticket: number) => {
      batches.push(Buffer.from(batch.subarray(0, length)));
      tickets.push(ticket);
      return true;
    },
  };
  const engine = {
    onComplete: (handler: typeof done) => {
      done = handler;
    },
  };
  const local = new LocalStore(engine as unknown as KvEngine, [store as unknown as KvStore], {
    scheduleFlush: () => {},
    afterAnswers: () => {},
  });
  const handle: TableHandle = { table: TABLE, keys: {} as never, families: [MAIN] };
  const write = (bucket: number, sink: WriteSink) => {
    const key = Buffer.from([bucket >> 8, bucket & 0xff, 1, 2, 3, 4, 5, 6, 7]);
    local.addSink(local.merge(handle, key, key.length, Buffer.from('record'), 6), sink);
  };
  const complete = (ticket: number) => done(Float64Array.of(ticket), Uint8Array.of(0), 1);
  return { local, batches, tickets, write, complete };
}

const SINK: WriteSink = { written: () => {} };
const name = familyName(TABLE);

/** The family of the only record of a batch: a varint behind the head and the tag. */
function familyIn(batch: Buffer): number {
  return batch[13];
}

test('what is written into a range that has not arrived is kept aside', () => {
  const { local, batches, write } = newStore({ [name]: MAIN, [asideName(name)]: ASIDE });
  const into = (bucket: number) => {
    write(bucket, SINK);
    local.flush();
    return familyIn(batches.at(-1) as Buffer);
  };
  assert.equal(into(500), MAIN);
  local.setAside([{ table: TABLE, ranges: [{ first: 256, last: 511 }] }]);
  assert.deepEqual([255, 256, 500, 511, 512].map(into), [MAIN, ASIDE, ASIDE, ASIDE, MAIN]);
  // Another table, or the same one after it was truncated.
  local.setAside([{ table: { ...TABLE, generation: 2 }, ranges: [{ first: 0, last: 65535 }] }]);
  assert.equal(into(500), MAIN);
  local.setAside([]);
  assert.equal(into(500), MAIN);
});

test('never into the table if there is nowhere to keep it', () => {
  const { local, batches, write } = newStore({ [name]: MAIN });
  local.setAside([{ table: TABLE, ranges: [{ first: 256, last: 511 }] }]);
  assert.throws(() => write(300, SINK), /not ready/);
  local.flush();
  assert.equal(batches.length, 0);
  write(512, SINK);
});

test('drained: what was accepted before has been applied', async () => {
  const { local, tickets, write, complete } = newStore({ [name]: MAIN });
  await local.drained();
  write(1, SINK);
  local.flush();
  write(2, SINK);
  let isDrained = false;
  const drained = local.drained().then(() => {
    isDrained = true;
  });
  assert.equal(tickets.length, 2);
  write(3, SINK);
  local.flush();
  complete(tickets[1]);
  await new Promise(setImmediate);
  assert.equal(isDrained, false);
  complete(tickets[0]);
  await drained;
  assert.equal(tickets.length, 3);
});
