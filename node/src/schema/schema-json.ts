/** `Schema` to and from the JSON in which it is stored and sent between threads. */
import type { UserType } from '../types/cql-type.ts';
import type { KeyspaceDef, Schema, TableDef } from './schema.ts';

export const SCHEMA_FORMAT = 1;

export interface SchemaJson {
  readonly format: number;
  readonly epoch: number;
  readonly version: string;
  readonly keyspaces: readonly {
    readonly name: string;
    readonly replication: Readonly<Record<string, string>>;
    readonly durableWrites: boolean;
    readonly types: readonly UserType[];
    readonly tables: readonly TableDef[];
  }[];
}

/** The stored schema is of a later version of Ilion. */
export class SchemaFormatError extends Error {
  readonly code = 'SCHEMA_FORMAT';
  constructor(found: unknown) {
    super(
      `the stored schema has format ${String(found)}, this version of Ilion reads format ${SCHEMA_FORMAT}: ` +
        'start the version that wrote it, or a later one',
    );
    this.name = 'SchemaFormatError';
  }
}

export function schemaToJson(schema: Schema): SchemaJson {
  return {
    format: SCHEMA_FORMAT,
    epoch: schema.epoch,
    version: schema.version,
    keyspaces: [...schema.keyspaces.values()].map((keyspace) => ({
      name: keyspace.name,
      replication: keyspace.replication,
      durableWrites: keyspace.durableWrites,
      types: [...keyspace.types.values()],
      tables: [...keyspace.tables.values()],
    })),
  };
}

/** @throws SchemaFormatError */
export function schemaFromJson(json: SchemaJson): Schema {
  if (json.format !== SCHEMA_FORMAT) throw new SchemaFormatError(json.format);
  const keyspaces = new Map<string, KeyspaceDef>();
  for (const keyspace of json.keyspaces) {
    keyspaces.set(keyspace.name, {
      name: keyspace.name,
      replication: keyspace.replication,
      durableWrites: keyspace.durableWrites,
      types: new Map(keyspace.types.map((type) => [type.name, type])),
      tables: new Map(keyspace.tables.map((table) => [table.name, table])),
    });
  }
  return { epoch: json.epoch, version: json.version, keyspaces };
}
