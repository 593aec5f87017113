/** Changes of the schema from JSON that a peer sent. */
import type { TableDef } from '../schema/schema.ts';
import type { UserType } from '../types/cql-type.ts';
import { asArray, asCount, asObject, asText, type Json, Malformed } from './command-json.ts';
import type { SchemaChange, SchemaEdit, SchemaExpectation, SchemaPart } from './schema-change.ts';

const PARTS: readonly SchemaPart[] = ['keyspace', 'tables', 'types', 'table'];

/** @throws if it is none */
export function schemaChangeFromJson(value: unknown): SchemaChange {
  const json = asObject(value);
  return {
    version: asText(json['version']),
    expected: asArray(json['expected']).map(expectationFrom),
    edits: asArray(json['edits']).map((edit) => editFrom(asObject(edit))),
  };
}

function expectationFrom(value: unknown): SchemaExpectation {
  const json = asObject(value);
  const of = PARTS.find((part) => part === json['of']);
  if (of === undefined) throw new Malformed();
  return {
    of,
    keyspace: asText(json['keyspace']),
    name: asText(json['name']),
    is: asText(json['is']),
  };
}

function editFrom(json: Json): SchemaEdit {
  const { kind } = json;
  const keyspace = asText(json['keyspace']);
  switch (kind) {
    case 'put-keyspace':
      return {
        kind,
        keyspace,
        replication: textsFrom(json['replication']),
        durableWrites: json['durableWrites'] === true,
      };
    case 'drop-keyspace':
      return { kind, keyspace };
    case 'put-table':
      return { kind, keyspace, table: tableFrom(json['table']) };
    case 'put-type':
      return { kind, keyspace, type: typeFrom(json['type']) };
    case 'drop-table':
    case 'drop-type':
      return { kind, keyspace, name: asText(json['name']) };
    default:
      throw new Malformed();
  }
}

function textsFrom(value: unknown): Readonly<Record<string, string>> {
  const json = asObject(value);
  for (const text of Object.values(json)) asText(text);
  return json as Readonly<Record<string, string>>;
}

/** What all nodes look at when they make the table. */
function tableFrom(value: unknown): TableDef {
  const json = asObject(value);
  asText(json['keyspace']);
  asText(json['name']);
  asText(json['id']);
  asCount(json['generation']);
  asCount(json['nextColumnId']);
  for (const column of asArray(json['columns'])) {
    const { name, type, id } = asObject(column);
    asText(name);
    asText(asObject(type)['kind']);
    asCount(id);
  }
  const options = asObject(json['options']);
  for (const name of ['caching', 'compaction', 'compression']) textsFrom(options[name]);
  asArray(json['droppedColumns']);
  return json as unknown as TableDef;
}

function typeFrom(value: unknown): UserType {
  const json = asObject(value);
  asText(json['keyspace']);
  asText(json['name']);
  for (const name of asArray(json['fieldNames'])) asText(name);
  for (const type of asArray(json['fieldTypes'])) asText(asObject(type)['kind']);
  return json as unknown as UserType;
}
