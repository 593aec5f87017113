/** Checks of columns that CREATE TABLE and ALTER TABLE share. */
import { configError, invalidRequest } from '../../common/errors.ts';
import type { ColumnDef } from '../../schema/schema.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { isMultiCell } from '../../types/type-facts.ts';

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
