/** What a SELECT may ask: DISTINCT, ORDER BY, GROUP BY against the restrictions of its WHERE clause. */
import { invalidRequest } from '../common/errors.ts';
import type { Selectable, SelectStatement } from '../cql/ast.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { quoteName } from '../types/identifiers.ts';
import { findColumn } from './relations.ts';
import type { Restrictions } from './restrictions.ts';
import type { Expression, Selection } from './selection.ts';
import type { SelectionCompiler } from './selection-compiler.ts';

/** What DISTINCT may be asked. @throws CqlError Invalid */
export function checkDistinct(
  statement: SelectStatement,
  selection: Selection,
  restrictions: Restrictions,
  table: TableDef,
): void {
  if (statement.perPartitionLimit !== undefined) {
    throw invalidRequest('PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries');
  }
  if (
    restrictions.clustering.restricted.size > 0 ||
    restrictions.otherColumns.some((c) => c.kind === 'regular')
  ) {
    throw invalidRequest(
      'SELECT DISTINCT with WHERE clause only supports restriction by partition key and/or static columns.',
    );
  }
  const { partition } = restrictions;
  // Rows of several partitions are sorted by what they are ordered by, which must be read then.
  const sorts = partition.kind === 'keys' && !partition.isSingle;
  const wanted = new Set(selection.wanted);
  for (const { column } of sorts ? statement.orderBy : []) wanted.add(findColumn(table, column));
  const unfit = table.columns.find(
    (c) => wanted.has(c) && (c.kind === 'clustering' || c.kind === 'regular'),
  );
  if (unfit !== undefined) {
    throw invalidRequest(
      `SELECT DISTINCT queries must only request partition key columns and/or static columns (not ${unfit.name})`,
    );
  }
  if (partition.kind === 'keys') return;
  const missing = table.columns.find((c) => c.kind === 'partition_key' && !selection.wanted.has(c));
  if (missing !== undefined) {
    throw invalidRequest(
      `SELECT DISTINCT queries must request all the partition key columns (missing ${missing.name})`,
    );
  }
}

/** Refuses rows of a partition to be chosen where nothing of them is shown. @throws CqlError Invalid */
export function checkStaticSelection(selection: Selection, restrictions: Restrictions): void {
  const kinds = new Set([...selection.wanted].map((column) => column.kind));
  const onlyStatic = kinds.has('static') && !kinds.has('regular') && !kinds.has('clustering');
  if (onlyStatic && restrictions.clustering.restricted.size > 0) {
    throw invalidRequest('Cannot restrict clustering columns when selecting only static columns');
  }
}

/** @returns whether partitions are read from last to first @throws CqlError Invalid */
export function analyzeOrder(
  statement: SelectStatement,
  table: TableDef,
  restrictions: Restrictions,
): boolean {
  if (statement.orderBy.length === 0) return false;
  if (statement.orderBy.some((ordering) => ordering.annOf !== undefined)) {
    throw invalidRequest(
      'ANN ordering by vector requires the column to be indexed; secondary indexes are not supported yet',
    );
  }
  // Of a column written twice the last direction counts, at its first place.
  const directions = new Map(
    statement.orderBy.map(({ column, direction }) => [findColumn(table, column), direction]),
  );
  if (restrictions.partition.kind !== 'keys') {
    throw invalidRequest(
      'ORDER BY is only supported when the partition key is restricted by an EQ or an IN.',
    );
  }
  const clustering = table.columns.filter((column) => column.kind === 'clustering');
  let next = 0;
  const reversals = new Set<boolean>();
  for (const [column, direction] of directions) {
    if (column.kind !== 'clustering') {
      throw invalidRequest(
        `Order by is currently only supported on the clustered columns of the PRIMARY KEY, got ${column.name}`,
      );
    }
    while (next < column.position && restrictions.equalColumns.has(clustering[next])) next++;
    if (column.position !== next) {
      throw invalidRequest(
        'Order by currently only supports the ordering of columns following their declared order in the PRIMARY KEY',
      );
    }
    next++;
    reversals.add((direction === 'desc') !== column.reversed);
  }
  if (reversals.size > 1) throw invalidRequest('Unsupported order by relation');
  return reversals.has(true);
}

/** The column that an item of GROUP BY is about. */
function groupedColumn(node: Selectable, isLast: boolean, table: TableDef): ColumnDef {
  if (node.kind !== 'function') {
    if (node.kind !== 'column') {
      throw invalidRequest(
        'Group by is currently only supported on the columns of the PRIMARY KEY',
      );
    }
    const column = findColumn(table, node.name);
    if (column.kind === 'partition_key' || column.kind === 'clustering') return column;
    throw invalidRequest(
      `Group by is currently only supported on the columns of the PRIMARY KEY, got ${column.name}`,
    );
  }
  const names = node.args.flatMap((arg) => (arg.kind === 'column' ? [arg.name] : []));
  const columns = [...new Set(names)].map((name) => findColumn(table, name));
  if (columns.length === 0) {
    throw invalidRequest('GROUP BY functions must have one clustering column name as parameter');
  }
  if (columns.length > 1) {
    throw invalidRequest(
      `GROUP BY functions accept only one clustering column as parameter, got: ${columns.map((c) => quoteName(c.name)).join(',')}`,
    );
  }
  const [column] = columns;
  if (column.kind !== 'clustering') {
    throw invalidRequest(
      `Group by functions are only supported on clustering columns, got ${column.name}`,
    );
  }
  if (!isLast) {
    throw invalidRequest('Functions are only supported on the last element of the GROUP BY clause');
  }
  return column;
}

const GROUP_ORDER =
  'Group by currently only support groups of columns following their declared order in the PRIMARY KEY';

/** GROUP BY compiled; null: there is none. @throws CqlError Invalid */
export function analyzeGroups(
  statement: SelectStatement,
  table: TableDef,
  restrictions: Restrictions,
  compiler: SelectionCompiler,
): readonly Expression[] | null {
  const { groupBy } = statement;
  if (groupBy.length === 0) return null;
  const key = table.columns.filter((c) => c.kind === 'partition_key' || c.kind === 'clustering');
  let next = 0;
  for (const [i, node] of groupBy.entries()) {
    const column = groupedColumn(node, i === groupBy.length - 1, table);
    for (;;) {
      if (next >= key.length) throw invalidRequest(GROUP_ORDER);
      const passed = key[next++];
      if (passed === column) break;
      if (!restrictions.equalColumns.has(passed)) throw invalidRequest(GROUP_ORDER);
    }
  }
  if (key[next]?.kind === 'partition_key') {
    throw invalidRequest('Group by is not supported on only a part of the partition key');
  }
  if (statement.distinct && key.slice(0, next).some((column) => column.kind === 'clustering')) {
    throw invalidRequest(
      'Grouping on clustering columns is not allowed for SELECT DISTINCT queries',
    );
  }
  const expressions = groupBy.map((node) => compiler.compile(node, null));
  if (compiler.aggregates.length > 0) {
    throw invalidRequest(
      `Aggregate functions are not supported within the GROUP BY clause, got: system.${compiler.aggregates[0].fn.name}`,
    );
  }
  return expressions;
}
