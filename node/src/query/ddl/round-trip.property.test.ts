/** What DESCRIBE prints makes the same table again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SchemaStatement } from '../../cql/ast.ts';
import { parseStatement } from '../../cql/index.ts';
import { describeTable, describeType } from '../../schema/describe.ts';
import { EMPTY_SCHEMA, type Schema, type TableDef } from '../../schema/schema.ts';
import { quoteName } from '../../types/identifiers.ts';
import { planSchemaChange } from '../ddl.ts';

const KEYSPACE =
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
const TYPES = ['CREATE TYPE ks.u (a int, "B" text)', 'CREATE TYPE ks."V" (u frozen<u>)'];

function apply(schema: Schema, ...texts: readonly string[]): Schema {
  let ids = 0;
  return texts.reduce((before, text) => {
    const statement = parseStatement(text) as SchemaStatement;
    return planSchemaChange(statement, before, 'ks', {
      newId: () => `00000000-0000-1000-8000-${String(++ids).padStart(12, '0')}`,
      nowMicros: 5_000_000,
    }).schema;
  }, schema);
}

const BASE = apply(EMPTY_SCHEMA, KEYSPACE, ...TYPES);

const native = fc.constantFrom(
  ...'ascii bigint blob boolean date decimal double float inet int smallint text time timestamp timeuuid tinyint uuid varint'.split(
    ' ',
  ),
);
/** Frozen types of some depth. */
const frozen: fc.Arbitrary<string> = fc.letrec<{ type: string }>((tie) => ({
  type: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    native,
    fc.constantFrom('frozen<u>', 'frozen<"V">'),
    tie('type').map((type) => `frozen<list<${type}>>`),
    tie('type').map((type) => `frozen<set<${type}>>`),
    fc.tuple(tie('type'), tie('type')).map(([k, v]) => `frozen<map<${k}, ${v}>>`),
    fc.tuple(tie('type'), tie('type')).map(([a, b]) => `tuple<${a}, ${b}>`),
    fc.tuple(tie('type'), fc.integer({ min: 1, max: 9 })).map(([t, n]) => `vector<${t}, ${n}>`),
  ),
})).type;
const any = fc.oneof(
  frozen,
  fc.constantFrom('u', '"V"', 'duration'),
  frozen.map((type) => `list<${type}>`),
  frozen.map((type) => `set<${type}>`),
  fc.tuple(frozen, frozen).map(([k, v]) => `map<${k}, ${v}>`),
);
const name = fc.oneof(
  fc.stringMatching(/^[a-z][a-z0-9_]{0,6}$/),
  fc.stringMatching(/^[A-Za-z "]{1,6}$/),
  fc.constantFrom('select', 'primary', 'key', 'static'),
);
const options = fc
  .record(
    {
      comment: fc.string({ maxLength: 8 }).map((text) => `'${text.replaceAll("'", "''")}'`),
      gc_grace_seconds: fc.nat().map(String),
      bloom_filter_fp_chance: fc.double({ min: 1e-4, max: 1, noNaN: true }).map(String),
      crc_check_chance: fc.double({ min: 0, max: 1, noNaN: true }).map(String),
      default_time_to_live: fc.nat({ max: 630_720_000 }).map(String),
      cdc: fc.boolean().map(String),
      read_repair: fc.constantFrom("'NONE'", "'blocking'"),
      speculative_retry: fc.constantFrom("'99.5p'", "'NEVER'", "'10ms'", "'MIN(99p,50ms)'"),
      caching: fc.constantFrom("{'keys': 'NONE'}", "{'rows_per_partition': '120'}"),
      compression: fc.constantFrom(
        "{'enabled': 'false'}",
        "{'class': 'ZstdCompressor', 'chunk_length_in_kb': 64, 'compression_level': 3}",
        "{'class': 'LZ4Compressor', 'min_compress_ratio': 2}",
      ),
      compaction: fc.constantFrom(
        "{'class': 'LeveledCompactionStrategy', 'sstable_size_in_mb': 10}",
        "{'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4, L2'}",
        "{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS'}",
      ),
    },
    { requiredKeys: [] },
  )
  .map((record) => Object.entries(record).map(([option, value]) => `${option} = ${value}`));

interface Plan {
  readonly names: readonly string[];
  readonly partition: number;
  readonly clustering: readonly boolean[];
  readonly keyTypes: readonly string[];
  readonly others: readonly { readonly type: string; readonly isStatic: boolean }[];
  readonly options: readonly string[];
}

const plan: fc.Arbitrary<Plan> = fc.record({
  names: fc.uniqueArray(name, { minLength: 9, maxLength: 9 }),
  partition: fc.integer({ min: 1, max: 2 }),
  clustering: fc.array(fc.boolean(), { maxLength: 3 }),
  keyTypes: fc.array(frozen, { minLength: 5, maxLength: 5 }),
  others: fc.array(fc.record({ type: any, isStatic: fc.boolean() }), { maxLength: 4 }),
  options,
});

function createText({ names, partition, clustering, keyTypes, others, options }: Plan): string {
  const quoted = names.map(quoteName);
  const keyCount = partition + clustering.length;
  const columns = quoted.slice(0, keyCount).map((column, i) => `${column} ${keyTypes[i]}`);
  for (const [i, { type, isStatic }] of others.entries()) {
    const suffix = isStatic && clustering.length > 0 ? ' static' : '';
    columns.push(`${quoted[keyCount + i]} ${type}${suffix}`);
  }
  const key = `(${quoted.slice(0, partition).join(', ')})`;
  const rest = quoted.slice(partition, keyCount);
  columns.push(`PRIMARY KEY (${[key, ...rest].join(', ')})`);
  const order = rest.map((column, i) => `${column} ${clustering[i] ? 'DESC' : 'ASC'}`);
  const all = [
    ...(order.length > 0 ? [`CLUSTERING ORDER BY (${order.join(', ')})`] : []),
    ...options,
  ];
  return `CREATE TABLE ks.t (${columns.join(', ')})${all.length > 0 ? ` WITH ${all.join(' AND ')}` : ''}`;
}

function tableOf(schema: Schema): TableDef {
  return schema.keyspaces.get('ks')?.tables.get('t') as TableDef;
}

/** Without the ids of columns, which follow the order in which they were written. */
function shape(table: TableDef): object {
  const columns = table.columns.map(({ id: _, ...column }) => column);
  const dropped = [...table.droppedColumns].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { ...table, columns, droppedColumns: dropped, nextColumnId: 0 };
}

function statements(text: string): string[] {
  return text.split(/;(?:\n|$)(?=ALTER|$)/).filter((one) => one !== '');
}

test('a table described and made again is the same', () => {
  fc.assert(
    fc.property(plan, (drawn) => {
      const table = tableOf(apply(BASE, createText(drawn)));
      const text = describeTable(table, true);
      const again = tableOf(apply(BASE, ...statements(text)));
      assert.deepEqual(shape(again), shape(table));
      assert.equal(describeTable(again, true), text);
    }),
    { numRuns: 300 },
  );
});

test('so is one with columns dropped, and added again', () => {
  fc.assert(
    fc.property(plan, fc.boolean(), (drawn, comesBack) => {
      const before = apply(BASE, createText(drawn));
      const column = tableOf(before).columns.find(
        ({ kind, type }) =>
          (kind === 'regular' || kind === 'static') && !(type.kind === 'udt' && !type.frozen),
      );
      fc.pre(column !== undefined);
      const shown = quoteName(column.name);
      const added = describeTable(tableOf(before))
        .split('\n')
        .find((line) => line.startsWith(`    ${shown} `))
        ?.trim()
        .replace(/,$/, '');
      const changes = [
        `ALTER TABLE ks.t DROP ${shown} USING TIMESTAMP 77`,
        ...(comesBack ? [`ALTER TABLE ks.t ADD ${added}`] : []),
      ];
      const table = tableOf(apply(before, ...changes));
      const again = tableOf(apply(BASE, ...statements(describeTable(table, true))));
      assert.deepEqual(shape(again), shape(table));
    }),
    { numRuns: 300 },
  );
});

test('types described and made again are the same', () => {
  const types = [...(BASE.keyspaces.get('ks')?.types.values() ?? [])];
  const again = apply(EMPTY_SCHEMA, KEYSPACE, ...types.map((type) => describeType(type)));
  assert.deepEqual(again.keyspaces.get('ks')?.types, BASE.keyspaces.get('ks')?.types);
});
