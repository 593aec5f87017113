/** What every schema change has in common: its outcome, and checks of names. */
import { type CqlError, configError, invalidRequest, unauthorized } from '../../common/errors.ts';
import type { QualifiedName } from '../../cql/ast.ts';
import type { KeyspaceDef, Schema, TableDef } from '../../schema/schema.ts';
import { SYSTEM_KEYSPACES } from '../virtual/definitions.ts';

export interface SchemaEvent {
  readonly change: 'CREATED' | 'UPDATED' | 'DROPPED';
  readonly target: 'KEYSPACE' | 'TABLE' | 'TYPE';
  readonly keyspace: string;
  /** Of the table or type. */
  readonly name?: string;
}

export interface SchemaOutcome {
  /** One epoch on and with a new version; the same object if nothing is to change. */
  readonly schema: Schema;
  readonly event: SchemaEvent | null;
  readonly dropped: readonly TableDef[];
  readonly created: readonly TableDef[];
  readonly altered: readonly TableDef[];
  readonly warnings: readonly string[];
}

/** What a change takes from the world. */
export interface SchemaEnv {
  /** A new UUID as text each time. */
  newId(): string;
  /** Microseconds since 1970. */
  readonly nowMicros: number;
  /** Nodes of each datacenter; if it is left out, every name is taken for one's. */
  readonly datacenters?: ReadonlyMap<string, number>;
}

/** A statement with what it is applied to. */
export interface ChangeContext {
  readonly schema: Schema;
  /** The session's. */
  readonly keyspace: string | null;
  readonly env: SchemaEnv;
}

/** IF [NOT] EXISTS left nothing to do. */
export function unchanged({ schema }: ChangeContext): SchemaOutcome {
  return { schema, event: null, dropped: [], created: [], altered: [], warnings: [] };
}

/** @param schema the new one; its epoch and version are set here */
export function changed(
  { env, schema: old }: ChangeContext,
  schema: Schema,
  event: SchemaEvent,
  tables: Partial<Pick<SchemaOutcome, 'dropped' | 'created' | 'altered' | 'warnings'>> = {},
): SchemaOutcome {
  const next: Schema = { ...schema, epoch: old.epoch + 1, version: env.newId() };
  return { schema: next, event, dropped: [], created: [], altered: [], warnings: [], ...tables };
}

/** The keyspace that a name is in. @throws CqlError Invalid if it has none and there is no session's */
export function keyspaceOf(name: QualifiedName, context: ChangeContext): string {
  const keyspace = name.keyspace ?? context.keyspace;
  if (keyspace === null) {
    throw invalidRequest(
      'No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename',
    );
  }
  return keyspace;
}

/** @throws CqlError Unauthorized */
export function refuseSystemKeyspace(name: string): void {
  if (SYSTEM_KEYSPACES.has(name)) throw unauthorized(`${name} keyspace is not user-modifiable.`);
}

/** @throws CqlError Invalid */
export function requireKeyspace(schema: Schema, name: string): KeyspaceDef {
  const keyspace = schema.keyspaces.get(name);
  if (keyspace === undefined) throw invalidRequest(`Keyspace '${name}' doesn't exist`);
  return keyspace;
}

const WORD = /^[A-Za-z0-9_]+$/;
const KEYSPACE_NAME_MAX = 48;
const TABLE_NAME_MAX = 222;

/** @throws CqlError Invalid */
export function checkKeyspaceName(name: string): void {
  if (!WORD.test(name)) {
    throw invalidRequest(
      `Keyspace name must not be empty and must contain alphanumeric or underscore characters only (got "${name}")`,
    );
  }
  if (name.length > KEYSPACE_NAME_MAX) {
    throw invalidRequest(
      `Keyspace name must not be more than ${KEYSPACE_NAME_MAX} characters long (got ${name.length} characters for "${name}")`,
    );
  }
}

/** @throws CqlError ConfigError */
export function checkTableName(keyspace: string, name: string): void {
  if (!WORD.test(name)) {
    throw configError(
      `${keyspace}.${name}: Table name must not be empty or not contain non-alphanumeric-underscore characters (got "${name}")`,
    );
  }
  if (name.length > TABLE_NAME_MAX) {
    throw configError(
      `${keyspace}.${name}: Table name must not be more than ${TABLE_NAME_MAX} characters long (got ${name.length} characters for "${name}")`,
    );
  }
}

/** A refusal of what Cassandra has and Ilion has not. */
export function notSupported(what: string): CqlError {
  return invalidRequest(`${what} not supported by Ilion yet`);
}
