import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  DEFAULT_TABLE_OPTIONS,
  EMPTY_SCHEMA,
  type KeyspaceDef,
  type Schema,
  type TableDef,
  withKeyspace,
  withoutKeyspace,
  withoutTable,
  withoutUserType,
  withTable,
  withUserType,
} from '../schema/schema.ts';
import { type SchemaJson, schemaFromJson, schemaToJson } from '../schema/schema-json.ts';
import type { UserType } from '../types/cql-type.ts';
import { decodeCommand, encodeCommand } from './command-codec.ts';
import { applySchemaChange, schemaChangeOf } from './schema-change.ts';

function keyspace(name: string, factor = 1): KeyspaceDef {
  const replication = { class: 'SimpleStrategy', replication_factor: String(factor) };
  return { name, replication, durableWrites: true, tables: new Map(), types: new Map() };
}

function table(keyspaceName: string, name: string, comment = ''): TableDef {
  return {
    ...{ keyspace: keyspaceName, name, id: `${name} ${comment}`, generation: 0, nextColumnId: 0 },
    ...{ columns: [], droppedColumns: [], isCounter: false },
    options: { ...DEFAULT_TABLE_OPTIONS, comment },
  };
}

function userType(keyspaceName: string, name: string, fields: readonly string[]): UserType {
  const fieldTypes = fields.map(() => ({ kind: 'native', name: 'int' }) as const);
  return {
    kind: 'udt',
    keyspace: keyspaceName,
    name,
    fieldNames: fields,
    fieldTypes,
    frozen: true,
  };
}

/** Through JSON, as on another node. */
function planned(base: SchemaJson, plan: (schema: Schema) => Schema, version = 'v') {
  const schema = schemaFromJson(JSON.parse(JSON.stringify(base)));
  const next = { ...plan(schema), epoch: schema.epoch + 1, version };
  const change = schemaChangeOf(schema, next);
  const bytes = encodeCommand({ id: 'x', command: { kind: 'schema', change } });
  const command = decodeCommand(bytes)?.command;
  assert.ok(command?.kind === 'schema');
  return { change: command.change, next: schemaToJson(next), bytes: bytes.length };
}

function applied(base: SchemaJson, change: ReturnType<typeof planned>['change']): SchemaJson {
  const outcome = applySchemaChange(base, change);
  assert.ok('schema' in outcome, JSON.stringify(outcome));
  return outcome.schema;
}

const EMPTY = schemaToJson(EMPTY_SCHEMA);
const BASE = [
  (schema: Schema) => withKeyspace(schema, keyspace('k')),
  (schema: Schema) => withTable(schema, table('k', 'a')),
  (schema: Schema) => withUserType(schema, userType('k', 'u', ['x'])),
].reduce((schema, plan) => applied(schema, planned(schema, plan).change), EMPTY);

/** Of two changes planned on the same schema: whether the second is applied after the first. */
function areApart(first: (schema: Schema) => Schema, second: (schema: Schema) => Schema): boolean {
  const after = applied(BASE, planned(BASE, first, '1').change);
  const outcome = applySchemaChange(after, planned(BASE, second, '2').change);
  if ('schema' in outcome) assert.equal(outcome.schema.epoch, BASE.epoch + 2);
  return 'schema' in outcome;
}

const makeTable = (name: string) => (schema: Schema) => withTable(schema, table('k', name));
const alterTable = (schema: Schema) => withTable(schema, table('k', 'a', 'other'));
const dropTable = (schema: Schema) => withoutTable(schema, 'k', 'a');
const alterKeyspace = (schema: Schema) => {
  const [old] = schema.keyspaces.values();
  return withKeyspace(schema, { ...old, replication: { class: 'SimpleStrategy' } });
};
const makeKeyspace = (schema: Schema) => withKeyspace(schema, keyspace('l'));
const dropKeyspace = (schema: Schema) => withoutKeyspace(schema, 'k');
const makeType = (schema: Schema) => withUserType(schema, userType('k', 'w', ['x']));
const alterType = (schema: Schema) => withUserType(schema, userType('k', 'u', ['x', 'y']));
const dropType = (schema: Schema) => withoutUserType(schema, 'k', 'u');

test('changes of different things do not meet', () => {
  assert.ok(areApart(makeTable('b'), makeTable('c')));
  assert.ok(areApart(makeTable('b'), alterTable));
  assert.ok(areApart(alterTable, makeKeyspace));
  assert.ok(areApart(alterKeyspace, makeTable('b')));
  assert.ok(areApart(makeTable('b'), alterKeyspace));
  assert.ok(areApart(makeTable('b'), dropTable));
  // As if it had come after.
  assert.ok(areApart(makeTable('b'), dropKeyspace));
});

test('of changes of the same thing, or of what the other was planned on, the first counts', () => {
  assert.ok(!areApart(makeTable('b'), makeTable('b')));
  assert.ok(!areApart(alterTable, alterTable));
  assert.ok(!areApart(dropTable, alterTable));
  assert.ok(!areApart(alterTable, dropTable));
  assert.ok(!areApart(dropKeyspace, makeTable('b')));
  assert.ok(!areApart(dropKeyspace, dropKeyspace));
  assert.ok(!areApart(makeKeyspace, makeKeyspace));
  assert.ok(!areApart(alterKeyspace, alterKeyspace));
  // The table may have a column of the type.
  assert.ok(!areApart(makeTable('b'), dropType));
  assert.ok(!areApart(dropType, makeTable('b')));
  assert.ok(!areApart(makeTable('b'), alterType));
  assert.ok(!areApart(alterType, alterTable));
  assert.ok(!areApart(makeType, makeType));
});

test('an entry is small, however large the schema is', () => {
  let schema = BASE;
  for (let i = 0; i < 200; i++) {
    schema = applied(schema, planned(schema, makeTable(`many${i}`)).change);
  }
  assert.ok(planned(schema, makeTable('one_more')).bytes < 1_000);
});

test('what was planned is what becomes of the schema that it was planned on', () => {
  const names = fc.constantFrom('k', 'l');
  const plans = fc.oneof(
    fc.tuple(names, fc.nat(3)).map(
      ([name, factor]) =>
        (schema: Schema) =>
          withKeyspace(schema, {
            ...keyspace(name, factor),
            tables: schema.keyspaces.get(name)?.tables ?? new Map(),
            types: schema.keyspaces.get(name)?.types ?? new Map(),
          }),
    ),
    names.map((name) => (schema: Schema) => withoutKeyspace(schema, name)),
    fc.tuple(names, fc.constantFrom('a', 'b', 'c'), fc.string()).map(
      ([name, t, comment]) =>
        (schema: Schema) =>
          withTable(schema, table(name, t, comment)),
    ),
    names.map((name) => (schema: Schema) => withoutTable(schema, name, 'a')),
    fc.tuple(names, fc.array(fc.string(), { maxLength: 3 })).map(
      ([name, fields]) =>
        (schema: Schema) =>
          withUserType(schema, userType(name, 'u', fields)),
    ),
    names.map((name) => (schema: Schema) => withoutUserType(schema, name, 'u')),
  );
  const byName = ({ keyspaces }: SchemaJson) =>
    new Map(
      keyspaces.map((one) => [
        one.name,
        {
          ...one,
          tables: new Map(one.tables.map((t) => [t.name, t])),
          types: new Map(one.types.map((t) => [t.name, t])),
        },
      ]),
    );
  fc.assert(
    fc.property(fc.array(plans, { maxLength: 30 }), (all) => {
      let schema = EMPTY;
      for (const plan of all) {
        const { change, next } = planned(schema, plan);
        schema = applied(schema, change);
        assert.deepEqual(byName(schema), byName(next));
        assert.equal(schema.epoch, next.epoch);
      }
    }),
    { numRuns: 50 },
  );
});
