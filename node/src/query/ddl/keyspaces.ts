/** CREATE, ALTER and DROP KEYSPACE. */
import { alreadyExists, invalidRequest } from '../../common/errors.ts';
import type {
  AlterKeyspaceStatement,
  CreateKeyspaceStatement,
  DropKeyspaceStatement,
} from '../../cql/ast.ts';
import { type KeyspaceDef, withKeyspace, withoutKeyspace } from '../../schema/schema.ts';
import { SYSTEM_KEYSPACES } from '../virtual/definitions.ts';
import {
  type ChangeContext,
  changed,
  checkKeyspaceName,
  refuseSystemKeyspace,
  requireKeyspace,
  type SchemaOutcome,
  unchanged,
} from './change.ts';
import { PropertyReader } from './properties.ts';
import { checkReplication, replicationWarnings, requireClass } from './replication.ts';

const PROPERTIES = ['replication', 'durable_writes'];

export function createKeyspace(
  statement: CreateKeyspaceStatement,
  context: ChangeContext,
): SchemaOutcome {
  const { schema, env } = context;
  const name = statement.keyspace;
  const properties = new PropertyReader(statement.properties);
  properties.refuseUnknown(PROPERTIES);
  checkKeyspaceName(name);
  if (SYSTEM_KEYSPACES.has(name)) {
    throw invalidRequest(`System keyspace '${name}' is not user-modifiable`);
  }
  const options = properties.map('replication');
  if (options === undefined) throw invalidRequest("Missing mandatory option 'replication'");
  requireClass(options);
  if (schema.keyspaces.has(name)) {
    if (statement.ifNotExists) return unchanged(context);
    throw alreadyExists(name, '');
  }
  const datacenters = env.datacenters ?? null;
  const keyspace: KeyspaceDef = {
    name,
    replication: checkReplication({ keyspace: name, options, previous: null, datacenters }),
    durableWrites: properties.boolean('durable_writes') ?? true,
    tables: new Map(),
    types: new Map(),
  };
  return changed(
    context,
    withKeyspace(schema, keyspace),
    { change: 'CREATED', target: 'KEYSPACE', keyspace: name },
    {
      warnings: replicationWarnings({ keyspace: name, options: keyspace.replication, datacenters }),
    },
  );
}

export function alterKeyspace(
  statement: AlterKeyspaceStatement,
  context: ChangeContext,
): SchemaOutcome {
  const { schema, env } = context;
  const name = statement.keyspace;
  refuseSystemKeyspace(name);
  const properties = new PropertyReader(statement.properties);
  properties.refuseUnknown(PROPERTIES);
  if (statement.ifExists && !schema.keyspaces.has(name)) return unchanged(context);
  const keyspace = requireKeyspace(schema, name);
  const options = properties.map('replication');
  const datacenters = env.datacenters ?? null;
  const replication =
    options === undefined
      ? keyspace.replication
      : checkReplication({ keyspace: name, options, previous: keyspace.replication, datacenters });
  const durableWrites = properties.boolean('durable_writes') ?? keyspace.durableWrites;
  const altered = withKeyspace(schema, { ...keyspace, replication, durableWrites });
  return changed(
    context,
    altered,
    { change: 'UPDATED', target: 'KEYSPACE', keyspace: name },
    { warnings: replicationWarnings({ keyspace: name, options: replication, datacenters }) },
  );
}

export function dropKeyspace(
  statement: DropKeyspaceStatement,
  context: ChangeContext,
): SchemaOutcome {
  const { schema } = context;
  const name = statement.keyspace;
  refuseSystemKeyspace(name);
  if (statement.ifExists && !schema.keyspaces.has(name)) return unchanged(context);
  const keyspace = requireKeyspace(schema, name);
  return changed(
    context,
    withoutKeyspace(schema, name),
    { change: 'DROPPED', target: 'KEYSPACE', keyspace: name },
    { dropped: [...keyspace.tables.values()] },
  );
}
