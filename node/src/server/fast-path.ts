/**
 * What single-row reads and writes use instead of a promise and fresh objects: evaluation state that is shared from one request to
 * the next, and sinks that answer when the storage room calls them.
 * @hot
 */
import type { Writer } from '../common/bytes.ts';
import type { CqlError } from '../common/errors.ts';
import type { EvaluationContext } from '../query/functions/function.ts';
import type { WriteOptions } from '../query/modify.ts';
import type { TableRow } from '../query/row.ts';
import type { SelectPlan } from '../query/select.ts';
import type { Binding, Value } from '../query/term-values.ts';
import { ABSENT } from '../storage/kv.ts';
import type { WriteSink } from '../storage/local-store.ts';
import type { PointReader } from '../storage/record-source.ts';
import {
  type ClientConnection,
  type ExecuteRequest,
  Opcode,
  type QueryRequest,
  type Request,
  writeVoid,
} from '../transport/index.ts';
import type { Runnable } from './prepared.ts';

/** Who knows how rows are answered. */
export interface PointHost {
  beginRows(
    request: QueryRequest | ExecuteRequest,
    connection: ClientConnection,
    runnable: Runnable,
    pagingState: Uint8Array | null,
  ): Writer;
  writeRow(out: Writer, plan: SelectPlan, row: TableRow, values: readonly Value[]): void;
  asCqlError(error: unknown): CqlError;
}

const NO_KEY = new Uint8Array(0);

/** Evaluation of one statement after another: each sees the values and the time of its own. */
export class SharedBinding implements Binding {
  values: readonly Value[] = [];
  readonly context: EvaluationContext & { nowMillis: number };

  constructor(context: Omit<EvaluationContext, 'nowMillis'>) {
    this.context = { ...context, nowMillis: 0 };
  }
}

/** How and when one request writes; reused on the fast path. */
export class SharedWriteOptions implements WriteOptions {
  stampHigh = 0;
  stampLow = 0;
  nowSeconds = 0;
  readonly listPlace: WriteOptions['listPlace'];

  constructor(listPlace: WriteOptions['listPlace']) {
    this.listPlace = listPlace;
  }
}

/** Answers a write when it is done. */
export class WriteAnswer implements WriteSink {
  private readonly request: Request;
  private readonly connection: ClientConnection;

  constructor(request: Request, connection: ClientConnection) {
    this.request = request;
    this.connection = connection;
  }

  written(error: CqlError | null): void {
    if (error !== null) {
      this.connection.fail(this.request, error);
      return;
    }
    writeVoid(this.connection.begin(this.request, Opcode.Result));
    this.connection.end();
  }
}

/** Answers a read of one row when its records are there. */
export class PointAnswer implements PointReader {
  private readonly handler: PointHost;
  private readonly request: QueryRequest | ExecuteRequest;
  private readonly connection: ClientConnection;
  private readonly runnable: Runnable;
  private readonly nowSeconds: number;
  private readonly values: readonly Value[];
  /** Token, partition key and clustering; null if nothing of them is shown. */
  private readonly key: Uint8Array | null;
  private readonly partitionLength: number;

  constructor(
    handler: PointHost,
    request: QueryRequest | ExecuteRequest,
    connection: ClientConnection,
    runnable: Runnable,
    nowSeconds: number,
    values: readonly Value[],
    key: Uint8Array | null,
    partitionLength: number,
  ) {
    this.handler = handler;
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
      this.connection.fail(this.request, this.handler.asCqlError(error));
    }
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
    const out = this.handler.beginRows(request, this.connection, runnable, null);
    out.i32(found ? 1 : 0);
    if (found) this.handler.writeRow(out, plan, row, this.values);
    this.connection.end();
  }

  failed(error: CqlError): void {
    this.connection.fail(this.request, error);
  }
}
