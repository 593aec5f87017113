/**
 * A node whose numbers of workers and shards change at each restart answers what a node does that always has one of each:
 * both are given the same writes, and asked the same questions in the end of each round.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Client, type Outcome } from './cql/client.ts';
import { describeOutcome, parseScript, runStep } from './cql/script.ts';
import { type NodeProcess, startNode, temporaryDirectory } from './support/node-process.ts';

const PARTITIONS = 60;
const WIDE_ROWS = 400;
/** More than is copied at a time when data is laid out anew. */
const LARGE_BYTES = 3 << 20;

const TABLES = [
  "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  'CREATE TYPE k.place (street text, zip int)',
  `CREATE TABLE k.t (p int, c int, s text STATIC, v text, l list<int>, st set<text>, m map<text, int>, u frozen<place>,
    PRIMARY KEY (p, c)) WITH CLUSTERING ORDER BY (c DESC)`,
  'CREATE TABLE k.n (p int, c text, a counter, PRIMARY KEY (p, c))',
  'CREATE TABLE k.w (p text, c bigint, v text, PRIMARY KEY (p, c))',
  'CREATE TABLE k.o (p uuid PRIMARY KEY, v int, at timestamp)',
  'CREATE TABLE k.large (p int PRIMARY KEY, v blob)',
];

/** What every round asks, with `--@` lines as in the corpus. */
const QUESTIONS = parseScript(`
SELECT * FROM k.t;
--@ page 7
SELECT * FROM k.t;
SELECT p, c, writetime(v), writetime(s), ttl(v) FROM k.t;
SELECT DISTINCT p, s, token(p) FROM k.t;
SELECT p, count(*), max(c) FROM k.t GROUP BY p;
SELECT p, c, v FROM k.t PER PARTITION LIMIT 2;
SELECT p, c FROM k.t WHERE token(p) > -2000000000000000000 AND token(p) <= 5000000000000000000;
SELECT * FROM k.t WHERE p IN (1, 2, 3, 4, 5, 6, 7, 8, 9);
--@ bind [1]
--@ bind [2]
--@ bind [59]
SELECT c, v, l, st, m, u FROM k.t WHERE p = ? ORDER BY c ASC;
SELECT c FROM k.t WHERE v = 'conditional' ALLOW FILTERING;
SELECT * FROM k.n;
SELECT count(*), sum(a) FROM k.n;
--@ page 41
SELECT c, v FROM k.w WHERE p = 'wide';
--@ page 53
SELECT c FROM k.w WHERE p = 'wide' ORDER BY c DESC;
SELECT count(*), min(c), max(c) FROM k.w WHERE p = 'wide';
SELECT * FROM k.o;
SELECT p, v FROM k.large;
`);

const id = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;

/** Rows, static cells, collections and their changes, deletions of every kind. */
function* rowWrites(round: number): Generator<string> {
  const base = round * 1000;
  for (let p = 0; p < PARTITIONS; p++) {
    const using = `USING TIMESTAMP ${base + 10}`;
    if (p % 3 === round % 3) yield `INSERT INTO k.t (p, s) VALUES (${p}, 's${round}') ${using}`;
    for (let c = 0; c < 3; c++) {
      const values = `${p}, ${c + round}, 'v${round}', [1, ${p}], {'a', 'r${round}'}, {'x': ${c}}, {street: 's', zip: ${p}}`;
      yield `INSERT INTO k.t (p, c, v, l, st, m, u) VALUES (${values}) ${using}`;
    }
    const later = `USING TIMESTAMP ${base + 20}`;
    const row = `WHERE p = ${p} AND c = ${1 + round}`;
    const changes = [
      `UPDATE k.t ${later} SET st = st + {'b${round}'}, m['y'] = ${round}, l = l + [${round}] ${row}`,
      `DELETE v, m['x'] FROM k.t ${later} ${row}`,
      `DELETE FROM k.t ${later} ${row}`,
      `DELETE FROM k.t ${later} WHERE p = ${p} AND c > ${round} AND c <= ${1 + round}`,
      `DELETE FROM k.t ${later} WHERE p = ${p}`,
      `DELETE s FROM k.t ${later} WHERE p = ${p}`,
      `UPDATE k.t USING TIMESTAMP ${base + 20} AND TTL 0 SET l[0] = 77 ${row}`,
    ];
    yield changes[(p + round) % changes.length];
  }
}

/** Counters, conditional statements, logged batches, a wide partition, keys of another type, a large value. */
function* otherWrites(round: number): Generator<string> {
  for (let p = 0; p < PARTITIONS; p += 2) {
    yield `UPDATE k.n SET a = a + ${p + round} WHERE p = ${p} AND c = 'x'`;
    if (p % 10 === 0) yield `DELETE FROM k.n WHERE p = ${p + 1} AND c = 'y'`;
    yield `UPDATE k.n SET a = a - 1 WHERE p = ${p + 1} AND c = 'z${round % 2}'`;
  }
  for (let p = 0; p < 9; p++) {
    yield `INSERT INTO k.t (p, c, v) VALUES (${p}, 1000, 'first') IF NOT EXISTS`;
    const expected = round === 0 ? 'first' : 'conditional';
    yield `UPDATE k.t SET v = 'conditional' WHERE p = ${p} AND c = 1000 IF v = '${expected}'`;
  }
  for (let from = 0; from < WIDE_ROWS; from += 50) {
    const inserts = Array.from({ length: 50 }, (_, i) => {
      const c = (from + i) * 7 + round;
      return `INSERT INTO k.w (p, c, v) VALUES ('wide', ${c}, 'r${round}');`;
    });
    yield `BEGIN UNLOGGED BATCH USING TIMESTAMP ${round * 1000 + 10} ${inserts.join(' ')} APPLY BATCH`;
  }
  const start = round * 300;
  yield `DELETE FROM k.w USING TIMESTAMP ${round * 1000 + 20} WHERE p = 'wide' AND c > ${start} AND c < ${start + 100}`;
  const orders = Array.from({ length: 20 }, (_, i) => {
    return `INSERT INTO k.o (p, v, at) VALUES (${id(i * 3 + round)}, ${round}, ${i * 1000});`;
  });
  yield `BEGIN BATCH ${orders.join(' ')} APPLY BATCH`;
  yield `DELETE FROM k.o WHERE p = ${id(round * 4)}`;
  yield `INSERT INTO k.large (p, v) VALUES (${round}, 0x${'5a'.repeat(LARGE_BYTES >> 1)})`;
}

async function write(client: Client, statements: Iterable<string>): Promise<void> {
  for (const text of statements) {
    const outcome = await client.query(text);
    assert.notEqual(outcome.kind, 'failed', `${text.slice(0, 300)}: ${describeOutcome(outcome)}`);
  }
}

/** The answers, a large value in them by its length only. */
async function ask(client: Client): Promise<string[]> {
  const answers: string[] = [];
  for (const step of QUESTIONS) {
    const lines = await runStep(client, step);
    const shown = lines.map((line) => line.replace(/0x(?:5a){100,}/g, (v) => `${v.length} digits`));
    answers.push([`> ${step.text}`, ...shown].join('\n'));
  }
  return answers;
}

/** Answers without the times of day that servers give to conditional writes. */
const timeless = (answers: readonly string[]) =>
  answers.map((answer) => answer.replace(/\b\d{16}\b/g, 'now'));

interface Shape {
  readonly workers: string;
  readonly shards: string;
}

const connect = (node: NodeProcess) => Client.open('127.0.0.1', node.cqlPort, 5);

/** What comes after the first page of a query that was begun on a node that is gone. */
async function restOf(client: Client, text: string, first: Outcome): Promise<string[]> {
  const lines: string[] = [];
  for (let page = first; page.kind === 'rows' && page.pagingState !== null; ) {
    page = await client.query(text, { pageSize: 31, pagingState: page.pagingState });
    lines.push(...describeOutcome(page).filter((line) => line.startsWith('  =')));
  }
  return lines;
}

const PAGED = 'SELECT p, c, v FROM k.t';

/** Kills a node that has begun to lay its data out anew. */
async function killWhileCopying(dataDirectory: string, flags: Record<string, string>) {
  await using node = await startNode({ dataDirectory, flags, until: '"table":"k.t"' });
  await node.kill9();
}

test('answers stay the same when shards and workers change at restarts', {
  timeout: 120_000,
}, async () => {
  const dataDirectory = temporaryDirectory();
  const shapes: readonly Shape[] = [
    { workers: '2', shards: '2' },
    { workers: '1', shards: '1' },
    { workers: '2', shards: '4' },
    { workers: '1', shards: '2' },
  ];
  await using reference = await startNode({ flags: { workers: '1', shards: '1' } });
  const wanted = await connect(reference);
  await write(wanted, TABLES);
  let firstPage: Outcome | null = null;
  let before: readonly string[] = [];
  for (const [round, shape] of shapes.entries()) {
    const flags = { ...shape };
    if (round === 2) await killWhileCopying(dataDirectory, flags);
    await using node = await startNode({ dataDirectory, flags });
    const client = await connect(node);
    if (round === 0) await write(client, TABLES);
    else {
      assert.deepEqual(await ask(client), before, `after the restart ${round}`);
      assert.ok(firstPage !== null);
      const rest = await restOf(client, PAGED, firstPage);
      assert.ok(rest.length > 30);
      assert.deepEqual(rest, await restOf(wanted, PAGED, firstPage), 'pages go on');
      const copies = readdirSync(dataDirectory).filter((name) => name.startsWith('shards.'));
      assert.equal(copies.length, 1, 'what was copied is removed');
    }
    for (const one of [client, wanted]) {
      await write(one, rowWrites(round));
      await write(one, otherWrites(round));
    }
    before = await ask(client);
    assert.deepEqual(timeless(before), timeless(await ask(wanted)), `in round ${round}`);
    firstPage = await client.query(PAGED, { pageSize: 31 });
    client.close();
    // In one of the rounds the new layout begins with what only the log has.
    if (round === 1) await node.kill9();
    else assert.deepEqual(await node.stop(), { code: 0, signal: null });
  }
  wanted.close();
});
