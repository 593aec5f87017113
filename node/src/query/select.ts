/** What a SELECT is, planned, and how it is run. */
import { Writer } from '../common/bytes.ts';
import { invalidRequest, protocolError } from '../common/errors.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import type { RecordSource, TableHandle } from '../storage/record-source.ts';
import { compareValues } from '../types/codec.ts';
import { jsonName, toJson } from '../types/json.ts';
import { decodePagingState, encodePagingState } from './paging-state.ts';
import { RowReader, TOMBSTONES_WARN } from './read.ts';
import type { AfterRow, ReadPlan, RowVisitor } from './read-plan.ts';
import type { TableRow } from './row.ts';
import {
  type Expression,
  Group,
  type ResultColumn,
  type Selection,
  type SelectionContext,
} from './selection.ts';
import type { Binding, CompiledTerm } from './term-values.ts';

const NO_LIMIT = 0x7fffffff;
/** Bytes of a page after which it ends, however few its rows. */
const PAGE_BYTES_MAX = 8 << 20;
/** Bytes of a result that the client does not want in pages. */
const RESULT_BYTES_MAX = 128 << 20;

export interface SelectPlan {
  readonly kind: 'select';
  readonly table: TableDef;
  readonly selection: Selection;
  readonly resultColumns: readonly ResultColumn[];
  readonly read: ReadPlan;
  readonly limit: CompiledTerm | null;
  readonly perPartitionLimit: CompiledTerm | null;
  readonly isAggregate: boolean;
  /** Null: no GROUP BY. */
  readonly groupBy: readonly Expression[] | null;
  readonly json: boolean;
  /** ORDER BY over several partitions: sorted here. */
  readonly sortColumns: readonly ColumnDef[] | null;
  /** At most one row, found by its whole key, without filters, groups or limits. */
  readonly isPoint: boolean;
}

export interface RowsResult {
  /** That of the columns, where it is not the statement's. */
  readonly table?: Pick<TableDef, 'keyspace' | 'name'>;
  readonly columns: readonly ResultColumn[];
  readonly rowCount: number;
  /** The rows' values as [bytes], one after another. */
  readonly content: Uint8Array;
  readonly pagingState: Uint8Array | null;
  readonly warnings: readonly string[];
}

export interface ReadOptions {
  /** Rows a page; <= 0: all. */
  readonly pageSize: number;
  readonly pagingState: Uint8Array | null;
  readonly nowSeconds: number;
}

function limitValue(term: CompiledTerm | null, binding: Binding): number {
  if (term === null) return NO_LIMIT;
  const value = term.evaluate(binding);
  if (value === undefined) return NO_LIMIT;
  if (value === null) throw invalidRequest('Invalid null value of limit');
  const limit = Buffer.from(value).readInt32BE(0);
  if (limit <= 0) throw invalidRequest('LIMIT must be strictly positive');
  return limit;
}

/** Puts result rows together. */
class Output {
  readonly out = new Writer(4096);
  rowCount = 0;
  private readonly plan: SelectPlan;

  constructor(plan: SelectPlan) {
    this.plan = plan;
  }

  values(values: readonly (Uint8Array | null)[]): void {
    this.rowCount++;
    if (!this.plan.json) {
      for (const value of values) this.out.bytes(value);
      return;
    }
    const { columns } = this.plan.selection;
    const members = columns.map(({ name, type }, i) => {
      const value = values[i];
      return `${jsonName(name)}: ${toJson(type, value)}`;
    });
    this.out.longString(`{${members.join(', ')}}`);
  }

  row(context: SelectionContext): void {
    const { plain, expressions } = this.plan.selection;
    if (plain === null || this.plan.json) {
      this.values(expressions.map((expression) => expression.evaluate(context)));
      return;
    }
    this.rowCount++;
    const row = context.row as TableRow;
    for (let i = 0; i < plain.length; i++) row.write(plain[i], this.out);
  }
}

class SelectVisitor implements RowVisitor {
  readonly output: Output;
  private readonly plan: SelectPlan;
  private readonly context: SelectionContext;
  private readonly pageSize: number;
  private readonly perPartition: number;
  private group: Group | null = null;
  private groupKey: (Uint8Array | null)[] | null = null;
  private groupSort: readonly (Uint8Array | null)[] = [];
  private partition: readonly Uint8Array[] | null = null;
  private readonly sorted: {
    readonly keys: readonly (Uint8Array | null)[];
    readonly values: (Uint8Array | null)[];
  }[] = [];
  limitLeft: number;
  partitionLimitLeft: number;

  constructor(
    plan: SelectPlan,
    binding: Binding,
    pageSize: number,
    limitLeft: number,
    perPartition: number,
  ) {
    this.plan = plan;
    this.output = new Output(plan);
    this.pageSize = pageSize > 0 ? pageSize : NO_LIMIT;
    this.limitLeft = limitLeft;
    this.perPartition = perPartition;
    this.partitionLimitLeft = perPartition;
    this.context = { row: null as never, binding, aggregates: [], leaves: null };
  }

  /** Goes on in the middle of a partition of which this many rows may still be shown. */
  resume(partition: readonly Uint8Array[] | null, partitionLimitLeft: number): void {
    this.partition = partition;
    this.partitionLimitLeft = partitionLimitLeft;
  }

  row(row: TableRow): AfterRow {
    const { plan, context } = this;
    context.row = row;
    if (plan.groupBy !== null) return this.groupedRow(plan.groupBy, row);
    if (plan.isAggregate) {
      this.group ??= new Group(plan.selection);
      this.group.add(context);
      return 'next';
    }
    if (this.perPartition !== NO_LIMIT) {
      this.enter(row);
      // Only when a page ended with the partition's last allowed row.
      if (this.partitionLimitLeft === 0) return 'next-partition';
      this.partitionLimitLeft--;
    }
    if (plan.sortColumns !== null) {
      this.keepForSort(plan.sortColumns, row);
      return 'next';
    }
    this.output.row(context);
    this.limitLeft--;
    if (this.limitLeft === 0 || this.isPageFull()) return 'stop';
    return this.partitionLimitLeft === 0 ? 'next-partition' : 'next';
  }

  /** A page ends early when its rows are large, so that no answer takes the memory of many. */
  private isPageFull(): boolean {
    const { rowCount, out } = this.output;
    if (rowCount >= this.pageSize) return true;
    if (out.length < PAGE_BYTES_MAX) return false;
    if (this.pageSize !== NO_LIMIT) return true;
    if (out.length < RESULT_BYTES_MAX) return false;
    throw invalidRequest(
      `The result is larger than ${RESULT_BYTES_MAX >> 20} MiB: read it in pages, or with LIMIT`,
    );
  }

  private enter(row: TableRow): void {
    const values = row.partitionKeyValues();
    const { partition } = this;
    if (partition !== null && values.every((value, i) => Buffer.compare(value, partition[i]) === 0))
      return;
    this.partition = values.map((value) => Uint8Array.from(value));
    this.partitionLimitLeft = this.perPartition;
  }

  private keepForSort(columns: readonly ColumnDef[], row: TableRow): void {
    this.sorted.push({
      keys: this.sortKeys(columns, row),
      values: this.plan.selection.expressions.map((e) => copyOf(e.evaluate(this.context))),
    });
  }

  private sortKeys(columns: readonly ColumnDef[], row: TableRow): (Uint8Array | null)[] {
    const { table } = this.plan;
    return columns.map((column) => copyOf(row.value(table.columns.indexOf(column))));
  }

  private groupedRow(groupBy: readonly Expression[], row: TableRow): AfterRow {
    const { context, plan } = this;
    const key = groupBy.map((expression) => copyOf(expression.evaluate(context)));
    const isNew =
      this.groupKey === null ||
      key.some((value, i) => Buffer.compare(value ?? EMPTY, this.groupKey?.[i] ?? EMPTY) !== 0);
    if (isNew) {
      if (this.group !== null && this.finishGroup() === 'stop') return 'stop-before';
      if (this.perPartition !== NO_LIMIT) {
        this.enter(row);
        if (this.partitionLimitLeft === 0) {
          this.groupKey = null;
          return 'next-partition';
        }
        this.partitionLimitLeft--;
      }
      this.group = new Group(plan.selection);
      this.groupKey = key;
      this.groupSort = plan.sortColumns === null ? [] : this.sortKeys(plan.sortColumns, row);
    }
    this.group?.add(context);
    return 'next';
  }

  private finishGroup(): 'stop' | 'next' {
    if (this.group === null) return 'next';
    const values = this.group.finish(this.context);
    if (this.plan.sortColumns === null) this.output.values(values);
    else this.sorted.push({ keys: this.groupSort, values });
    this.group = null;
    this.limitLeft--;
    return this.limitLeft === 0 || this.output.rowCount >= this.pageSize ? 'stop' : 'next';
  }

  /** After the last row. @param stopped the page ended before the data did */
  finish(stopped: boolean): void {
    const { plan } = this;
    if (plan.groupBy !== null) {
      if (!stopped) this.finishGroup();
      if (plan.sortColumns !== null) this.writeSorted(plan.sortColumns);
    } else if (plan.isAggregate) {
      const group = this.group ?? new Group(plan.selection);
      this.output.values(group.finish(this.context));
    } else if (plan.sortColumns !== null) {
      this.writeSorted(plan.sortColumns);
    }
  }

  private writeSorted(columns: readonly ColumnDef[]): void {
    const { reversed } = this.plan.read;
    this.sorted.sort((a, b) => {
      for (let i = 0; i < columns.length; i++) {
        const order = compareKeys(columns[i], a.keys[i], b.keys[i]);
        if (order !== 0) return reversed ? -order : order;
      }
      return 0;
    });
    // Groups have been counted one by one.
    const limit = this.plan.groupBy === null ? this.limitLeft : this.sorted.length;
    for (const { values } of this.sorted.slice(0, limit)) this.output.values(values);
  }
}

const EMPTY = new Uint8Array(0);

/** In the table's order; a partition's static content alone comes before its rows. */
function compareKeys(column: ColumnDef, a: Uint8Array | null, b: Uint8Array | null): number {
  if (a === null || b === null) return Number(b === null) - Number(a === null);
  const order = compareValues(column.type, a, b);
  return column.reversed ? -order : order;
}

function copyOf(value: Uint8Array | null): Uint8Array | null {
  return value === null ? null : Uint8Array.from(value);
}

function warningsOf(plan: SelectPlan, tombstones: number): string[] {
  const warnings: string[] = [];
  if (plan.isAggregate || plan.groupBy !== null) {
    if (!plan.read.restrictions.restrictsPartitions) {
      warnings.push('Aggregation query used without partition key');
    } else if (plan.read.restrictions.hasPartitionIn) {
      warnings.push('Aggregation query used on multiple partition keys (IN restriction)');
    }
  }
  if (tombstones >= TOMBSTONES_WARN) {
    warnings.push(
      `Read ${tombstones} tombstone cells for ${plan.table.keyspace}.${plan.table.name} (see tombstone_warn_threshold)`,
    );
  }
  return warnings;
}

/** The bounds on clustering columns leave no place for rows: Cassandra answers then without a further look. */
function isEmptySlice(plan: SelectPlan, binding: Binding): boolean {
  const { clustering } = plan.read.restrictions;
  return !clustering.isPoints && clustering.ranges(binding).length === 0;
}

/**
 * Runs a SELECT.
 * @throws CqlError
 */
export async function runSelect(
  plan: SelectPlan,
  store: RecordSource,
  handle: TableHandle,
  binding: Binding,
  options: ReadOptions,
): Promise<RowsResult> {
  if (options.pageSize === 0) throw protocolError('The page size cannot be 0');
  const limit = limitValue(plan.limit, binding);
  const perPartition = limitValue(plan.perPartitionLimit, binding);
  if (plan.sortColumns !== null && options.pageSize > 0 && !isEmptySlice(plan, binding)) {
    throw invalidRequest(
      'Cannot page queries with both ORDER BY and a IN restriction on the partition key; you must either remove the ORDER BY or the IN and sort client side, or disable paging for this query',
    );
  }
  const pageSize = plan.isAggregate && plan.groupBy === null ? 0 : options.pageSize;
  const state = options.pagingState === null ? null : decodePagingState(options.pagingState);
  const visitor = new SelectVisitor(
    plan,
    binding,
    pageSize,
    state?.limitLeft ?? limit,
    perPartition,
  );
  const reader = new RowReader(store, handle, plan.read, binding, options.nowSeconds, visitor);
  if (state !== null && state.position.clustering !== null) {
    visitor.resume(reader.keyValues(state.position.partition), state.partitionLimitLeft);
  }
  const outcome = await reader.read(binding, state?.position ?? null);
  visitor.finish(outcome.position !== null);
  const { output, limitLeft, partitionLimitLeft } = visitor;
  const { position } = outcome;
  return {
    columns: plan.resultColumns,
    rowCount: output.rowCount,
    content: output.out.view(),
    pagingState:
      position !== null && limitLeft > 0
        ? encodePagingState({ position, limitLeft, partitionLimitLeft })
        : null,
    warnings: warningsOf(plan, outcome.tombstones),
  };
}
