/**
 * Expressions and their values, in testdata/*.txt; UPDATE=1 writes them anew. Types, values and messages are those of
 * Cassandra 5.0.9, but for the file of differences.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { CqlError } from '../../common/errors.ts';
import type { SchemaStatement } from '../../cql/ast.ts';
import { parseStatement } from '../../cql/index.ts';
import { EMPTY_SCHEMA, findTable, type Schema, type TableDef } from '../../schema/schema.ts';
import { toJson } from '../../types/json.ts';
import { typeName } from '../../types/type-names.ts';
import { planSchemaChange } from '../ddl.ts';
import { compileSelection, Group, type SelectionContext } from '../selection.ts';

const DIRECTORY = new URL('./testdata/', import.meta.url);
const DDL = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  'CREATE TABLE ks.t (id int PRIMARY KEY)',
];

const schema: Schema = DDL.reduce((before, text) => {
  const env = { newId: () => '00000000-0000-1000-8000-000000000001', nowMicros: 0 };
  return planSchemaChange(parseStatement(text) as SchemaStatement, before, null, env).schema;
}, EMPTY_SCHEMA);
const table = findTable(schema, 'ks', 't') as TableDef;

/** One row, whose id is 1. */
const CONTEXT: SelectionContext = {
  row: {
    value: () => Buffer.of(0, 0, 0, 1),
    stamps: () => [],
  } as unknown as SelectionContext['row'],
  binding: {
    values: [],
    context: {
      nowMillis: 1_700_000_000_123,
      timeUuid: () => Buffer.from('a4a7090024e111df8924001ff3591711', 'hex'),
      randomUuid: () => Buffer.from('550e8400e29b41d4a716446655440000', 'hex'),
      random: () => 0.5,
    },
  },
  aggregates: [],
  leaves: null,
};

function evaluate(expression: string): string {
  try {
    const statement = parseStatement(`SELECT ${expression} FROM ks.t`);
    assert.equal(statement.kind, 'select');
    const selection = compileSelection(statement.selectors, table, {
      schema,
      keyspace: 'ks',
      markers: [],
      markerCount: 0,
      nowMillis: 0n,
    });
    const { type } = selection.columns[0];
    let bytes: Uint8Array | null;
    if (selection.aggregates.length > 0) {
      const group = new Group(selection);
      group.add(CONTEXT);
      [bytes] = group.finish(CONTEXT);
    } else bytes = selection.expressions[0].evaluate(CONTEXT);
    return `${typeName(type)} ${toJson(type, bytes)}`;
  } catch (error) {
    if (!(error instanceof CqlError)) throw error;
    return `${error.code.toString(16)} ${error.message}`;
  }
}

function runAll(file: string): string {
  const lines = file.split('\n').filter((line) => !line.startsWith('  '));
  return lines
    .map((line) => (line === '' || line.startsWith('--') ? line : `${line}\n  ${evaluate(line)}`))
    .join('\n');
}

for (const name of readdirSync(DIRECTORY).filter((one) => one.endsWith('.txt'))) {
  test(name, () => {
    const url = new URL(name, DIRECTORY);
    const file = readFileSync(url, 'utf8');
    const actual = runAll(file);
    if (process.env['UPDATE'] === '1') writeFileSync(url, actual);
    else assert.deepEqual(actual.split('\n'), file.split('\n'));
  });
}
