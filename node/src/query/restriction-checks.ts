/** Relations that cannot stand together in a WHERE clause, and those that a statement of this kind cannot have. */
import { invalidRequest } from '../common/errors.ts';
import type { ColumnDef } from '../schema/schema.ts';
import { isLower } from './ranges.ts';
import type { ColumnTest, KeyRestriction, TokenRestriction } from './relations.ts';

/** The statements that have a WHERE clause, as messages call them. */
export type WhereOwner = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';

/** The columns that both restrict, as Cassandra lists them. */
function common(a: readonly ColumnDef[], b: readonly ColumnDef[]): string {
  return a
    .filter((column) => b.includes(column))
    .map((column) => column.name)
    .join(' ,');
}

/** Refuses two relations, `a` written before `b`, that cannot stand together on the same columns. */
function checkPair(a: KeyRestriction | ColumnTest, b: KeyRestriction | ColumnTest): void {
  const shared = common(a.columns, b.columns);
  if (shared === '') return;
  switch (a.kind) {
    case 'eq':
    case 'in':
      throw invalidRequest(
        `${shared} cannot be restricted by more than one relation if it includes ${a.kind === 'eq' ? 'an Equal' : 'a IN'}`,
      );
    case 'test':
      if (b.kind === 'test') return;
      throw invalidRequest(
        `Collection column ${shared} can only be restricted by CONTAINS, CONTAINS KEY, or map-entry equality`,
      );
    case 'slice':
      if (b.kind !== 'slice') {
        throw invalidRequest(
          `Column "${shared}" cannot be restricted by both an equality and an inequality relation`,
        );
      }
      checkSlices(a, b, shared);
  }
}

type Slice = Extract<KeyRestriction, { kind: 'slice' }>;

function checkSlices(a: Slice, b: Slice, shared: string): void {
  if (a.columns[0] !== b.columns[0]) {
    const first = a.columns[0].position > b.columns[0].position ? a.columns[0] : b.columns[0];
    throw invalidRequest(
      `Column "${first.name}" cannot be restricted by two inequalities not starting with the same column`,
    );
  }
  if (isLower(a.operator) !== isLower(b.operator)) return;
  throw invalidRequest(
    `More than one restriction was found for the ${isLower(a.operator) ? 'start' : 'end'} bound on ${shared}`,
  );
}

/** Refuses relations on the same columns that cannot stand together. @throws CqlError Invalid */
export function checkTogether(restrictions: readonly (KeyRestriction | ColumnTest)[]): void {
  for (const [i, restriction] of restrictions.entries()) {
    for (const before of restrictions.slice(0, i)) checkPair(before, restriction);
  }
}

/** Restrictions of several columns can say where rows are, but not filter them. @throws CqlError Invalid */
export function checkFilters(restrictions: readonly KeyRestriction[]): void {
  for (const { kind, columns } of restrictions) {
    if (columns.length === 1) continue;
    if (kind === 'in') throw invalidRequest('Multicolumn IN filters are not supported');
    if (kind === 'slice') {
      throw invalidRequest('Multi-column slice restrictions cannot be used for filtering.');
    }
  }
}

/** What only a SELECT may ask of partition keys is refused for the others. @throws CqlError Invalid */
export function checkPartitionKey(
  restrictions: readonly KeyRestriction[],
  tokens: readonly TokenRestriction[],
  keyColumns: readonly ColumnDef[],
  owner: WhereOwner,
): void {
  if (tokens.length > 0) {
    throw invalidRequest(
      `The token function cannot be used in WHERE clauses for ${owner} statements`,
    );
  }
  const missing = keyColumns.filter(
    (column) => !restrictions.some((r) => r.columns.includes(column)),
  );
  if (missing.length > 0) {
    throw invalidRequest(
      `Some partition key parts are missing: ${missing.map((column) => column.name).join(', ')}`,
    );
  }
  if (restrictions.some((r) => r.kind === 'slice')) {
    throw invalidRequest(
      `Only EQ and IN relation are supported on the partition key (unless you use the token() function) for ${owner} statements`,
    );
  }
}
