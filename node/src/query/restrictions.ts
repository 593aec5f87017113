/**
 * WHERE clauses: which partitions, which rows of them, and what is left to filter.
 */
import { invalidRequest } from '../common/errors.ts';
import type { Relation } from '../cql/ast.ts';
import { type ColumnDef, columnsOf, type TableDef } from '../schema/schema.ts';
import { compareValues } from '../types/codec.ts';
import { type ClusteringChoice, clusteringChoice, splitClustering } from './clustering-choice.ts';
import { type PartitionChoice, partitionChoice } from './partition-choice.ts';
import {
  analyzeRelation,
  type ColumnTest,
  type KeyRestriction,
  type Restriction,
  type TokenRestriction,
} from './relations.ts';
import {
  checkFilters,
  checkPartitionKey,
  checkTogether,
  type WhereOwner,
} from './restriction-checks.ts';
import type { RowValues } from './row.ts';
import type { Binding, TermScope } from './term-values.ts';

export const FILTERING_REFUSED =
  'Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. ' +
  'If you want to execute this query despite the performance unpredictability, use ALLOW FILTERING';

export type RowFilter = (row: RowValues) => boolean;

export interface Restrictions {
  readonly partition: PartitionChoice;
  readonly clustering: ClusteringChoice;
  /** Columns that filters look at. */
  readonly filteredColumns: readonly ColumnDef[];
  readonly needsFiltering: boolean;
  filter(binding: Binding): RowFilter | null;
  /** The partition key is restricted at all, by filters or tokens too. */
  readonly restrictsPartitions: boolean;
  /** By IN, also where that only filters; not where tokens say which partitions are read. */
  readonly hasPartitionIn: boolean;
  /** Columns restricted by `=`. */
  readonly equalColumns: ReadonlySet<ColumnDef>;
  /** All restricted columns that are in no key. */
  readonly otherColumns: readonly ColumnDef[];
}

function restrictionFilter(
  restriction: KeyRestriction | ColumnTest,
  indexOf: (column: ColumnDef) => number,
): (binding: Binding) => RowFilter {
  const places = restriction.columns.map(indexOf);
  const { columns } = restriction;
  if (restriction.kind === 'test') {
    return (binding) => {
      const test = restriction.prepare(binding);
      return (row) => test(row.value(places[0]));
    };
  }
  const compare = (row: RowValues, wanted: readonly Uint8Array[]) => {
    for (let i = 0; i < places.length; i++) {
      const value = row.value(places[i]);
      if (value === null) return null;
      const order = compareValues(columns[i].type, value, wanted[i]);
      if (order !== 0) return order;
    }
    return 0;
  };
  return (binding) => {
    switch (restriction.kind) {
      case 'eq': {
        const wanted = restriction.values(binding);
        return (row) => compare(row, wanted) === 0;
      }
      case 'in': {
        const wanted = restriction.values(binding);
        return (row) => wanted.some((one) => compare(row, one) === 0);
      }
      case 'slice': {
        const bound = restriction.values(binding);
        const { operator } = restriction;
        return (row) => {
          const order = compare(row, bound);
          if (order === null) return false;
          if (order === 0) return operator === '<=' || operator === '>=';
          return order < 0 === (operator === '<' || operator === '<=');
        };
      }
    }
  };
}

/**
 * Analyzes a WHERE clause.
 * @param allowFiltering what cannot be found by key may be filtered; otherwise it is refused here where the
 *   reason is the keys, and told by `needsFiltering` for the rest
 * @throws CqlError Invalid
 */
export function analyzeWhere(
  where: readonly Relation[],
  table: TableDef,
  scope: TermScope,
  owner: WhereOwner,
  allowFiltering: boolean,
): Restrictions {
  const all: Restriction[] = where.map((relation) => analyzeRelation(relation, table, scope));
  const keyColumns = columnsOf(table, 'partition_key');
  const clusteringColumns = columnsOf(table, 'clustering');
  checkTogether(all.filter((r) => r.kind !== 'token'));
  const comparisons = all.filter(
    (r): r is KeyRestriction => r.kind !== 'test' && r.kind !== 'token',
  );
  const ofKind = (kind: ColumnDef['kind']) => comparisons.filter((r) => r.columns[0].kind === kind);
  const tokens = all.filter((r): r is TokenRestriction => r.kind === 'token');
  const tests = all.filter((r): r is ColumnTest => r.kind === 'test');
  if (owner !== 'SELECT') {
    const [test] = tests;
    if (test !== undefined) throw invalidRequest(`Cannot use ${owner} with ${test.operator}`);
    checkPartitionKey(ofKind('partition_key'), tokens, keyColumns, owner);
  }
  const partition = partitionChoice(ofKind('partition_key'), tokens, keyColumns);
  if (partition.left.length > 0 && !allowFiltering) throw invalidRequest(FILTERING_REFUSED);
  const split = splitClustering(ofKind('clustering'), allowFiltering, clusteringColumns);
  checkFilters(split.left);
  if (!allowFiltering && tests.some(({ columns }) => columns[0].kind === 'clustering')) {
    throw invalidRequest(
      'Clustering columns can only be restricted with CONTAINS with a secondary index or filtering',
    );
  }
  // Without the partitions by key, clustering restrictions say nothing about where rows are: filters all.
  const byKey = partition.choice.kind === 'keys';
  const clustering = byKey ? split : { stages: [], left: ofKind('clustering') };
  const onClustering = [...comparisons, ...tests].filter((r) => r.columns[0].kind === 'clustering');
  const others = [...ofKind('regular'), ...ofKind('static')];
  const filtered = [...partition.left, ...clustering.left, ...others, ...tests];
  const indexOf = (column: ColumnDef) => table.columns.indexOf(column);
  const filters = filtered.map((restriction) => restrictionFilter(restriction, indexOf));
  return {
    partition: partition.choice,
    clustering: clusteringChoice(clustering.stages, onClustering, clusteringColumns),
    filteredColumns: [...new Set(filtered.flatMap((r) => r.columns))],
    restrictsPartitions: tokens.length > 0 || ofKind('partition_key').length > 0,
    hasPartitionIn:
      ofKind('partition_key').some((r) => r.kind === 'in') && (byKey || tokens.length === 0),
    equalColumns: new Set(comparisons.filter((r) => r.kind === 'eq').flatMap((r) => r.columns)),
    needsFiltering: filtered.length > 0,
    otherColumns: [...others, ...tests]
      .flatMap((r) => r.columns as readonly ColumnDef[])
      .filter((c) => c.kind === 'regular' || c.kind === 'static'),
    filter: (binding) => {
      if (filters.length === 0) return null;
      const prepared = filters.map((filter) => filter(binding));
      return (row) => prepared.every((test) => test(row));
    },
  };
}
