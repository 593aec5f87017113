/**
 * A logical row put together from its records: the partition's (deletion, ranges, static cells) and its own.
 * @hot `TableRow` is reused from row to row.
 */
import { compareBytes, type Writer } from '../common/bytes.ts';
import type { ColumnDef, TableDef } from '../schema/schema.ts';
import { decodeClustering, decodePartitionKey, type KeyLayout } from '../storage/keys.ts';
import { mergeDeletions } from '../storage/merge.ts';
import {
  type Deletion,
  decodeRecord,
  HAS_DELETION,
  HAS_RANGES,
  type RangeTombstone,
} from '../storage/record.ts';
import type { TableHandle } from '../storage/record-source.ts';
import {
  type ComplexCell,
  NONE,
  RowView,
  readI64,
  readU32,
  type ViewShape,
} from '../storage/record-view.ts';
import { packCollection, packTuple } from '../types/collections.ts';
import { decodeOrdered } from '../types/ordered.ts';
import { isMultiCell } from '../types/type-facts.ts';

/** What filters and selectors see. `index` is the column's place in the table's columns. */
export interface RowValues {
  /** CQL bytes, lent until the next row; a non-frozen collection as a whole. */
  value(index: number): Uint8Array | null;
}

/** Timestamps and TTLs of a column's cells, in the order of its paths. */
export interface CellStamp {
  readonly timestamp: bigint;
  /** Seconds left to live; null: for ever. */
  readonly ttl: number | null;
  /** Of a collection's cell: the element's or key's ordered form. */
  readonly path: Uint8Array | null;
}

type Source =
  | { readonly from: 'partition' | 'clustering'; readonly at: number }
  | { readonly from: 'static' | 'regular'; readonly at: number };

function viewShape(columns: readonly ColumnDef[], wanted: ReadonlySet<ColumnDef>): ViewShape {
  const chosen = columns.filter((column) => wanted.has(column));
  const idMax = columns.reduce((max, column) => Math.max(max, column.id), -1);
  const slotOfId = new Int32Array(idMax + 1).fill(NONE);
  for (const [slot, column] of chosen.entries()) slotOfId[column.id] = slot;
  return {
    slotCount: chosen.length,
    slotOfId,
    isComplex: chosen.map((column) => isManyCelled(column)),
  };
}

/** The column has a cell per element, field or counting node. */
function isManyCelled(column: ColumnDef): boolean {
  return (
    isMultiCell(column.type) || (column.type.kind === 'native' && column.type.name === 'counter')
  );
}

export class TableRow implements RowValues {
  readonly table: TableDef;
  private readonly keys: KeyLayout;
  private readonly sources: readonly Source[];
  /** What has expired by then is dead. Seconds since 1970. */
  nowSeconds: number;
  private readonly statics: RowView;
  private readonly regulars: RowView;
  private readonly hasClustering: boolean;
  private partitionBuffer: Uint8Array = new Uint8Array(0);
  private partitionStart = 0;
  private partitionLength = 0;
  private partitionValues: Uint8Array[] | null = null;
  private clusteringBuffer: Uint8Array | null = null;
  private clusteringStart = 0;
  private clusteringValues: Uint8Array[] | null = null;
  private deletion: Deletion | null = null;
  private ranges: readonly RangeTombstone[] = [];
  /** The partition has live static cells. */
  hasStatic = false;
  /** Tombstones and expired things met since the row reader was made. */
  tombstones = 0;

  /** @param wanted columns whose values will be asked for; all others' cells are only checked for life */
  constructor(handle: TableHandle, wanted: Iterable<ColumnDef>, nowSeconds: number) {
    const { table } = handle;
    this.table = table;
    this.keys = handle.keys;
    this.nowSeconds = nowSeconds;
    this.hasClustering = handle.keys.clustering.length > 0;
    const chosen = new Set(wanted);
    const staticColumns = table.columns.filter((column) => column.kind === 'static');
    const regularColumns = table.columns.filter((column) => column.kind === 'regular');
    this.statics = new RowView(viewShape(staticColumns, chosen));
    this.regulars = new RowView(viewShape(regularColumns, chosen));
    this.sources = table.columns.map((column): Source => {
      if (column.kind === 'partition_key') return { from: 'partition', at: column.position };
      if (column.kind === 'clustering') return { from: 'clustering', at: column.position };
      const view = column.kind === 'static' ? this.statics : this.regulars;
      return { from: column.kind, at: view.shape.slotOfId[column.id] };
    });
    this.statics.clear();
    this.regulars.clear();
  }

  /** Enters the partition whose token and key are `key[start, start + length)`; the bytes must stay. */
  startPartition(key: Uint8Array, start: number, length: number): void {
    this.partitionBuffer = key;
    this.partitionStart = start;
    this.partitionLength = length;
    this.partitionValues = null;
    this.deletion = null;
    this.ranges = [];
    this.hasStatic = false;
    this.statics.clear();
  }

  /** Takes the partition record of a table with clustering columns. Its bytes must stay while the partition lasts. */
  loadPartition(bytes: Uint8Array, start: number, end: number): void {
    if ((bytes[start] & (HAS_DELETION | HAS_RANGES)) !== 0) {
      const state = decodeRecord(bytes.subarray(start, end));
      this.deletion = state.deletion;
      this.ranges = state.ranges;
    }
    this.statics.load(bytes, start, end, this.nowSeconds, null);
    this.hasStatic = this.statics.live;
    this.tombstones += this.statics.tombstones;
  }

  /**
   * Takes a row's record; `key[clusteringStart, …)` are its clustering bytes.
   * @returns false if nothing of it is alive
   */
  loadRow(
    key: Uint8Array,
    clusteringStart: number,
    clusteringEnd: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    this.clusteringBuffer = key;
    this.clusteringStart = clusteringStart;
    this.clusteringValues = null;
    let cover: Deletion | null = this.deletion;
    if (this.ranges.length > 0) {
      const over = this.rangeOver(key.subarray(clusteringStart, clusteringEnd));
      cover = mergeDeletions(cover, over);
    }
    this.regulars.load(bytes, start, end, this.nowSeconds, cover === null ? null : cover.timestamp);
    this.tombstones += this.regulars.tombstones;
    return this.regulars.live;
  }

  /** Shows the partition's static content as a row without clustering. */
  loadStaticOnly(): void {
    this.clusteringBuffer = null;
    this.clusteringValues = null;
    this.regulars.clear();
  }

  private rangeOver(position: Uint8Array): RangeTombstone | null {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareBytes(this.ranges[middle].end, position) <= 0) low = middle + 1;
      else high = middle;
    }
    const range = this.ranges[low];
    return range !== undefined && compareBytes(range.start, position) <= 0 ? range : null;
  }

  partitionKeyValues(): Uint8Array[] {
    this.partitionValues ??= decodePartitionKey(
      this.keys,
      this.partitionBuffer,
      this.partitionStart,
      this.partitionLength,
    );
    return this.partitionValues;
  }

  private clusteringValue(at: number): Uint8Array | null {
    if (this.clusteringBuffer === null || !this.hasClustering) return null;
    if (this.clusteringValues === null) {
      this.clusteringValues = decodeClustering(
        this.keys,
        this.clusteringBuffer,
        this.clusteringStart,
      );
    }
    return this.clusteringValues[at];
  }

  value(index: number): Uint8Array | null {
    const source = this.sources[index];
    switch (source.from) {
      case 'partition':
        return this.partitionKeyValues()[source.at];
      case 'clustering':
        return this.clusteringValue(source.at);
      default: {
        const view = source.from === 'static' ? this.statics : this.regulars;
        const { at } = source;
        if (view.shape.isComplex[at]) return this.complexValue(index, view, at);
        const start = view.valueStart[at];
        return start === NONE ? null : view.bytes.subarray(start, view.valueEnd[at]);
      }
    }
  }

  /** Appends the value as [bytes]. */
  write(index: number, out: Writer): void {
    const source = this.sources[index];
    if (source.from === 'regular' && !this.regulars.shape.isComplex[source.at]) {
      const start = this.regulars.valueStart[source.at];
      if (start === NONE) {
        out.i32(-1);
        return;
      }
      const end = this.regulars.valueEnd[source.at];
      out.i32(end - start);
      out.slice(this.regulars.bytes, start, end);
      return;
    }
    out.bytes(this.value(index));
  }

  private complexValue(index: number, view: RowView, slot: number): Uint8Array | null {
    const cells = view.complex[slot];
    if (cells === null) return null;
    const { type } = this.table.columns[index];
    const { bytes } = view;
    const value = (cell: ComplexCell) => bytes.subarray(cell.valueStart, cell.valueEnd);
    switch (type.kind) {
      case 'list':
        return packCollection(cells.length, cells.map(value));
      case 'set':
        return packCollection(
          cells.length,
          cells.map((cell) => decodeOrdered(type.element, false, bytes, cell.pathStart).value),
        );
      case 'map':
        return packCollection(
          cells.length,
          cells.flatMap((cell) => [
            decodeOrdered(type.key, false, bytes, cell.pathStart).value,
            value(cell),
          ]),
        );
      case 'udt': {
        const fields: (Uint8Array | null)[] = type.fieldNames.map(() => null);
        for (const cell of cells) {
          fields[(bytes[cell.pathStart] << 8) | bytes[cell.pathStart + 1]] = value(cell);
        }
        return packTuple(fields);
      }
      default: {
        let sum = 0n;
        for (const cell of cells) sum += readI64(bytes, cell.valueStart);
        const total = Buffer.allocUnsafe(8);
        total.writeBigInt64BE(BigInt.asIntN(64, sum));
        return total;
      }
    }
  }

  /** The live cells of a column that is in no key; for writetime() and ttl(), and for list positions. */
  stamps(index: number): CellStamp[] {
    const source = this.sources[index];
    if (source.from === 'partition' || source.from === 'clustering') return [];
    const view = source.from === 'static' ? this.statics : this.regulars;
    const { at } = source;
    if (view.shape.isComplex[at]) {
      return (view.complex[at] ?? []).map((cell) =>
        this.stamp(
          view,
          cell.stampAt,
          cell.ttlAt,
          view.bytes.subarray(cell.pathStart, cell.pathEnd),
        ),
      );
    }
    if (view.valueStart[at] === NONE) return [];
    return [this.stamp(view, view.stampAt[at], view.ttlAt[at], null)];
  }

  /** What one node has counted in a counter column; null: nothing. */
  counterShard(
    index: number,
    hostId: Uint8Array,
  ): { readonly value: bigint; readonly timestamp: bigint } | null {
    const source = this.sources[index];
    const view = source.from === 'static' ? this.statics : this.regulars;
    for (const cell of view.complex[source.at] ?? []) {
      if (compareBytes(view.bytes.subarray(cell.pathStart, cell.pathEnd), hostId) !== 0) continue;
      return {
        value: readI64(view.bytes, cell.valueStart),
        timestamp: readI64(view.bytes, cell.stampAt),
      };
    }
    return null;
  }

  private stamp(view: RowView, stampAt: number, ttlAt: number, path: Uint8Array | null): CellStamp {
    return {
      timestamp: readI64(view.bytes, stampAt),
      ttl: ttlAt === NONE ? null : readU32(view.bytes, ttlAt + 4) - this.nowSeconds,
      path,
    };
  }
}
