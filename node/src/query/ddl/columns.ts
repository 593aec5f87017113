/** Checks of columns that CREATE TABLE and ALTER TABLE share. */
import { configError, invalidRequest, syntaxError } from '../../common/errors.ts';
import type { TypeAst } from '../../cql/ast.ts';
import type { ColumnDef, Schema } from '../../schema/schema.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { parseJavaTypeName } from '../../types/java-names.ts';
import { isMultiCell, visitTypes } from '../../types/type-facts.ts';
import { resolveType } from '../resolve-type.ts';

/**
 * The type of a column as written; Java names of CQL's own types are those types.
 * @throws CqlError Invalid, SyntaxError for Java classes that are none
 */
export function columnType(written: TypeAst, schema: Schema, keyspace: string): CqlType {
  const resolved = resolveType(written, schema, keyspace);
  const type = resolved.kind === 'custom' ? parseJavaTypeName(resolved.className) : resolved;
  visitTypes(type, (inner) => {
    if (inner.kind !== 'custom') return;
    throw syntaxError(
      `Error setting type ${inner.className}: Unable to find abstract-type class '${inner.className}'`,
    );
  });
  return type;
}

export function isCounterType(type: CqlType): boolean {
  return type.kind === 'native' && type.name === 'counter';
}

/** @param suffix of the message @throws CqlError Invalid */
export function refuseNestedMultiCell(type: CqlType, suffix = ''): void {
  if (type.kind !== 'udt' || type.frozen || !type.fieldTypes.some(isMultiCell)) return;
  throw invalidRequest(
    `Non-frozen UDTs with nested non-frozen collections are not supported${suffix}`,
  );
}

/** @throws CqlError Invalid */
export function refuseUselessStatic(hasStatic: boolean, hasClustering: boolean): void {
  if (!hasStatic || hasClustering) return;
  throw invalidRequest(
    'Static columns are only useful (and thus allowed) if the table has at least one clustering column',
  );
}

/** A counter table has counters only; other tables none. @throws CqlError ConfigError */
export function checkCounters(
  table: string,
  isCounter: boolean,
  columns: readonly ColumnDef[],
): void {
  for (const { name, kind, type } of columns) {
    if (kind === 'partition_key' || kind === 'clustering') continue;
    if (isCounterType(type) === isCounter) continue;
    throw configError(
      isCounter
        ? `${table}: Cannot have a non counter column ("${name}") in a counter table`
        : `${table}: Cannot have a counter column ("${name}") in a non counter table`,
    );
  }
}
