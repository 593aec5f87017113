/** What a read is asked for, and how its rows are shown. */
import type { ColumnDef } from '../schema/schema.ts';
import { WHOLE_PARTITION } from './ranges.ts';
import type { Restrictions } from './restrictions.ts';
import type { TableRow } from './row.ts';

/** What to read of one table. */
export interface ReadPlan {
  readonly restrictions: Restrictions;
  /** Columns that selectors and filters ask for. */
  readonly wanted: readonly ColumnDef[];
  /** Rows of a partition from last to first. */
  readonly reversed: boolean;
  /** A partition with static content and no rows shows as one row. */
  readonly showsStaticOnly: boolean;
  /** One row a partition is enough. */
  readonly distinct: boolean;
  /** Keep the position of the row before, for `stop-before`. */
  readonly remembers: boolean;
}

/** Reads all rows of the partition with these key values. */
export function wholePartition(key: Uint8Array[], wanted: readonly ColumnDef[]): ReadPlan {
  const nothing: ReadonlySet<ColumnDef> = new Set();
  return {
    restrictions: {
      partition: { kind: 'keys', isSingle: true, isBounded: false, keys: () => [key] },
      clustering: {
        restricted: nothing,
        hasSlice: false,
        hasIn: false,
        isPoints: false,
        isWhole: true,
        fixedColumns: 0,
        points: () => [],
        ranges: () => [WHOLE_PARTITION],
      },
      filteredColumns: [],
      needsFiltering: false,
      restrictsPartitions: true,
      hasPartitionIn: false,
      equalColumns: nothing,
      otherColumns: [],
      filter: () => null,
    },
    wanted,
    reversed: false,
    showsStaticOnly: true,
    distinct: false,
    remembers: false,
  };
}

/** The last row shown: where the next page goes on. */
export interface Position {
  /** Token and key of the partition. */
  readonly partition: Uint8Array;
  /** Null: the whole partition has been shown. */
  readonly clustering: Uint8Array | null;
}

/** `stop-before`: the row is to be shown again, on the next page (only if the plan says `remembers`). */
export type AfterRow = 'next' | 'next-partition' | 'stop' | 'stop-before';

export interface RowVisitor {
  /** `row` is lent for the call. */
  row(row: TableRow): AfterRow;
}

export interface ReadOutcome {
  /** Where it was stopped; null: everything was shown. */
  readonly position: Position | null;
  readonly tombstones: number;
}
