/** Statements that have been planned: by id for EXECUTE, by text for QUERY. Both bounded. */
import { createHash } from 'node:crypto';
import type { Replicated } from '../coordinator/replicated.ts';
import { TableRow } from '../query/row.ts';
import type { PlannedStatement } from '../query/statement.ts';
import type { Schema, TableDef } from '../schema/schema.ts';
import type { TableHandle } from '../storage/record-source.ts';
import {
  type ColumnSpec,
  type EncodedMetadata,
  encodeMetadata,
  type ProtocolVersion,
} from '../transport/index.ts';
import type { DataPaths } from './data-paths.ts';
import { kindOf } from './latency.ts';

const NAME_OF_NO_TABLE = { keyspace: '', name: '' };

/** A plan and what executing it again and again wants at hand. */
export class Runnable {
  readonly statement: PlannedStatement;
  /** The schema it was planned with. */
  readonly schema: Schema;
  /** Of the plan's table, unless it is virtual or there is none. */
  readonly handle: TableHandle | null;
  /** Under what its requests are timed. */
  readonly latencyKind: number;
  private row: TableRow | null = null;
  private replicated: Replicated | null = null;
  private replicatedVersion = -1;
  private readonly resultMetadata: (EncodedMetadata | undefined)[] = [];
  private readonly markerMetadata: (EncodedMetadata | undefined)[] = [];
  private idOfResult: Buffer | null = null;
  private readonly markerIndexes = new Map<string, number[]>();

  constructor(statement: PlannedStatement, schema: Schema, handle: TableHandle | null) {
    this.statement = statement;
    this.schema = schema;
    this.handle = handle;
    this.latencyKind = kindOf(statement.plan);
    for (const [i, { name }] of statement.markers.entries()) {
      const indexes = this.markerIndexes.get(name);
      if (indexes === undefined) this.markerIndexes.set(name, [i]);
      else indexes.push(i);
    }
  }

  /** Places of the markers called `name`. */
  indexesOf(name: string): readonly number[] {
    return this.markerIndexes.get(name) ?? [];
  }

  /** Who has the rows of its table. @throws CqlError Invalid: the keyspace has been dropped */
  replicatedIn(paths: DataPaths, table: Pick<TableDef, 'keyspace'>): Replicated {
    if (this.replicated === null || this.replicatedVersion !== paths.version) {
      this.replicated = paths.replicatedOf(table);
      this.replicatedVersion = paths.version;
    }
    return this.replicated;
  }

  /** The row that this plan's point reads look through, one after another. */
  pointRow(handle: TableHandle, nowSeconds: number): TableRow {
    const { plan } = this.statement;
    this.row ??= new TableRow(handle, plan.kind === 'select' ? plan.read.wanted : [], nowSeconds);
    this.row.nowSeconds = nowSeconds;
    return this.row;
  }

  result(version: ProtocolVersion): EncodedMetadata {
    const known = this.resultMetadata[version];
    if (known !== undefined) return known;
    const encoded = encodeMetadata(this.specs(this.statement.resultColumns), version);
    this.resultMetadata[version] = encoded;
    return encoded;
  }

  markers(version: ProtocolVersion): EncodedMetadata {
    const known = this.markerMetadata[version];
    if (known !== undefined) return known;
    const encoded = encodeMetadata(this.specs(this.statement.markers), version);
    this.markerMetadata[version] = encoded;
    return encoded;
  }

  specs(columns: readonly Pick<ColumnSpec, 'name' | 'type'>[]): ColumnSpec[] {
    const { keyspace, name: table } = this.statement.table ?? NAME_OF_NO_TABLE;
    return columns.map(({ name, type }) => ({ keyspace, table, name, type }));
  }

  /** Changes when the result's columns do. */
  get resultId(): Buffer {
    this.idOfResult ??= createHash('md5').update(this.result(5).columns).digest();
    return this.idOfResult;
  }
}

/** 16 bytes; the same in every worker and node. Source: QueryProcessor.computeId. */
export function statementId(text: string, keyspace: string | null): Buffer {
  return createHash('md5')
    .update((keyspace ?? '') + text)
    .digest();
}

/** Forgets what was used longest ago. */
export class RecentCache<V> {
  private readonly entries = new Map<string, V>();
  private readonly max: number;

  constructor(max: number) {
    this.max = max;
  }

  get(key: string): V | undefined {
    return this.entries.get(key);
  }

  /** As `get`, and keeps the entry longer. */
  use(key: string): V | undefined {
    const value = this.entries.get(key);
    if (value !== undefined) {
      this.entries.delete(key);
      this.entries.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.entries.delete(key);
    this.entries.set(key, value);
    if (this.entries.size > this.max) {
      const [oldest] = this.entries.keys();
      this.entries.delete(oldest);
    }
  }

  get size(): number {
    return this.entries.size;
  }
}
