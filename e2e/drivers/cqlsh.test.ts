/** The unmodified cqlsh 6.2 from PyPI: a session with every kind of statement, DESCRIBE, COPY, SOURCE, TRACING. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type NodeProcess, startNode } from '../support/node-process.ts';
import { pythonEnvironment, runTool } from '../support/tools.ts';

const python = await pythonEnvironment();
const options = { skip: python.missing };
const directory = mkdtempSync(join(tmpdir(), 'ilion-cqlsh-'));
let node: NodeProcess;

before(async () => {
  if (python.missing === false) node = await startNode();
});
after(async () => {
  if (python.missing === false) await node.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function cqlsh(script: string, milliseconds = 120_000): Promise<string> {
  const file = join(directory, 'script.cql');
  writeFileSync(file, script);
  const args = [
    '127.0.0.1',
    String(node.cqlPort),
    '-f',
    file,
    '--request-timeout=60',
    '--no-color',
  ];
  const { output } = await runTool(`${python.bin}/cqlsh`, args, milliseconds);
  return output.replaceAll(/^WARNING: cqlsh was built.*\n/gm, '');
}

test('a session of statements', options, async () => {
  const output = await cqlsh(`
CREATE KEYSPACE s WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
USE s;
CREATE TYPE addr (street text, zip int);
CREATE TABLE t (k int, c int, s text static, m map<text, int>, u addr, v vector<float, 2>, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC) AND comment = 'it''s';
INSERT INTO t (k, c, s, m, u, v) VALUES (1, 2, 'st', {'a': 1}, {street: 'x', zip: 7}, [1, 0.5]);
UPDATE t SET m['b'] = 2, u.zip = 8 WHERE k = 1 AND c = 2;
SELECT * FROM t;
EXPAND ON
SELECT k, c FROM t;
EXPAND OFF
INSERT INTO t (k, c) VALUES (1, 2) IF NOT EXISTS;
BEGIN BATCH INSERT INTO t (k, c) VALUES (2, 1); DELETE FROM t WHERE k = 1; APPLY BATCH;
SELECT JSON k, c, s FROM t;
ALTER TABLE t ADD extra int;
ALTER TYPE addr ADD country text;
DESCRIBE TABLE t;
DESCRIBE TYPE addr;
DESCRIBE KEYSPACES;
TRACING ON
SELECT * FROM t WHERE k = 2;
TRACING OFF
CREATE INDEX ON t (extra);
SELECT * FROM missing;
TRUNCATE t;
SELECT count(*) FROM t;
DROP TABLE t;
DROP TYPE addr;
DROP KEYSPACE s;
`);
  assert.match(
    output,
    / 1 \| 2 \| st \| \{'a': 1, 'b': 2\} \| \{street: 'x', zip: 8\} \| \[1, 0.5\]/,
  );
  assert.match(output, /@ Row 1\n-+\+-+\n k \| 1\n c \| 2/);
  assert.match(output, /\[applied\] \| k \| c/);
  assert.match(output, /\{"k": 2, "c": 1, "s": null\}/);
  assert.match(
    output,
    /CREATE TABLE s\.t \(\n {4}k int,\n {4}c int,\n {4}s text static,\n {4}extra int,/,
  );
  assert.match(output, /WITH CLUSTERING ORDER BY \(c DESC\)[\s\S]*AND comment = 'it''s'/);
  assert.match(
    output,
    /CREATE TYPE s\.addr \(\n {4}street text,\n {4}zip int,\n {4}country text\n\);/,
  );
  assert.match(output, /system_virtual_schema/);
  assert.match(output, /Tracing session: [0-9a-f-]{36}/);
  assert.match(output, /Request complete/);
  assert.match(output, /not supported/i);
  assert.match(output, /code=2200 \[Invalid query\] message="table missing does not exist"/);
  assert.match(output, /\n {5}0\n/);
  assert.doesNotMatch(output, /code=0000|ServerError|Traceback/);
});

test('DESCRIBE in all forms', options, async () => {
  const output = await cqlsh(`
CREATE KEYSPACE d WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1} AND durable_writes = false;
CREATE TABLE d.a (k int PRIMARY KEY);
DESCRIBE CLUSTER;
DESCRIBE SCHEMA;
DESCRIBE FULL SCHEMA;
DESCRIBE KEYSPACE d;
DESCRIBE TABLES;
DESCRIBE TYPES;
DESCRIBE FUNCTIONS;
DESCRIBE AGGREGATES;
DESCRIBE d.a;
DESCRIBE TABLE d.a WITH INTERNALS;
DESCRIBE TABLE d.none;
`);
  assert.match(output, /Cluster: Ilion/);
  assert.match(
    output,
    /CREATE KEYSPACE d WITH replication = \{'class': 'NetworkTopologyStrategy', 'datacenter1': '1'\} {2}AND durable_writes = false;/,
  );
  assert.match(output, /CREATE TABLE system_schema\.tables/);
  assert.match(output, /ID = [0-9a-f-]{36}/);
  assert.match(output, /'none' not found in keyspace 'd'/);
  assert.doesNotMatch(output, /code=0000|Traceback/);
});

test('COPY TO and COPY FROM of 100,000 rows, SOURCE', options, async () => {
  const rows = 100_000;
  const csv = join(directory, 'in.csv');
  const lines = Array.from(
    { length: rows },
    (_, i) => `${i},"text, ${i}",${i % 2 === 0 ? 'True' : 'False'},${i / 4}`,
  );
  writeFileSync(csv, `${lines.join('\n')}\n`);
  const sourced = join(directory, 'sourced.cql');
  writeFileSync(sourced, 'SELECT count(*) FROM c.t;\n');
  const out = join(directory, 'out.csv');
  const output = await cqlsh(
    `CREATE KEYSPACE c WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
CREATE TABLE c.t (k int PRIMARY KEY, v text, b boolean, d double);
COPY c.t (k, v, b, d) FROM '${csv}';
SOURCE '${sourced}'
COPY c.t (k, v, b, d) TO '${out}';
`,
    300_000,
  );
  assert.match(output, new RegExp(`${rows} rows imported`), output);
  assert.match(output, new RegExp(`\\n +${rows}\\n`), output);
  assert.match(output, new RegExp(`${rows} rows exported`), output);
  const back = readFileSync(out, 'utf8').trim().split(/\r?\n/);
  const byKey = (a: string, b: string) => Number.parseInt(a, 10) - Number.parseInt(b, 10);
  assert.deepEqual(
    back.sort(byKey).map((line) => line.replace(/\.0$/, '')),
    lines,
  );
});
