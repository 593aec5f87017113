/** Changes of the schema as functions from one schema to the next. Nothing is written here. */
import { invalidRequest } from '../common/errors.ts';
import type { SchemaStatement } from '../cql/ast.ts';
import type { Schema } from '../schema/schema.ts';
import { alterTable, dropTable } from './ddl/alter-table.ts';
import {
  type ChangeContext,
  notSupported,
  type SchemaEnv,
  type SchemaOutcome,
} from './ddl/change.ts';
import { createTable, createTableLike } from './ddl/create-table.ts';
import { alterKeyspace, createKeyspace, dropKeyspace } from './ddl/keyspaces.ts';
import { alterType, createType, dropType } from './ddl/types.ts';

export type { SchemaEnv, SchemaEvent, SchemaOutcome } from './ddl/change.ts';

/**
 * Applies a statement to a schema.
 * @param schema with the system keyspaces in it
 * @param keyspace the session's; null: none
 * @throws CqlError with Cassandra's code and message
 */
export function planSchemaChange(
  statement: SchemaStatement,
  schema: Schema,
  keyspace: string | null,
  env: SchemaEnv,
): SchemaOutcome {
  const context: ChangeContext = { schema, keyspace, env };
  switch (statement.kind) {
    case 'createKeyspace':
      return createKeyspace(statement, context);
    case 'alterKeyspace':
      return alterKeyspace(statement, context);
    case 'dropKeyspace':
      return dropKeyspace(statement, context);
    case 'createTable':
      return createTable(statement, context);
    case 'createTableLike':
      return createTableLike(statement, context);
    case 'alterTable':
      return alterTable(statement, context);
    case 'dropTable':
      return dropTable(statement, context);
    case 'createType':
      return createType(statement, context);
    case 'alterType':
      return alterType(statement, context);
    case 'dropType':
      return dropType(statement, context);
    case 'createIndex':
    case 'dropIndex':
      throw notSupported('Secondary indexes are');
    case 'createView':
    case 'alterView':
    case 'dropView':
      throw notSupported('Materialized views are');
    case 'createTrigger':
    case 'dropTrigger':
      throw notSupported('Triggers are');
    case 'createFunction':
    case 'dropFunction':
      throw notSupported('User-defined functions are');
    case 'createAggregate':
    case 'dropAggregate':
      throw notSupported('User-defined aggregates are');
    case 'describe':
      throw invalidRequest('DESCRIBE does not change the schema');
    default:
      throw notSupported('Roles and permissions are');
  }
}
