/**
 * What a request is evaluated with: its values, its time, its timestamp. On the fast path one object of each serves one request
 * after another; what goes on later has its own.
 * @hot
 */
import type { EvaluationContext } from '../query/functions/function.ts';
import type { WriteOptions } from '../query/modify.ts';
import type { Binding, Value } from '../query/term-values.ts';
import type { BatchRequest, ExecuteRequest, QueryRequest } from '../transport/index.ts';

/** QUERY and EXECUTE: one statement. */
export type DataRequest = QueryRequest | ExecuteRequest;

/** The request's time for expiry and TTLs, seconds since 1970: the client's, or that of the node. */
export function nowSecondsOf(request: DataRequest | BatchRequest, micros: number): number {
  return request.nowInSeconds >= 0 ? request.nowInSeconds : Math.floor(micros / 1e6);
}

/** Evaluation of one statement after another: each sees the values and the time of its own. */
export class SharedBinding implements Binding {
  values: readonly Value[] = [];
  readonly context: EvaluationContext & { nowMillis: number };

  constructor(context: Omit<EvaluationContext, 'nowMillis'>) {
    this.context = { ...context, nowMillis: 0 };
  }

  /** From now on that of a request with these values at this time. */
  take(values: readonly Value[], micros: number): void {
    this.values = values;
    this.context.nowMillis = Math.floor(micros / 1000);
  }
}

/** How and when one request writes. */
export class RequestWriteOptions implements WriteOptions {
  stampHigh = 0;
  stampLow = 0;
  nowSeconds = 0;
  readonly listPlace: WriteOptions['listPlace'];

  constructor(listPlace: WriteOptions['listPlace']) {
    this.listPlace = listPlace;
  }

  /** From now on those of `request`, taken up at `micros`. */
  take(request: DataRequest | BatchRequest, micros: number): void {
    this.nowSeconds = nowSecondsOf(request, micros);
    if (request.hasTimestamp) {
      this.stampHigh = request.timestampHigh;
      this.stampLow = request.timestampLow;
    } else {
      this.stampHigh = Math.floor(micros / 0x100000000);
      this.stampLow = micros | 0;
    }
  }
}
