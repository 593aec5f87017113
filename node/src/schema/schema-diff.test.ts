import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SchemaStatement } from '../cql/ast.ts';
import { parseStatement } from '../cql/index.ts';
import { planSchemaChange } from '../query/ddl.ts';
import { EMPTY_SCHEMA, familyName, type Schema, type TableDef, withTable } from './schema.ts';
import { diffSchemas } from './schema-diff.ts';
import { schemaFromJson, schemaToJson } from './schema-json.ts';

/** As it comes over a link: equal, and no object shared. */
function copied(schema: Schema): Schema {
  return schemaFromJson(JSON.parse(JSON.stringify(schemaToJson(schema))));
}

const names = (tables: readonly TableDef[]) => tables.map(familyName).sort();

test('each statement differs by what its plan says', () => {
  let schema = EMPTY_SCHEMA;
  let ids = 0;
  for (const [text, ...others] of [
    ["CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"],
    ['CREATE TYPE ks.pair (a int, b text)'],
    ['CREATE TABLE ks.t (k int PRIMARY KEY, v int, p frozen<pair>)'],
    ['CREATE TABLE ks.u (k int PRIMARY KEY, v map<int, text>)'],
    ['ALTER TABLE ks.t ADD w text'],
    ['ALTER TABLE ks.t DROP v'],
    ["ALTER TABLE ks.u WITH comment = 'so'"],
    // Tables that use a type change with it.
    ['ALTER TYPE ks.pair ADD c int', 'UPDATED TABLE ks.t'],
    ['DROP TABLE ks.u'],
    ["ALTER KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}"],
    ['DROP TABLE ks.t'],
    ['DROP KEYSPACE ks'],
  ]) {
    const outcome = planSchemaChange(parseStatement(text) as SchemaStatement, schema, null, {
      newId: () => `00000000-0000-1000-8000-${String(++ids).padStart(12, '0')}`,
      nowMicros: 1_000_000 + ids,
    });
    const difference = diffSchemas(copied(schema), copied(outcome.schema));
    assert.deepEqual(names(difference.created), names(outcome.created), text);
    assert.deepEqual(names(difference.altered), names(outcome.altered), text);
    assert.deepEqual(names(difference.dropped), names(outcome.dropped), text);
    const shown = difference.events.map(({ change, target, keyspace, name }) =>
      [change, target, name === undefined ? keyspace : `${keyspace}.${name}`].join(' '),
    );
    const { event } = outcome;
    assert.ok(event !== null);
    const planned = event.name === undefined ? event.keyspace : `${event.keyspace}.${event.name}`;
    assert.deepEqual(shown, [`${event.change} ${event.target} ${planned}`, ...others], text);
    schema = outcome.schema;
  }
});

test('a TRUNCATE makes new column families and tells drivers nothing', () => {
  let schema = EMPTY_SCHEMA;
  for (const text of [
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    'CREATE TABLE ks.t (k int PRIMARY KEY)',
  ]) {
    schema = planSchemaChange(parseStatement(text) as SchemaStatement, schema, null, {
      newId: () => '00000000-0000-1000-8000-000000000001',
      nowMicros: 1,
    }).schema;
  }
  const table = schema.keyspaces.get('ks')?.tables.get('t');
  assert.ok(table !== undefined);
  const next = withTable(schema, { ...table, generation: table.generation + 1 });
  const { created, altered, dropped, events } = diffSchemas(schema, copied(next));
  assert.deepEqual(
    [names(created), names(altered), names(dropped), events],
    [[`${table.id.replaceAll('-', '')}.1`], [], [`${table.id.replaceAll('-', '')}.0`], []],
  );
});
