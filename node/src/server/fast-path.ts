/**
 * What single-row reads and writes use instead of promises: sinks that answer when the storage room calls them.
 * @hot
 */
import type { Writer } from '../common/bytes.ts';
import type { CqlError } from '../common/errors.ts';
import type { TableRow } from '../query/row.ts';
import type { SelectPlan } from '../query/select.ts';
import type { Value } from '../query/term-values.ts';
import { ABSENT } from '../storage/kv.ts';
import type { WriteSink } from '../storage/local-store.ts';
import type { PointReader } from '../storage/record-source.ts';
import { type ClientConnection, Opcode, writeVoid } from '../transport/index.ts';
import type { DataRequest } from './evaluation.ts';
import { LATENCY_KINDS, type Latencies } from './latency.ts';
import { beginRows } from './outcome.ts';
import type { Runnable } from './prepared.ts';

/** Who knows how rows are answered. */
export interface PointHost {
  readonly latencies: Latencies;
  writeRow(out: Writer, plan: SelectPlan, row: TableRow, values: readonly Value[]): void;
  asCqlError(error: unknown): CqlError;
}

const NO_KEY = new Uint8Array(0);
const READ = LATENCY_KINDS.indexOf('read');
const WRITE = LATENCY_KINDS.indexOf('write');

/** Answers a write when it is done. */
export class WriteAnswer implements WriteSink {
  private readonly request: DataRequest;
  private readonly connection: ClientConnection;
  private readonly latencies: Latencies;

  constructor(request: DataRequest, connection: ClientConnection, latencies: Latencies) {
    this.request = request;
    this.connection = connection;
    this.latencies = latencies;
  }

  written(error: CqlError | null): void {
    if (error === null) {
      writeVoid(this.connection.begin(this.request, Opcode.Result));
      this.connection.end();
    } else {
      this.connection.fail(this.request, error);
    }
    this.latencies.add(WRITE, this.request.receivedMillis);
  }
}

/** Answers a read of one row when its records are there. */
export class PointAnswer implements PointReader {
  private readonly host: PointHost;
  private readonly request: DataRequest;
  private readonly connection: ClientConnection;
  private readonly runnable: Runnable;
  private readonly nowSeconds: number;
  private readonly values: readonly Value[];
  /** Token, partition key and clustering; null if nothing of them is shown. */
  private readonly key: Uint8Array | null;
  private readonly partitionLength: number;

  constructor(
    host: PointHost,
    request: DataRequest,
    connection: ClientConnection,
    runnable: Runnable,
    nowSeconds: number,
    values: readonly Value[],
    key: Uint8Array | null,
    partitionLength: number,
  ) {
    this.host = host;
    this.request = request;
    this.connection = connection;
    this.runnable = runnable;
    this.nowSeconds = nowSeconds;
    this.values = values;
    this.key = key;
    this.partitionLength = partitionLength;
  }

  records(
    buffer: Uint8Array,
    starts: Int32Array,
    ends: Int32Array,
    first: number,
    count: number,
  ): void {
    try {
      this.answer(buffer, starts, ends, first, count);
    } catch (error) {
      this.connection.fail(this.request, this.host.asCqlError(error));
    }
    this.host.latencies.add(READ, this.request.receivedMillis);
  }

  private answer(
    buffer: Uint8Array,
    starts: Int32Array,
    ends: Int32Array,
    first: number,
    count: number,
  ): void {
    const { runnable, request, key, partitionLength } = this;
    const { plan } = runnable.statement;
    if (plan.kind !== 'select' || runnable.handle === null) return;
    const row = runnable.pointRow(runnable.handle, this.nowSeconds);
    row.startPartition(key ?? NO_KEY, 0, partitionLength);
    const own = first + count - 1;
    if (count === 2 && starts[first] !== ABSENT) {
      row.loadPartition(buffer, starts[first], ends[first]);
    }
    const clusteringEnd = key === null ? 0 : key.length;
    const found =
      starts[own] !== ABSENT &&
      row.loadRow(key ?? NO_KEY, partitionLength, clusteringEnd, buffer, starts[own], ends[own]);
    const out = beginRows(request, this.connection, runnable, null);
    out.i32(found ? 1 : 0);
    if (found) this.host.writeRow(out, plan, row, this.values);
    this.connection.end();
  }

  failed(error: CqlError): void {
    this.connection.fail(this.request, error);
    this.host.latencies.add(READ, this.request.receivedMillis);
  }
}
