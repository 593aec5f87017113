/**
 * Where one request's records are read and written: this node's shards alone, or the replicas of the ring at the request's
 * consistency levels. What a statement means is the executor's business, where its rows are is a path's.
 */
import type { WriteType } from '../common/errors.ts';
import type { RecordSource, TableHandle } from '../storage/record-source.ts';
import type { Mutation } from './modify.ts';

/** What to add to the counters of one row. */
export interface CounterChange {
  readonly handle: TableHandle;
  /** Token and partition key. */
  readonly partition: Uint8Array;
  /** Clustering bytes; null: the partition's static counters. */
  readonly point: Uint8Array | null;
  /** By column id, each once. */
  readonly deltas: readonly { readonly column: number; readonly delta: bigint }[];
}

/** What a conditional statement is about. */
export interface ConditionalTarget {
  readonly handle: TableHandle;
  /** Token and partition key. */
  readonly partition: Uint8Array;
  /** Keys of the partition whose records the decision will ask for: read along with the first step. */
  readonly keys: readonly Uint8Array[];
}

/** What a conditional statement does, given the rows as they are. */
export type Decision<T> =
  | {
      readonly applies: true;
      /** What it writes at a time. @throws CqlError */
      mutations(timestamp: bigint): Promise<readonly Mutation[]>;
      readonly result: T;
    }
  | { readonly applies: false; readonly result: T };

export interface DataPath {
  /** Rows as they are before a write that depends on them. */
  readonly source: RecordSource;
  /** Resolves when as many replicas have all of the mutations as the level asks for. @throws CqlError */
  write(mutations: readonly Mutation[], type: WriteType): Promise<void>;
  /** All of the mutations or, in the end, none. @throws CqlError */
  writeLogged(mutations: readonly Mutation[]): Promise<void>;
  /** Adds to counters of one partition. @throws CqlError */
  count(changes: readonly CounterChange[]): Promise<void>;
  /**
   * Decides and writes as one step, in one line with all other conditional writes of the partition.
   * @param decide may be called several times, each time with the rows as they are
   * @throws CqlError
   */
  conditional<T>(
    target: ConditionalTarget,
    decide: (source: RecordSource) => Promise<Decision<T>>,
  ): Promise<T>;
}
