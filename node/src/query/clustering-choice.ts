/** Which rows of a partition a WHERE clause is about: single ones by their whole keys, or ranges of them. */
import { invalidRequest } from '../common/errors.ts';
import type { ColumnDef } from '../schema/schema.ts';
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
import type { ColumnTest, KeyRestriction } from './relations.ts';
import type { Binding } from './term-values.ts';

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

/** The clustering restrictions that give positions, and those that are left for filters. @throws CqlError Invalid */
export function splitClustering(
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

/**
 * The rows that restrictions lead to.
 * @param stages those that give positions, in the columns' order
 * @param restricted all on clustering columns
 */
export function clusteringChoice(
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
