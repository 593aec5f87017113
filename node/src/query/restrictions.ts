/**
 * WHERE clauses: which partitions, which rows of them, and what is left to filter.
 */
import { invalidRequest } from '../common/errors.ts';
import type { Relation } from '../cql/ast.ts';
import { type ColumnDef, columnsOf, type TableDef } from '../schema/schema.ts';
import { compareValues } from '../types/codec.ts';
import {
  extendPosition,
  intersect,
  normalize,
  PARTITION_START,
  prefixRange,
  type Range,
  sortDistinct,
  tupleSlice,
} from './ranges.ts';
import {
  analyzeRelation,
  type ColumnTest,
  type KeyRestriction,
  type Restriction,
  type TokenRestriction,
} from './relations.ts';
import type { RowValues } from './row.ts';
import type { Binding, TermScope } from './terms.ts';

export const FILTERING_REFUSED =
  'Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. ' +
  'If you want to execute this query despite the performance unpredictability, use ALLOW FILTERING';

/** Tokens t with lower <= t <= upper; null: no bound. */
export interface TokenBounds {
  readonly lower: bigint | null;
  readonly upper: bigint | null;
}

export type PartitionChoice =
  /** By key: values of the partition key columns, one array a partition. */
  | { readonly kind: 'keys'; readonly isSingle: boolean; keys(binding: Binding): Uint8Array[][] }
  /** By token; `bounds` null: no token qualifies. */
  | { readonly kind: 'tokens'; bounds(binding: Binding): TokenBounds | null };

export interface ClusteringChoice {
  /** Every clustering column is given: rows are looked up by key. */
  readonly isPoints: boolean;
  /** No restriction at all. */
  readonly isWhole: boolean;
  /** Clustering columns fixed by `=` (for ORDER BY and GROUP BY). */
  readonly fixedColumns: number;
  /** `isPoints`: the rows' clustering bytes, distinct, in order. */
  points(binding: Binding): Uint8Array[];
  /** Otherwise: where the rows are, in order, disjoint. */
  ranges(binding: Binding): Range[];
}

export type RowFilter = (row: RowValues) => boolean;

export interface Restrictions {
  readonly partition: PartitionChoice;
  readonly clustering: ClusteringChoice;
  /** Columns that filters look at. */
  readonly filteredColumns: readonly ColumnDef[];
  readonly needsFiltering: boolean;
  filter(binding: Binding): RowFilter | null;
  /** All restricted columns that are in no key. */
  readonly otherColumns: readonly ColumnDef[];
}

const SLICES = new Set(['slice']);

function describe(columns: readonly ColumnDef[]): string {
  return columns.length === 1
    ? columns[0].name
    : `(${columns.map((column) => column.name).join(', ')})`;
}

/** Refuses two relations that cannot stand together on the same columns. */
function checkTogether(restrictions: readonly KeyRestriction[]): void {
  for (let i = 0; i < restrictions.length; i++) {
    for (let k = 0; k < i; k++) {
      const a = restrictions[k];
      const b = restrictions[i];
      if (!b.columns.some((column) => a.columns.includes(column))) continue;
      if (a.kind === 'eq' || b.kind === 'eq') {
        throw invalidRequest(
          `${describe(b.columns)} cannot be restricted by more than one relation if it includes an Equal`,
        );
      }
      if (a.kind === 'in' || b.kind === 'in') {
        throw invalidRequest(
          `${describe(b.columns)} cannot be restricted by more than one relation if it includes a IN`,
        );
      }
      if (isLower(a.operator) === isLower(b.operator)) {
        throw invalidRequest(
          `More than one restriction was found for the ${isLower(a.operator) ? 'start' : 'end'} bound on ${describe(b.columns)}`,
        );
      }
    }
  }
}

function isLower(operator: string): boolean {
  return operator === '>' || operator === '>=';
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

/** All combinations of one value of each column. */
function product(choices: readonly Uint8Array[][]): Uint8Array[][] {
  let keys: Uint8Array[][] = [[]];
  for (const values of choices) {
    keys = keys.flatMap((key) => values.map((value) => [...key, value]));
  }
  return keys;
}

function partitionByKeys(
  restrictions: readonly KeyRestriction[],
  keyColumns: readonly ColumnDef[],
): PartitionChoice {
  const byColumn = keyColumns.map((column) => {
    const restriction = restrictions.find((candidate) => candidate.columns.includes(column));
    return restriction as Exclude<KeyRestriction, { kind: 'slice' }>;
  });
  const isSingle = byColumn.every((restriction) => restriction.kind === 'eq');
  const checked = (values: Uint8Array[]): Uint8Array[] => {
    if (values.length === 1 && values[0].length === 0) throw invalidRequest('Key may not be empty');
    return values;
  };
  if (isSingle) {
    const terms = byColumn.map((r) => (r.kind === 'eq' ? r.values : null));
    if (terms.length === 1 && terms[0] !== null) {
      const [only] = terms;
      return { kind: 'keys', isSingle, keys: (binding) => [checked(only(binding))] };
    }
    return {
      kind: 'keys',
      isSingle,
      keys: (binding) => [checked(terms.flatMap((term) => term?.(binding) ?? []))],
    };
  }
  return {
    kind: 'keys',
    isSingle,
    keys: (binding) =>
      product(
        byColumn.map((r) =>
          r.kind === 'eq' ? r.values(binding) : r.values(binding).map(([value]) => value),
        ),
      ).map(checked),
  };
}

function partitionByTokens(restrictions: readonly TokenRestriction[]): PartitionChoice {
  for (const lower of [true, false]) {
    const bounds = restrictions.filter((r) => r.operator !== '=' && isLower(r.operator) === lower);
    if (bounds.length > 1) {
      throw invalidRequest(
        `More than one restriction was found for the ${lower ? 'start' : 'end'} bound on partition key token`,
      );
    }
  }
  if (restrictions.length > 1 && restrictions.some((r) => r.operator === '=')) {
    throw invalidRequest(
      'Columns of the partition key cannot be restricted by more than one relation if it includes an Equal',
    );
  }
  return {
    kind: 'tokens',
    bounds: (binding) => {
      let lower: bigint | null = null;
      let upper: bigint | null = null;
      for (const { operator, value } of restrictions) {
        const token = value(binding);
        if (operator === '=') lower = upper = token;
        else if (operator === '>') lower = token + 1n;
        else if (operator === '>=') lower = token;
        else if (operator === '<') upper = token - 1n;
        else upper = token;
      }
      // As in Cassandra, the smallest token as an upper bound means the end of the ring.
      if (upper !== null && upper <= -(2n ** 63n)) upper = null;
      return lower !== null && upper !== null && lower > upper ? null : { lower, upper };
    },
  };
}

/** The clustering restrictions that give positions, and those that are left for filters. */
function splitClustering(
  restrictions: readonly KeyRestriction[],
  allowFiltering: boolean,
  clustering: readonly ColumnDef[],
): { readonly stages: KeyRestriction[]; readonly left: KeyRestriction[] } {
  const sorted = [...restrictions].sort((a, b) => a.columns[0].position - b.columns[0].position);
  const stages: KeyRestriction[] = [];
  const left: KeyRestriction[] = [];
  let next = 0;
  let slice: KeyRestriction | null = null;
  for (const restriction of sorted) {
    const first = restriction.columns[0].position;
    if (slice !== null && first === slice.columns[0].position) {
      stages.push(restriction);
    } else if (slice === null && first === next) {
      stages.push(restriction);
      if (SLICES.has(restriction.kind)) slice = restriction;
      next = first + restriction.columns.length;
    } else if (allowFiltering) {
      left.push(restriction);
    } else if (slice !== null) {
      throw invalidRequest(
        `Clustering column "${restriction.columns[0].name}" cannot be restricted (preceding column "${slice.columns[0].name}" is restricted by a non-EQ relation)`,
      );
    } else {
      throw invalidRequest(
        `PRIMARY KEY column "${restriction.columns[0].name}" cannot be restricted as preceding column "${clustering[next].name}" is not restricted`,
      );
    }
  }
  return { stages, left };
}

function clusteringChoice(
  stages: readonly KeyRestriction[],
  clustering: readonly ColumnDef[],
): ClusteringChoice {
  const prefixStages = stages.filter((stage) => stage.kind !== 'slice');
  const slices = stages.filter((stage) => stage.kind === 'slice');
  const given = prefixStages.reduce((count, stage) => count + stage.columns.length, 0);
  const prefixes = (binding: Binding): Uint8Array[] => {
    let places: Uint8Array[] = [PARTITION_START];
    for (const stage of prefixStages) {
      const tuples = stage.kind === 'eq' ? [stage.values(binding)] : stage.values(binding);
      places = places.flatMap((place) =>
        tuples.map((tuple) => extendPosition(place, stage.columns, tuple)),
      );
    }
    return places.length > 1 ? sortDistinct(places) : places;
  };
  let fixedColumns = 0;
  for (const stage of prefixStages) {
    if (stage.kind !== 'eq') break;
    fixedColumns += stage.columns.length;
  }
  return {
    isPoints: given === clustering.length && slices.length === 0,
    isWhole: stages.length === 0,
    fixedColumns,
    points: prefixes,
    ranges: (binding) => {
      const places = prefixes(binding);
      if (slices.length === 0) return places.map(prefixRange);
      const bounds = slices.map((slice) => ({ ...slice, tuple: slice.values(binding) }));
      return normalize(
        places.flatMap((place) =>
          bounds
            .map((bound) => tupleSlice(place, bound.columns, bound.operator, bound.tuple))
            .reduce(intersect),
        ),
      );
    },
  };
}

function partitionChoice(
  keyRestrictions: readonly KeyRestriction[],
  tokens: readonly TokenRestriction[],
  keyColumns: readonly ColumnDef[],
  allowFiltering: boolean,
): { readonly choice: PartitionChoice; readonly left: readonly KeyRestriction[] } {
  if (tokens.length > 0) {
    if (keyRestrictions.length > 0 && !allowFiltering) {
      throw invalidRequest(
        `Columns "${keyColumns.map((c) => c.name).join('", "')}" cannot be restricted by both a normal relation and a token relation`,
      );
    }
    return { choice: partitionByTokens(tokens), left: keyRestrictions };
  }
  const complete = keyColumns.every((column) =>
    keyRestrictions.some((r) => r.kind !== 'slice' && r.columns.includes(column)),
  );
  if (complete) return { choice: partitionByKeys(keyRestrictions, keyColumns), left: [] };
  if (keyRestrictions.some((r) => r.kind === 'slice') && !allowFiltering) {
    throw invalidRequest(
      'Only EQ and IN relation are supported on the partition key (unless you use the token() function or allow filtering)',
    );
  }
  const everything: PartitionChoice = {
    kind: 'tokens',
    bounds: () => ({ lower: null, upper: null }),
  };
  return { choice: everything, left: keyRestrictions };
}

/**
 * Analyzes a WHERE clause.
 * @param allowFiltering what cannot be found by key may be filtered; otherwise it is refused here where the
 *   reason is the order of clustering columns, and told by `needsFiltering` for the rest
 * @throws CqlError Invalid
 */
export function analyzeWhere(
  where: readonly Relation[],
  table: TableDef,
  scope: TermScope,
  allowFiltering: boolean,
): Restrictions {
  const all: Restriction[] = where.flatMap((relation) => analyzeRelation(relation, table, scope));
  const keyColumns = columnsOf(table, 'partition_key');
  const clusteringColumns = columnsOf(table, 'clustering');
  const comparisons = all.filter(
    (r): r is KeyRestriction => r.kind !== 'test' && r.kind !== 'token',
  );
  checkTogether(comparisons);
  const ofKind = (kind: ColumnDef['kind']) => comparisons.filter((r) => r.columns[0].kind === kind);
  const tokens = all.filter((r): r is TokenRestriction => r.kind === 'token');
  const tests = all.filter((r): r is ColumnTest => r.kind === 'test');
  const partition = partitionChoice(ofKind('partition_key'), tokens, keyColumns, allowFiltering);
  // Without the partitions by key, clustering restrictions say nothing about where rows are: filters all.
  const byKey = partition.choice.kind === 'keys';
  const clustering = byKey
    ? splitClustering(ofKind('clustering'), allowFiltering, clusteringColumns)
    : { stages: [], left: ofKind('clustering') };
  const others = comparisons.filter((r) => !r.columns[0].kind.match(/partition_key|clustering/));
  const filtered = [...partition.left, ...clustering.left, ...others, ...tests];
  const indexOf = (column: ColumnDef) => table.columns.indexOf(column);
  const filters = filtered.map((restriction) => restrictionFilter(restriction, indexOf));
  return {
    partition: partition.choice,
    clustering: clusteringChoice(clustering.stages, clusteringColumns),
    filteredColumns: [...new Set(filtered.flatMap((r) => r.columns))],
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
