/** Requests on a node in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Answer, decodeError } from '../transport/client-codec.ts';
import type { MemoryClient } from '../transport/memory-world.ts';
import { readRows } from '../transport/plain-rows.ts';
import { Opcode } from '../transport/protocol.ts';
import { countsOf, LATENCY_KINDS, type LatencyKind } from './latency.ts';
import { statementId } from './prepared.ts';
import { MemoryNode } from './testing/memory-node.ts';

const KEYSPACE = "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
const DDL = [
  `CREATE KEYSPACE ks ${KEYSPACE}`,
  'CREATE TABLE ks.t (k int, c int, v text, s text static, PRIMARY KEY (k, c))',
  'CREATE TABLE ks.n (k int PRIMARY KEY, n counter)',
];

const texts = (answer: Answer) =>
  readRows(answer).rows.map((row) => row.map((value) => value?.toString() ?? null));

function problem(answer: Answer): string {
  assert.equal(answer.opcode, Opcode.Error);
  return decodeError(answer.body, 4).message;
}

describe('PREPARE after USE', () => {
  const TEXT = 'SELECT v FROM t WHERE k = ?';
  const warning = (keyspace: string | null, text: string) =>
    '`USE <keyspace>` with prepared statements is considered to be an anti-pattern due to ambiguity in non-qualified table names. Please consider removing instances of `Session#setKeyspace(<keyspace>)`, `Session#execute("USE <keyspace>")` and `cluster.newSession(<keyspace>)` from your code, and always use fully qualified table names (e.g. <keyspace>.<table>). ' +
    `Keyspace used: ${keyspace}, statement keyspace: ${keyspace}, statement id: ${statementId(text, keyspace).toString('hex')}`;
  const inKeyspace = async (node: MemoryNode, version: 3 | 4 | 5 = 4) => {
    const client = node.client(version);
    await node.query(client, 'USE ks');
    return client;
  };
  const prepare = async (
    node: MemoryNode,
    client: MemoryClient,
    text: string,
    keyspace: string | null = null,
  ) => (await node.ask(client, (codec) => codec.prepare(1, text, keyspace))).warnings;

  test('is warned of once a connection, where the statement is new', async () => {
    const node = new MemoryNode(DDL);
    const client = await inKeyspace(node);
    assert.deepEqual(await prepare(node, client, 'SELECT v FROM ks.t WHERE k = ?'), []);
    assert.deepEqual(await prepare(node, client, TEXT), [warning('ks', TEXT)]);
    assert.deepEqual(await prepare(node, client, 'SELECT s FROM t WHERE k = ?'), []);
    const other = await inKeyspace(node, 5);
    assert.deepEqual(await prepare(node, other, TEXT), [], 'known already');
    const batch =
      'BEGIN BATCH INSERT INTO ks.t (k, c) VALUES (1, 1); UPDATE t SET s = ? WHERE k = 1; APPLY BATCH';
    assert.deepEqual(await prepare(node, other, batch), [warning('ks', batch)]);
  });

  test('is not for v3, which has no warnings, nor for batches of full names', async () => {
    const node = new MemoryNode(DDL);
    assert.deepEqual(await prepare(node, await inKeyspace(node, 3), TEXT), []);
    const batch = 'BEGIN BATCH INSERT INTO ks.t (k, c) VALUES (1, ?); APPLY BATCH';
    assert.deepEqual(await prepare(node, await inKeyspace(node), batch), []);
  });

  test('is told each time to whom sends the keyspace along', async () => {
    const node = new MemoryNode(DDL);
    const client = node.client(5);
    assert.deepEqual(await prepare(node, client, TEXT, 'ks'), [warning('ks', TEXT)]);
    const second = 'SELECT s FROM t WHERE k = ?';
    assert.deepEqual(await prepare(node, client, second, 'ks'), [warning('ks', second)]);
  });

  test('comes with statements on no rows too, as in Cassandra', async () => {
    const node = new MemoryNode(DDL);
    const text = 'DESCRIBE KEYSPACES';
    const client = node.client();
    assert.deepEqual(await prepare(node, client, text), [warning(null, text)]);
    assert.deepEqual(await prepare(node, client, text), []);
    assert.deepEqual(await prepare(node, node.client(), text), [warning(null, text)]);
  });
});

describe('DESCRIBE in pages', () => {
  const ask = (
    node: MemoryNode,
    client: MemoryClient,
    text: string,
    state?: Uint8Array,
    size = 2,
  ) =>
    node.ask(client, (codec) =>
      codec.query(1, text, {
        pageSize: size,
        ...(state === undefined ? {} : { pagingState: state }),
      }),
    );

  test('all pages together are the whole answer', async () => {
    const node = new MemoryNode(DDL);
    const client = node.client();
    for (const text of ['DESCRIBE KEYSPACES', 'DESCRIBE FULL SCHEMA', 'DESCRIBE CLUSTER']) {
      const whole = await node.query(client, text);
      assert.equal(readRows(whole).table, 'system.describe');
      assert.equal(readRows(whole).pagingState, null);
      const found: (readonly (string | null)[])[] = [];
      let answer = await ask(node, client, text);
      for (;;) {
        const page = texts(answer);
        found.push(...page);
        const { pagingState } = readRows(answer);
        if (pagingState === null) break;
        assert.equal(page.length, 2);
        answer = await ask(node, node.client(), text, pagingState);
      }
      assert.deepEqual(found, texts(whole));
    }
  });

  test('a schema change between pages is told', async () => {
    const node = new MemoryNode(DDL);
    const client = node.client();
    const { pagingState } = readRows(await ask(node, client, 'DESCRIBE TABLES'));
    assert.ok(pagingState !== null);
    await node.query(client, 'CREATE TABLE ks.more (k int PRIMARY KEY)');
    assert.equal(
      problem(await ask(node, client, 'DESCRIBE TABLES', pagingState)),
      'The schema has changed since the previous page of the DESCRIBE statement result. Please retry the DESCRIBE statement.',
    );
  });

  test('states of another kind and pages of nothing are refused', async () => {
    const node = new MemoryNode(DDL);
    const client = node.client();
    const state = Buffer.alloc(21, 1);
    assert.equal(
      problem(await ask(node, client, 'DESCRIBE TABLES', state)),
      'Incompatible paging state',
    );
    assert.equal(
      problem(await ask(node, client, 'DESCRIBE TABLES', undefined, 0)),
      'The page size cannot be 0',
    );
  });
});

test('SELECT JSON of several partitions goes by the column of ORDER BY', async () => {
  const node = new MemoryNode(DDL);
  const client = node.client();
  const key = (k: number, c: number) => `{"k": ${k}, "c": ${c}`;
  for (const [k, c] of [
    [1, 3],
    [1, 1],
    [2, 2],
    [2, 10],
  ]) {
    await node.query(client, `INSERT INTO ks.t (k, c, v) VALUES (${k}, ${c}, 'v${c}')`);
  }
  const select = async (text: string) => texts(await node.query(client, text)).flat();
  const v = (c: number) => `{"v": "v${c}"}`;
  const where = 'FROM ks.t WHERE k IN (1, 2) ORDER BY c';
  assert.deepEqual(await select(`SELECT JSON v ${where} DESC`), [v(10), v(3), v(2), v(1)]);
  assert.deepEqual(await select(`SELECT JSON v ${where} LIMIT 3`), [v(1), v(2), v(3)]);
  assert.deepEqual(
    (await select(`SELECT JSON * ${where}`)).map((text) => text?.split(', "s"')[0]),
    [key(1, 1), key(2, 2), key(1, 3), key(2, 10)],
  );
});

test('requests are timed by kind, failed ones too', async () => {
  const node = new MemoryNode(DDL);
  const client = node.client();
  const run = (text: string) => node.ask(client, (codec) => codec.query(1, text), 10);
  const insert = "INSERT INTO ks.t (k, c, v) VALUES (1, 1, 'a')";
  await run(insert);
  await run('SELECT v FROM ks.t WHERE k = 1 AND c = 1');
  await run('SELECT v FROM ks.t WHERE k = 1');
  await run('SELECT v FROM ks.t WHERE k IN (1, 2) LIMIT 0');
  await run('SELECT v FROM ks.t');
  await run(`${insert} IF NOT EXISTS`);
  await run('UPDATE ks.n SET n = n + 1 WHERE k = 1');
  await run(`BEGIN BATCH ${insert}; APPLY BATCH`);
  await run('DESCRIBE KEYSPACES');
  await node.ask(client, (codec) => codec.batch(1, 0, [{ statement: insert, values: [] }]), 10);
  await node.ask(client, (codec) => codec.prepare(1, insert));
  const wanted: Record<LatencyKind, number> = {
    read: 3,
    scan: 1,
    write: 1,
    counter: 1,
    cas: 1,
    batch: 2,
    prepare: 1,
    other: 1,
  };
  for (const [number, kind] of LATENCY_KINDS.entries()) {
    const count = countsOf(node.latencies, number).reduce((sum, one) => sum + one, 0);
    assert.equal(count, wanted[kind], kind);
    const seconds = kind === 'prepare' ? 0 : 0.01 * wanted[kind];
    assert.ok(Math.abs(node.latencies.seconds[number] - seconds) < 1e-9, kind);
  }
});
