/**
 * WHERE clauses: which partitions, which rows of them, and what is left to filter.
 */
import { Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import { murmur3Token } from '../common/murmur3.ts';
import type { Relation } from '../cql/ast.ts';
import { type ColumnDef, columnsOf, type TableDef } from '../schema/schema.ts';
import { serializePartitionKey } from '../storage/keys.ts';
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
  | {
      readonly kind: 'keys';
      readonly isSingle: boolean;
      /** Token relations may leave out some or all. */
      readonly isBounded: boolean;
      keys(binding: Binding): Uint8Array[][];
    }
  /** By token; `bounds` null: no token qualifies. */
  | { readonly kind: 'tokens'; bounds(binding: Binding): TokenBounds | null };

type KeyedChoice = Extract<PartitionChoice, { kind: 'keys' }>;

export interface ClusteringChoice {
  /** Clustering columns that are restricted at all, by filters too. */
  readonly restricted: ReadonlySet<ColumnDef>;
  /** Restricted by `<`, `<=`, `>` or `>=`. */
  readonly hasSlice: boolean;
  readonly hasIn: boolean;
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
  /** The partition key is restricted at all, by filters or tokens too. */
  readonly restrictsPartitions: boolean;
  /** By IN, also where that only filters; not where tokens say which partitions are read. */
  readonly hasPartitionIn: boolean;
  /** Columns restricted by `=`. */
  readonly equalColumns: ReadonlySet<ColumnDef>;
  /** All restricted columns that are in no key. */
  readonly otherColumns: readonly ColumnDef[];
}

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

function checkTogether(restrictions: readonly (KeyRestriction | ColumnTest)[]): void {
  for (const [i, restriction] of restrictions.entries()) {
    for (const before of restrictions.slice(0, i)) checkPair(before, restriction);
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
): KeyedChoice {
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
      return {
        kind: 'keys',
        isSingle,
        isBounded: false,
        keys: (binding) => [checked(only(binding))],
      };
    }
    return {
      kind: 'keys',
      isSingle,
      isBounded: false,
      keys: (binding) => [checked(terms.flatMap((term) => term?.(binding) ?? []))],
    };
  }
  return {
    kind: 'keys',
    isSingle,
    isBounded: false,
    keys: (binding) =>
      product(
        byColumn.map((r) =>
          r.kind === 'eq' ? r.values(binding) : r.values(binding).map(([value]) => value),
        ),
      ).map(checked),
  };
}

type TokenBoundsOf = (binding: Binding) => TokenBounds | null;

function tokenBounds(
  restrictions: readonly TokenRestriction[],
  keyColumns: readonly ColumnDef[],
): TokenBoundsOf {
  const names = keyColumns.map((column) => column.name).join(', ');
  for (const lower of [true, false]) {
    const bounds = restrictions.filter((r) => r.operator !== '=' && isLower(r.operator) === lower);
    if (bounds.length > 1) {
      throw invalidRequest(
        `More than one restriction was found for the ${lower ? 'start' : 'end'} bound on ${names}`,
      );
    }
  }
  if (restrictions.length > 1 && restrictions.some((r) => r.operator === '=')) {
    throw invalidRequest(
      restrictions[0].operator === '='
        ? `${names} cannot be restricted by more than one relation if it includes an Equal`
        : `Columns "${names}" cannot be restricted by both an equality and an inequality relation`,
    );
  }
  return (binding) => {
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
  };
}

/** Of the partitions given by key, those whose tokens are within the bounds. */
function withinBounds(choice: KeyedChoice, bounds: TokenBoundsOf): KeyedChoice {
  const isWithin = (values: readonly Uint8Array[], { lower, upper }: TokenBounds) => {
    const out = new Writer(64);
    serializePartitionKey(values, out);
    const token = murmur3Token(out.view());
    return (lower === null || token >= lower) && (upper === null || token <= upper);
  };
  return {
    ...choice,
    isBounded: true,
    keys: (binding) => {
      const within = bounds(binding);
      if (within === null) return [];
      return choice.keys(binding).filter((values) => isWithin(values, within));
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
      if (restriction.kind === 'slice') slice = restriction;
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
  restricted: readonly (KeyRestriction | ColumnTest)[],
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
    restricted: new Set(restricted.flatMap(({ columns }) => columns)),
    hasSlice: slices.length > 0,
    hasIn: stages.some((stage) => stage.kind === 'in'),
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
): { readonly choice: PartitionChoice; readonly left: readonly KeyRestriction[] } {
  const complete = keyColumns.every((column) =>
    keyRestrictions.some((r) => r.kind !== 'slice' && r.columns.includes(column)),
  );
  const bounds = tokens.length === 0 ? null : tokenBounds(tokens, keyColumns);
  if (complete) {
    const choice = partitionByKeys(keyRestrictions, keyColumns);
    return { choice: bounds === null ? choice : withinBounds(choice, bounds), left: [] };
  }
  const everything: TokenBoundsOf = () => ({ lower: null, upper: null });
  return { choice: { kind: 'tokens', bounds: bounds ?? everything }, left: keyRestrictions };
}

/** Restrictions of several columns can say where rows are, but not filter them. */
function checkFilters(restrictions: readonly KeyRestriction[]): void {
  for (const { kind, columns } of restrictions) {
    if (columns.length === 1) continue;
    if (kind === 'in') throw invalidRequest('Multicolumn IN filters are not supported');
    if (kind === 'slice') {
      throw invalidRequest('Multi-column slice restrictions cannot be used for filtering.');
    }
  }
}

/** The statements that have a WHERE clause, as messages call them. */
export type WhereOwner = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';

/** What only a SELECT may ask of partition keys is refused for the others. */
function checkPartitionKey(
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
