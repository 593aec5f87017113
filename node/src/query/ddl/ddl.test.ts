import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SchemaStatement } from '../../cql/ast.ts';
import { parseStatement } from '../../cql/index.ts';
import { EMPTY_SCHEMA, type Schema, type TableDef } from '../../schema/schema.ts';
import { sameType } from '../../types/type-facts.ts';
import { planSchemaChange, type SchemaOutcome } from '../ddl.ts';

const KEYSPACE =
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";

class Session {
  schema: Schema = EMPTY_SCHEMA;
  private ids = 0;

  run(...texts: readonly string[]): SchemaOutcome {
    const [first, ...rest] = texts;
    const statement = parseStatement(first) as SchemaStatement;
    const outcome = planSchemaChange(statement, this.schema, 'ks', {
      newId: () => `00000000-0000-1000-8000-${String(++this.ids).padStart(12, '0')}`,
      nowMicros: 1_000_000 + this.ids,
    });
    this.schema = outcome.schema;
    return rest.length === 0 ? outcome : this.run(...rest);
  }

  table(name: string): TableDef {
    return this.schema.keyspaces.get('ks')?.tables.get(name) as TableDef;
  }

  type(column: string) {
    const found = this.table('t').columns.find(({ name }) => name === column);
    assert.ok(found !== undefined);
    return found.type;
  }
}

test('each change counts and has a version of its own; what changes nothing gives the same schema', () => {
  const session = new Session();
  session.run(KEYSPACE, 'CREATE TABLE t (a int PRIMARY KEY)');
  const before = session.schema;
  assert.equal(before.epoch, 2);
  for (const text of [
    'CREATE TABLE IF NOT EXISTS t (b int PRIMARY KEY)',
    'DROP TABLE IF EXISTS nope',
    'ALTER TABLE IF EXISTS nope ADD x int',
    'ALTER TABLE t ADD IF NOT EXISTS a int',
    'ALTER TABLE t DROP IF EXISTS x',
    'CREATE KEYSPACE IF NOT EXISTS ks WITH replication = {}'.replace(
      '{}',
      "{'class': 'SimpleStrategy'}",
    ),
    'DROP TYPE IF EXISTS nope',
  ]) {
    const outcome = session.run(text);
    assert.equal(outcome.schema, before, text);
    assert.equal(outcome.event, null, text);
  }
  session.run('ALTER TABLE t ADD b int');
  assert.equal(session.schema.epoch, 3);
  assert.notEqual(session.schema.version, before.version);
  assert.equal(before.keyspaces.get('ks')?.tables.get('t')?.columns.length, 1);
});

test('a column that is dropped and comes back has a new id', () => {
  const session = new Session();
  session.run(KEYSPACE, 'CREATE TABLE t (a int, b int, c int, d int static, PRIMARY KEY (a, b))');
  const ids = () =>
    Object.fromEntries(session.table('t').columns.map(({ name, id }) => [name, id]));
  assert.deepEqual(ids(), { a: 0, b: 1, d: 3, c: 2 });
  session.run('ALTER TABLE t DROP (c, d)', 'ALTER TABLE t ADD (e int, c int)');
  assert.deepEqual(ids(), { a: 0, b: 1, c: 5, e: 4 });
  assert.equal(session.table('t').nextColumnId, 6);
  assert.deepEqual(
    session.table('t').droppedColumns.map(({ name, isStatic }) => [name, isStatic]),
    [
      ['c', false],
      ['d', true],
    ],
  );
});

test('a type that grows does so in every table and type, frozen inside what is frozen', () => {
  const session = new Session();
  session.run(
    KEYSPACE,
    'CREATE TYPE u (a int)',
    'CREATE TYPE w (u frozen<u>)',
    'CREATE TABLE t (k int PRIMARY KEY, f frozen<u>, l list<frozen<w>>)',
  );
  const outcome = session.run('ALTER TYPE u ADD b list<int>');
  assert.deepEqual(
    outcome.altered.map((table) => table.name),
    ['t'],
  );
  assert.equal(outcome.altered[0], session.table('t'));
  const altered = [session.type('f'), session.type('l')];
  session.run('CREATE TABLE t2 (k int PRIMARY KEY, f frozen<u>, l list<frozen<w>>)');
  const fresh = session.table('t2').columns;
  assert.ok(altered.every((type) => fresh.some((column) => sameType(column.type, type))));
});

test('a keyspace takes its tables along', () => {
  const session = new Session();
  session.run(KEYSPACE, 'CREATE TABLE t (a int PRIMARY KEY)', 'CREATE TABLE s (a int PRIMARY KEY)');
  const outcome = session.run('DROP KEYSPACE ks');
  assert.deepEqual(
    outcome.dropped.map((table) => table.name),
    ['t', 's'],
  );
  assert.deepEqual(outcome.event, { change: 'DROPPED', target: 'KEYSPACE', keyspace: 'ks' });
});
