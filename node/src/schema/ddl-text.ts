/** Keyspaces, types and tables as the CQL that makes them, letter for letter as Cassandra 5 prints it. */
import type { UserType } from '../types/cql-type.ts';
import { quoteName, quoteString } from '../types/identifiers.ts';
import { formatDouble } from '../types/java-numbers.ts';
import { isMultiCell } from '../types/type-facts.ts';
import { typeName } from '../types/type-names.ts';
import {
  type ColumnDef,
  type ColumnKind,
  columnsOf,
  type KeyspaceDef,
  type TableDef,
  type TableOptions,
} from './schema.ts';
import { VIRTUAL_KEYSPACE_NAMES } from './system-names.ts';

const STRATEGY_PACKAGE = 'org.apache.cassandra.locator.';

/** `{'a': '1', 'b': '2'}` */
function mapText(map: Readonly<Record<string, string>>): string {
  const entries = Object.entries(map).map(([k, v]) => `${quoteString(k)}: ${quoteString(v)}`);
  return `{${entries.join(', ')}}`;
}

/** What cannot be made with CQL, in a comment. */
function virtualText(what: 'Keyspace' | 'Table', name: string, text: string): string {
  return [
    '/*',
    `Warning: ${what} ${name} is a virtual ${what.toLowerCase()} and cannot be recreated with CQL.`,
    'Structure, for reference:',
    text,
    '*/',
  ].join('\n');
}

/** CREATE KEYSPACE, without its types and tables. */
export function describeKeyspace({ name, replication, durableWrites }: KeyspaceDef): string {
  const shown = quoteName(name);
  if (VIRTUAL_KEYSPACE_NAMES.has(name)) {
    return virtualText('Keyspace', shown, `VIRTUAL KEYSPACE ${shown};`);
  }
  const options = Object.fromEntries(
    Object.entries(replication).map(([option, value]) => [
      option,
      option === 'class' && value.startsWith(STRATEGY_PACKAGE)
        ? value.slice(STRATEGY_PACKAGE.length)
        : value,
    ]),
  );
  return `CREATE KEYSPACE ${shown} WITH replication = ${mapText(options)}  AND durable_writes = ${durableWrites};`;
}

/** CREATE TYPE. */
export function describeType(type: UserType): string {
  const fields = type.fieldNames.map(
    (name, i) => `    ${quoteName(name)} ${typeName(type.fieldTypes[i])}`,
  );
  return `CREATE TYPE ${quoteName(type.keyspace)}.${quoteName(type.name)} (\n${fields.join(',\n')}\n);`;
}

const KINDS: readonly ColumnKind[] = ['partition_key', 'clustering', 'static', 'regular'];

/** Keys, then static and regular columns; of each kind those of one cell before those of many. */
function columnsInOrder(table: TableDef): ColumnDef[] {
  return KINDS.flatMap((kind) => {
    const columns = columnsOf(table, kind);
    if (kind === 'partition_key' || kind === 'clustering') return columns;
    return [
      ...columns.filter((column) => !isMultiCell(column.type)),
      ...columns.filter((column) => isMultiCell(column.type)),
    ];
  });
}

function columnText(name: string, type: ColumnDef['type'], isStatic: boolean): string {
  return `${quoteName(name)} ${typeName(type)}${isStatic ? ' static' : ''}`;
}

function columnOf({ name, type, kind }: ColumnDef): string {
  return columnText(name, type, kind === 'static');
}

function primaryKeyText(table: TableDef): string {
  const partition = columnsOf(table, 'partition_key').map(({ name }) => quoteName(name));
  const clustering = columnsOf(table, 'clustering').map(({ name }) => quoteName(name));
  const key = partition.length === 1 ? partition[0] : `(${partition.join(', ')})`;
  return `PRIMARY KEY (${[key, ...clustering].join(', ')})`;
}

function isSimpleKey(table: TableDef): boolean {
  return columnsOf(table, 'partition_key').length + columnsOf(table, 'clustering').length === 1;
}

function columnLines(table: TableDef, withInternals: boolean): string[] {
  const isSimple = isSimpleKey(table);
  const dropped = withInternals ? table.droppedColumns : [];
  // A column that came back is shown as it was before it was dropped; an ALTER adds it again.
  const shown = columnsInOrder(table).filter(
    (column) => !dropped.some(({ name }) => name === column.name),
  );
  const lines = shown.map((column) =>
    isSimple && column.kind === 'partition_key'
      ? `${columnOf(column)} PRIMARY KEY`
      : columnOf(column),
  );
  for (const { name, type, isStatic } of dropped) lines.push(columnText(name, type, isStatic));
  if (!isSimple) lines.push(primaryKeyText(table));
  return lines;
}

function optionLines(options: TableOptions): string[] {
  const extensions = Object.entries(options.extensions).map(
    ([name, value]) => `${quoteString(name)}: ${value}`,
  );
  return [
    `additional_write_policy = ${quoteString(options.additional_write_policy)}`,
    `allow_auto_snapshot = ${options.allow_auto_snapshot}`,
    `bloom_filter_fp_chance = ${formatDouble(options.bloom_filter_fp_chance)}`,
    `caching = ${mapText(options.caching)}`,
    `cdc = ${options.cdc}`,
    `comment = ${quoteString(options.comment)}`,
    `compaction = ${mapText(options.compaction)}`,
    `compression = ${mapText(options.compression)}`,
    `memtable = ${quoteString(options.memtable)}`,
    `crc_check_chance = ${formatDouble(options.crc_check_chance)}`,
    `default_time_to_live = ${options.default_time_to_live}`,
    `extensions = {${extensions.join(', ')}}`,
    `gc_grace_seconds = ${options.gc_grace_seconds}`,
    `incremental_backups = ${options.incremental_backups}`,
    `max_index_interval = ${options.max_index_interval}`,
    `memtable_flush_period_in_ms = ${options.memtable_flush_period_in_ms}`,
    `min_index_interval = ${options.min_index_interval}`,
    `read_repair = ${quoteString(options.read_repair)}`,
    `speculative_retry = ${quoteString(options.speculative_retry)}`,
  ];
}

function clusteringOrder(table: TableDef): string[] {
  const columns = columnsOf(table, 'clustering').map(
    ({ name, reversed }) => `${quoteName(name)} ${reversed ? 'DESC' : 'ASC'}`,
  );
  return columns.length === 0 ? [] : [`CLUSTERING ORDER BY (${columns.join(', ')})`];
}

/** The statements after CREATE TABLE that drop what was dropped and add what came back. */
function dropStatements(table: TableDef, name: string): string[] {
  return table.droppedColumns.flatMap((dropped) => {
    const shown = quoteName(dropped.name);
    const drop = `ALTER TABLE ${name} DROP ${shown} USING TIMESTAMP ${dropped.droppedTime};`;
    const again = table.columns.find((column) => column.name === dropped.name);
    return again === undefined ? [drop] : [drop, `ALTER TABLE ${name} ADD ${columnOf(again)};`];
  });
}

/**
 * CREATE TABLE with all its options.
 * @param withInternals with the table's id, and ALTER statements that bring its dropped columns about
 */
export function describeTable(table: TableDef, withInternals = false): string {
  const name = `${quoteName(table.keyspace)}.${quoteName(table.name)}`;
  const isVirtual = VIRTUAL_KEYSPACE_NAMES.has(table.keyspace);
  const columns = columnLines(table, withInternals).map((line) => `    ${line}`);
  const id = withInternals && !isVirtual ? [`ID = ${table.id}`] : [];
  const options = isVirtual
    ? [`comment = ${quoteString(table.options.comment)}`]
    : optionLines(table.options);
  const properties = [...id, ...clusteringOrder(table), ...options].join('\n    AND ');
  const text = `TABLE ${name} (\n${columns.join(',\n')}\n) WITH ${properties};`;
  if (isVirtual) return virtualText('Table', name, `VIRTUAL ${text}`);
  const after = withInternals ? dropStatements(table, name) : [];
  return [`CREATE ${text}`, ...after].join('\n');
}
