/** Exact messages. Those marked as Cassandra's were checked against Apache Cassandra 5.0.9. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NESTING_DEPTH_MAX, STATEMENT_LENGTH_MAX } from './cursor.ts';
import { CqlSyntaxError } from './errors.ts';
import { parseStatement, parseType } from './parser.ts';

function errorOf(run: () => unknown): CqlSyntaxError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof CqlSyntaxError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'expected a syntax error' });
}

function messageOf(cql: string): string {
  return errorOf(() => parseStatement(cql)).message;
}

const asCassandra: readonly (readonly [cql: string, message: string])[] = [
  ['', "line 0:-1 no viable alternative at input '<EOF>'"],
  [';', "line 1:0 no viable alternative at input ';' ([;])"],
  ['FOO', "line 1:0 no viable alternative at input 'FOO' ([FOO])"],
  ['SELECT * FORM t', "line 1:9 mismatched input 'FORM' expecting K_FROM (SELECT * [FORM]...)"],
  ['SELECT FROM t', "line 1:7 no viable alternative at input 'FROM' (SELECT [FROM]...)"],
  ['SELECT a b FROM t', "line 1:9 no viable alternative at input 'b' (SELECT [a] b...)"],
  ['SELECT a FROM', "line 0:-1 no viable alternative at input '<EOF>'"],
  ['SELECT * FROM t WHERE', "line 0:-1 no viable alternative at input '<EOF>'"],
  ['SELECT a', "line 0:-1 mismatched input '<EOF>' expecting K_FROM"],
  [
    'SELECT * FROM t LIMIT x',
    "line 1:22 no viable alternative at input 'x' (SELECT * FROM t LIMIT [x])",
  ],
  [
    'SELECT * FROM t; SELECT',
    "line 1:17 mismatched input 'SELECT' expecting EOF (SELECT * FROM t; [SELECT])",
  ],
  [
    '\n  select * from users;\n  select',
    "line 3:2 mismatched input 'select' expecting EOF (  select * from users;  [select])",
  ],
  [
    'SELECT * FROM t WHERE token(a > 1',
    "line 1:30 mismatched input '>' expecting ')' (...FROM t WHERE token(a [>]...)",
  ],
  ['SELECT * FROM t WHERE a = @', "line 1:26 no viable alternative at character '@'"],
  ["SELECT * FROM t WHERE a = 'abc", "line 1:30 mismatched character '<EOF>' expecting '''"],
  ['SELECT * FROM ?.t', 'Bind variables cannot be used for keyspace names'],
  ['SELECT * FROM ks.?', 'Bind variables cannot be used for table names'],
  [
    'CREATE TABEL foo (a int)',
    "line 1:7 no viable alternative at input 'TABEL' ([CREATE] TABEL...)",
  ],
  [
    'CREATE TABLE t (select int)',
    "line 1:16 no viable alternative at input 'select' (CREATE TABLE t ([select]...)",
  ],
  [
    "CREATE TABLE t (a int) WITH x = {'a': ?}",
    "Invalid property value: ? for property: 'a' (bind variables are not supported in DDL queries)",
  ],
  ['CREATE TABLE t (a int) WITH x = 1 AND x = 2', "Multiple definitions for property 'x'"],
  ['CREATE TYPE enum (a int)', 'Invalid (reserved) user type name enum'],
  [
    'CREATE TYPE date (a int)',
    "line 1:17 mismatched input '(' expecting '.' (CREATE TYPE date [(]...)",
  ],
  ['DROP foo', "line 1:5 no viable alternative at input 'foo' ([DROP] foo)"],
  ['LIST foo', "line 1:5 no viable alternative at input 'foo' ([LIST] foo)"],
  ['GRANT FOO ON x TO y', "line 1:10 mismatched input 'ON' expecting K_TO (GRANT FOO [ON]...)"],
  [
    'INSERT INTO t VALUES (1)',
    "line 1:14 no viable alternative at input 'VALUES' (INSERT INTO [t] VALUES...)",
  ],
  [
    'INSERT INTO t (a b) VALUES (1)',
    "line 1:17 mismatched input 'b' expecting ')' (INSERT INTO t (a [b]...)",
  ],
  ['INSERT INTO t (a, b) VALUES (1', "line 0:-1 mismatched input '<EOF>' expecting ')'"],
  [
    'UPDATE t SET a = b + 1 WHERE k = 1',
    'Only expressions of the form X = X +<value> are supported.',
  ],
  ['UPDATE t SET a = 1, a = 2 WHERE k = 1', 'Multiple incompatible setting of column a'],
  ['DELETE FROM t', "line 0:-1 mismatched input '<EOF>' expecting K_WHERE"],
  ['DELETE a[1 FROM t', "line 1:11 no viable alternative at input 'FROM' (DELETE a[1 [FROM]...)"],
  [
    'BEGIN BATCH SELECT',
    "line 1:12 mismatched input 'SELECT' expecting K_APPLY (BEGIN BATCH [SELECT])",
  ],
  ['DESC foo.bar.baz', "line 1:12 mismatched input '.' expecting EOF (DESC foo.bar[.]...)"],
  [
    'DESC FULL KEYSPACE',
    "line 1:10 mismatched input 'KEYSPACE' expecting K_SCHEMA (DESC FULL [KEYSPACE])",
  ],
  [
    'CREATE USER "x"',
    'Quoted strings are are not supported for user names and USER is deprecated, please use ROLE',
  ],
];

for (const [cql, message] of asCassandra) {
  test(`as Cassandra: ${JSON.stringify(cql)}`, () => assert.equal(messageOf(cql), message));
}

test('an error has its line and column, at the end of the text where that came too early', () => {
  const misplaced = errorOf(() => parseStatement('SELECT a\nFROM t\nWERE b = 1'));
  assert.deepEqual([misplaced.line, misplaced.column], [3, 0]);
  const unfinished = errorOf(() => parseStatement('SELECT a\nFROM'));
  assert.deepEqual([unfinished.line, unfinished.column], [2, 4]);
});

test('a comment that is never closed', () => {
  assert.equal(
    messageOf('SELECT /* a FROM t'),
    "line 1:18 mismatched character '<EOF>' expecting '*'",
  );
});

test('a vector dimension must fit an int', () => {
  assert.equal(
    errorOf(() => parseType('vector<int, 2147483648>')).message,
    'line 1:12 vector dimension 2147483648 is out of range',
  );
});

test('nesting is bounded, whatever nests', () => {
  const deep = 100_000;
  const texts = [
    `SELECT ${'('.repeat(deep)}`,
    `SELECT ${'- '.repeat(deep)}a FROM t`,
    `SELECT ${'f('.repeat(deep)}`,
    `SELECT ${'(int)'.repeat(deep)}1 FROM t`,
    `SELECT a FROM t WHERE ${'('.repeat(deep)}`,
    `SELECT a FROM t WHERE a = ${'['.repeat(deep)}`,
    `SELECT a FROM t WHERE a = ${'{1:'.repeat(deep)}`,
    `SELECT a FROM t WHERE a = ${'cast('.repeat(deep)}`,
    `SELECT a FROM t WHERE a = ${'(int)'.repeat(deep)}1`,
    `CREATE TABLE t (a ${'list<'.repeat(deep)}`,
    `CREATE TABLE t (a ${'tuple<'.repeat(deep)}`,
  ];
  for (const text of texts) {
    const started = performance.now();
    assert.match(messageOf(text), /nested deeper than 128 levels$/, text.slice(0, 40));
    assert.ok(performance.now() - started < 2000);
  }
  const most = NESTING_DEPTH_MAX - 1;
  parseStatement(`SELECT a FROM t WHERE a = ${'['.repeat(most)}${']'.repeat(most)}`);
});

test('long chains make a bounded tree', () => {
  const chain = (operator: string): string => `SELECT ${`a${operator}`.repeat(100_000)}a FROM t`;
  for (const operator of [' + ', ' * ', '.']) {
    assert.match(messageOf(chain(operator)), /deeper than 1000 levels/);
  }
  parseStatement(`SELECT ${'a + '.repeat(900)}a FROM t`);
});

test('a text too long is refused before it is read', () => {
  assert.match(messageOf(' '.repeat(STATEMENT_LENGTH_MAX + 1)), /is longer than 16777216/);
});

test('a message repeats no more than a piece of a long token', () => {
  assert.ok(messageOf(`SELECT '${'x'.repeat(1e6)}' '${'y'.repeat(1e6)}' FROM t`).length < 2000);
});
