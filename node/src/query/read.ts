/** Reads the rows that a WHERE clause asks for, in order, and shows them one by one. */

import { Writer } from '../common/bytes.ts';
import { readFailure } from '../common/errors.ts';
import {
  decodePartitionKey,
  partitionLength,
  TOKEN_BYTES,
  writePartitionKey,
} from '../storage/keys.ts';
import { engineFailure } from '../storage/local-store.ts';
import type { RecordScan, RecordSource, TableHandle } from '../storage/record-source.ts';
import { compareValues } from '../types/codec.ts';
import type { TokenBounds } from './partition-choice.ts';
import { afterPosition, intersect, PARTITION_END, PARTITION_START, type Range } from './ranges.ts';
import type { AfterRow, Position, ReadOutcome, ReadPlan, RowVisitor } from './read-plan.ts';
import { readRecords } from './read-records.ts';
import type { RowFilter } from './restrictions.ts';
import { TableRow } from './row.ts';
import type { Binding } from './term-values.ts';

export const TOMBSTONES_WARN = 1_000;
const TOMBSTONES_FAIL = 100_000;

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const READ_TOO_MANY_TOMBSTONES = 1;

export class RowReader {
  private readonly store: RecordSource;
  private readonly handle: TableHandle;
  private readonly plan: ReadPlan;
  private readonly visitor: RowVisitor;
  private readonly filter: RowFilter | null;
  private readonly row: TableRow;
  private readonly hasClustering: boolean;
  private stoppedAt: Position | null = null;
  private previous: Position | null = null;
  /** Rows shown of the partition being read. */
  private shown = 0;

  constructor(
    store: RecordSource,
    handle: TableHandle,
    plan: ReadPlan,
    binding: Binding,
    nowSeconds: number,
    visitor: RowVisitor,
  ) {
    this.store = store;
    this.handle = handle;
    this.plan = plan;
    this.visitor = visitor;
    this.filter = plan.restrictions.filter(binding);
    this.row = new TableRow(handle, plan.wanted, nowSeconds);
    this.hasClustering = handle.keys.clustering.length > 0;
  }

  /**
   * Shows the rows from `resume` on until the visitor stops it.
   * @throws CqlError
   */
  async read(binding: Binding, resume: Position | null): Promise<ReadOutcome> {
    const { partition } = this.plan.restrictions;
    try {
      if (partition.kind === 'keys') {
        await this.readKeys(partition.keys(binding), partition.isSingle, binding, resume);
      } else {
        const bounds = partition.bounds(binding);
        if (bounds !== null) await this.readTokens(bounds, resume);
      }
    } catch (error) {
      if (error instanceof Error && error.name === 'KvError') throw engineFailure(error);
      throw error;
    }
    return { position: this.stoppedAt, tombstones: this.row.tombstones };
  }

  /** The partition key columns' values of a position. */
  keyValues(partition: Uint8Array): Uint8Array[] {
    return decodePartitionKey(this.handle.keys, partition, 0, partition.length);
  }

  private async readKeys(
    keys: Uint8Array[][],
    isSingle: boolean,
    binding: Binding,
    resume: Position | null,
  ): Promise<void> {
    const ordered = isSingle ? keys : this.sortKeys(keys);
    const { clustering } = this.plan.restrictions;
    const points = clustering.isPoints ? clustering.points(binding) : null;
    const ranges = points === null ? clustering.ranges(binding) : [];
    const out = new Writer(64);
    let skipping = resume !== null;
    for (const values of ordered) {
      out.reset();
      writePartitionKey(this.handle.keys, values, out);
      const partition = out.copy();
      let after: Uint8Array | null = null;
      if (skipping && resume !== null) {
        if (Buffer.compare(partition, resume.partition) !== 0) continue;
        skipping = false;
        if (resume.clustering === null) continue;
        after = resume.clustering;
      }
      const going =
        points === null
          ? await this.readRanges(partition, this.after(ranges, after), after !== null)
          : await this.readPoints(partition, points, after);
      if (!going) return;
    }
  }

  /** Distinct keys in the order of their columns' types, as Cassandra goes through an IN. */
  private sortKeys(keys: Uint8Array[][]): Uint8Array[][] {
    const columns = this.handle.keys.partitionKey;
    const compare = (a: readonly Uint8Array[], b: readonly Uint8Array[]) => {
      for (let i = 0; i < columns.length; i++) {
        const order = compareValues(columns[i].type, a[i], b[i]);
        if (order !== 0) return order;
      }
      return 0;
    };
    const sorted = [...keys].sort(compare);
    return sorted.filter((key, i) => i === 0 || compare(sorted[i - 1], key) !== 0);
  }

  private after(ranges: readonly Range[], position: Uint8Array | null): readonly Range[] {
    if (position === null) return ranges;
    const rest: Range = this.plan.reversed
      ? { lower: PARTITION_START, upper: position }
      : { lower: afterPosition(position), upper: PARTITION_END };
    return intersect(ranges, [rest]);
  }

  private async readPoints(
    partition: Uint8Array,
    points: readonly Uint8Array[],
    after: Uint8Array | null,
  ): Promise<boolean> {
    const { reversed } = this.plan;
    const ordered = reversed ? [...points].reverse() : points;
    const left =
      after === null
        ? ordered
        : ordered.filter(
            (p) => Buffer.compare(p, after) > 0 !== reversed && Buffer.compare(p, after) !== 0,
          );
    if (left.length === 0) return true;
    this.startPartition(partition);
    const positions = this.hasClustering ? [PARTITION_START, ...left] : left;
    const records = await readRecords(this.store, this.handle, partition, positions);
    if (this.hasClustering) {
      const own = records.shift();
      if (own) this.row.loadPartition(own, 0, own.length);
    }
    for (let i = 0; i < left.length; i++) {
      const record = records[i];
      if (!record) continue;
      const position = left[i];
      if (this.row.loadRow(position, 0, position.length, record, 0, record.length)) {
        const next = this.show(position);
        if (next === 'stop') return false;
        if (next === 'next-partition') return true;
      }
    }
    return true;
  }

  private async readRanges(
    partition: Uint8Array,
    ranges: readonly Range[],
    resumed: boolean,
  ): Promise<boolean> {
    this.startPartition(partition);
    const shard = this.store.shardOf(partition);
    const [own] = await readRecords(this.store, this.handle, partition, [PARTITION_START]);
    if (own) this.row.loadPartition(own, 0, own.length);
    const { reversed } = this.plan;
    for (const range of reversed ? [...ranges].reverse() : ranges) {
      const scan = this.store.scan(this.handle, shard, {
        // One byte beyond the partition record's key, which has been read.
        lower: Buffer.concat([partition, range.lower.length === 0 ? Buffer.of(0) : range.lower]),
        upper: Buffer.concat([partition, range.upper]),
        reverse: reversed,
        expected: 256,
      });
      const next = await this.showScan(scan, partition.length);
      if (next === 'stop') return false;
      if (next === 'next-partition') return true;
    }
    return resumed || this.endPartition();
  }

  /** Shows the rows of one partition that a scan finds. */
  private async showScan(scan: RecordScan, partitionBytes: number): Promise<AfterRow> {
    try {
      for (;;) {
        const step = scan.next();
        const count = typeof step === 'number' ? step : await step;
        if (count === 0) return 'next';
        const { buffer } = scan;
        let at = 0;
        for (let i = 0; i < count; i++) {
          const keyAt = at + 8;
          const keyEnd = keyAt + buffer.readUInt32LE(at);
          const end = keyEnd + buffer.readUInt32LE(at + 4);
          at = end;
          const clusteringAt = keyAt + partitionBytes;
          if (this.row.loadRow(buffer, clusteringAt, keyEnd, buffer, keyEnd, end)) {
            const next = this.show(buffer.subarray(clusteringAt, keyEnd));
            if (next !== 'next') return next;
          }
          this.checkTombstones();
        }
      }
    } finally {
      scan.close();
    }
  }

  private async readTokens(bounds: TokenBounds, resume: Position | null): Promise<void> {
    const lower = tokenPosition(bounds.lower ?? -(2n ** 63n));
    const upper =
      bounds.upper === null || bounds.upper === 2n ** 63n - 1n
        ? null
        : tokenPosition(bounds.upper + 1n);
    let from: Uint8Array = lower;
    if (resume !== null) {
      from = resumeKey(resume);
      if (resume.clustering !== null) {
        this.startPartition(resume.partition);
        // Its rows were on the page before: no static-only row for it.
        this.shown = 1;
        const [own] = await readRecords(this.store, this.handle, resume.partition, [
          PARTITION_START,
        ]);
        if (own && this.hasClustering) this.row.loadPartition(own, 0, own.length);
      }
    }
    let current: Uint8Array | null = resume?.clustering != null ? resume.partition : null;
    for (let shard = this.store.shardOf(from); shard < this.store.shardCount; shard++) {
      if (upper !== null && shard > this.store.shardOf(upper)) break;
      const scan = this.store.scan(this.handle, shard, {
        lower: from,
        upper,
        reverse: false,
        expected: 512,
      });
      const result = await this.showPartitions(scan, current);
      if (result === 'stop') return;
      current = null;
    }
  }

  /** Shows the partitions that a scan finds; `entered` is the one that is being read already. */
  private async showPartitions(
    scan: RecordScan,
    entered: Uint8Array | null,
  ): Promise<'stop' | 'end'> {
    let current = entered;
    let skip = false;
    const { row, hasClustering } = this;
    const { keys } = this.handle;
    try {
      for (;;) {
        const step = scan.next();
        const count = typeof step === 'number' ? step : await step;
        if (count === 0) break;
        const { buffer } = scan;
        let at = 0;
        for (let i = 0; i < count; i++) {
          const keyAt = at + 8;
          const keyEnd = keyAt + buffer.readUInt32LE(at);
          const end = keyEnd + buffer.readUInt32LE(at + 4);
          at = end;
          if (!hasClustering) {
            row.startPartition(buffer, keyAt, keyEnd - keyAt);
            this.shown = 0;
            if (row.loadRow(buffer, keyEnd, keyEnd, buffer, keyEnd, end)) {
              if (this.showSingle(buffer, keyAt, keyEnd) === 'stop') return 'stop';
            }
            this.checkTombstones();
            continue;
          }
          if (current === null || !startsWith(buffer, keyAt, keyEnd, current)) {
            if (current !== null && !skip && !this.endPartition()) return 'stop';
            const length = partitionLength(keys, buffer, keyAt);
            current = Buffer.from(buffer.subarray(keyAt, keyAt + length));
            this.startPartition(current);
            skip = false;
          }
          if (skip) continue;
          const clusteringAt = keyAt + current.length;
          if (clusteringAt === keyEnd) {
            row.loadPartition(Buffer.from(buffer.subarray(keyEnd, end)), 0, end - keyEnd);
          } else if (row.loadRow(buffer, clusteringAt, keyEnd, buffer, keyEnd, end)) {
            const next = this.show(buffer.subarray(clusteringAt, keyEnd));
            if (next === 'stop') return 'stop';
            skip = next === 'next-partition';
          }
          this.checkTombstones();
        }
      }
    } finally {
      scan.close();
    }
    if (current !== null && !skip && !this.endPartition()) return 'stop';
    return 'end';
  }

  private partition: Uint8Array = PARTITION_START;

  private startPartition(partition: Uint8Array): void {
    this.partition = partition;
    this.shown = 0;
    this.row.startPartition(partition, 0, partition.length);
  }

  /** A row of a table without clustering columns. */
  private showSingle(buffer: Uint8Array, keyAt: number, keyEnd: number): AfterRow {
    if (this.filter !== null && !this.filter(this.row)) return 'next';
    const next = this.visitor.row(this.row);
    if (next === 'stop-before') return this.stopBefore();
    if (next === 'stop' || this.plan.remembers) {
      const partition = Buffer.from(buffer.subarray(keyAt, keyEnd));
      this.previous = { partition, clustering: null };
      if (next === 'stop') this.stoppedAt = this.previous;
    }
    return next;
  }

  private stopBefore(): 'stop' {
    this.stoppedAt = this.previous;
    return 'stop';
  }

  private show(clustering: Uint8Array): AfterRow {
    if (this.filter !== null && !this.filter(this.row)) return 'next';
    this.shown++;
    const next = this.visitor.row(this.row);
    const isDone = this.plan.distinct || !this.hasClustering;
    if (next === 'stop-before') return this.stopBefore();
    if (next === 'stop' || this.plan.remembers) {
      const position = {
        partition: this.partition,
        clustering: isDone ? null : Buffer.from(clustering),
      };
      if (next === 'stop') {
        this.stoppedAt = position;
        return 'stop';
      }
      this.previous = position;
    }
    return isDone ? 'next-partition' : next;
  }

  /** @returns false if the visitor stopped at the partition's static content */
  private endPartition(): boolean {
    if (this.shown > 0 || !this.row.hasStatic || !this.plan.showsStaticOnly) return true;
    this.row.loadStaticOnly();
    if (this.filter !== null && !this.filter(this.row)) return true;
    const next = this.visitor.row(this.row);
    const position = { partition: this.partition, clustering: null };
    if (next === 'stop-before') {
      this.stopBefore();
      return false;
    }
    this.previous = position;
    if (next !== 'stop') return true;
    this.stoppedAt = position;
    return false;
  }

  private checkTombstones(): void {
    if (this.row.tombstones <= TOMBSTONES_FAIL) return;
    const reason = { endpoint: LOOPBACK, reasonCode: READ_TOO_MANY_TOMBSTONES };
    throw readFailure({ consistency: 1, received: 0, required: 1 }, [reason], false);
  }
}

function tokenPosition(token: bigint): Uint8Array {
  const bytes = Buffer.allocUnsafe(TOKEN_BYTES);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, token) ^ (1n << 63n));
  return bytes;
}

/** The first key after the position. */
function resumeKey(position: Position): Uint8Array {
  const tail = position.clustering ?? PARTITION_START;
  // After a whole partition nothing that starts with its key is left.
  return Buffer.concat([
    position.partition,
    tail,
    Buffer.of(position.clustering === null ? 0xff : 0),
  ]);
}

function startsWith(buffer: Uint8Array, start: number, end: number, prefix: Uint8Array): boolean {
  if (end - start < prefix.length) return false;
  for (let i = prefix.length - 1; i >= 0; i--) {
    if (buffer[start + i] !== prefix[i]) return false;
  }
  return true;
}
