/** SELECT checked against the schema and compiled. */
import { invalidRequest } from '../common/errors.ts';
import type { IntegerTerm, SelectStatement } from '../cql/ast.ts';
import { type ColumnDef, columnsOf, type TableDef } from '../schema/schema.ts';
import { nativeType } from '../types/type-facts.ts';
import { findColumn } from './relations.ts';
import { analyzeWhere, FILTERING_REFUSED, type Restrictions } from './restrictions.ts';
import type { SelectPlan } from './select.ts';
import {
  analyzeGroups,
  analyzeOrder,
  checkDistinct,
  checkStaticSelection,
} from './select-checks.ts';
import { compileSelection } from './selection.ts';
import { SelectionCompiler } from './selection-compiler.ts';
import type { CompiledTerm, TermScope } from './term-values.ts';
import { compileTerm } from './terms.ts';

function limitTerm(
  term: IntegerTerm | undefined,
  name: string,
  scope: TermScope,
): CompiledTerm | null {
  return term === undefined ? null : compileTerm(term, { name, type: nativeType('int') }, scope);
}

/** The whole key of one row is given, and nothing else. */
function namesOneRow(
  { partition, clustering, needsFiltering }: Restrictions,
  table: TableDef,
): boolean {
  return (
    partition.kind === 'keys' &&
    partition.isSingle &&
    !partition.isBounded &&
    clustering.isPoints &&
    clustering.fixedColumns === columnsOf(table, 'clustering').length &&
    !needsFiltering
  );
}

/** ORDER BY over several partitions: the columns by which their rows are sorted together. */
function sortedColumns(
  { orderBy }: SelectStatement,
  { partition }: Restrictions,
  table: TableDef,
): readonly ColumnDef[] | null {
  const severalPartitions = partition.kind === 'keys' && !partition.isSingle;
  if (orderBy.length === 0 || !severalPartitions) return null;
  return [...new Set(orderBy.map((ordering) => findColumn(table, ordering.column)))];
}

/**
 * Checks a SELECT against the schema and compiles it.
 * @throws CqlError Invalid
 */
export function planSelect(
  statement: SelectStatement,
  table: TableDef,
  scope: TermScope,
): SelectPlan {
  const selection = compileSelection(statement.selectors, table, scope);
  const restrictions = analyzeWhere(
    statement.where,
    table,
    scope,
    'SELECT',
    statement.allowFiltering,
  );
  checkStaticSelection(selection, restrictions);
  if (restrictions.otherColumns.length > 0 && !statement.allowFiltering) {
    throw invalidRequest(FILTERING_REFUSED);
  }
  if (statement.distinct) checkDistinct(statement, selection, restrictions, table);
  const grouping = new SelectionCompiler(table, scope);
  const groupBy = analyzeGroups(statement, table, restrictions, grouping);
  const isAggregate = selection.aggregates.length > 0;
  if (isAggregate && statement.perPartitionLimit !== undefined && groupBy === null) {
    throw invalidRequest('PER PARTITION LIMIT is not allowed with aggregate queries.');
  }
  const reversed = analyzeOrder(statement, table, restrictions);
  if (restrictions.needsFiltering && !statement.allowFiltering) {
    throw invalidRequest(FILTERING_REFUSED);
  }
  const limit = limitTerm(statement.limit, '[limit]', scope);
  const perPartitionLimit = limitTerm(statement.perPartitionLimit, '[per_partition_limit]', scope);
  const sortColumns = sortedColumns(statement, restrictions, table);
  const wanted = new Set([
    ...selection.wanted,
    ...grouping.wanted,
    ...restrictions.filteredColumns,
    ...(sortColumns ?? []),
  ]);
  const isPoint =
    namesOneRow(restrictions, table) &&
    !isAggregate &&
    groupBy === null &&
    limit === null &&
    perPartitionLimit === null &&
    !statement.json;
  return {
    kind: 'select',
    table,
    selection,
    resultColumns: statement.json
      ? [{ name: '[json]', type: nativeType('text') }]
      : selection.columns,
    read: {
      restrictions,
      wanted: [...wanted],
      reversed,
      showsStaticOnly:
        restrictions.clustering.isWhole &&
        !restrictions.otherColumns.some((c) => c.kind === 'regular'),
      distinct: statement.distinct,
      remembers: groupBy !== null,
    },
    limit,
    perPartitionLimit,
    isAggregate,
    groupBy,
    json: statement.json,
    sortColumns,
    isPoint,
  };
}
