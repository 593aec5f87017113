/**
 * Requests as the query rooms see them. A request keeps the received bytes it was cut from and
 * positions in them: nothing is copied, texts and views are made when asked for.
 * @hot
 */
import { joinWords } from '../common/bytes.ts';
import { type BatchType, type ProtocolVersion, QueryFlag, SERIAL_CONSISTENCY } from './protocol.ts';

const NO_POSITIONS: readonly number[] = [];

/**
 * Bound values of one statement: `positions[2i]` is where value i starts in `source`,
 * `positions[2i + 1]` its length in bytes (-1 null, -2 unset). `names`, if not null, has one name
 * per value.
 */
export interface BoundValues {
  readonly source: Buffer;
  readonly positions: readonly number[];
  readonly names: readonly string[] | null;
}

/** How many values are bound. */
export function valueCount(values: BoundValues): number {
  return values.positions.length >>> 1;
}

/** Where value `index` starts in `values.source`. */
export function valueStart(values: BoundValues, index: number): number {
  return values.positions[2 * index];
}

/** Bytes of value `index`; -1 for null, -2 for unset. */
export function valueLength(values: BoundValues, index: number): number {
  return values.positions[2 * index + 1];
}

/** Value `index` as a view on the request's bytes; null for null, undefined for unset. */
export function valueAt(values: BoundValues, index: number): Buffer | null | undefined {
  const length = values.positions[2 * index + 1];
  if (length < 0) return length === -1 ? null : undefined;
  const start = values.positions[2 * index];
  return values.source.subarray(start, start + length);
}

/** What every request has. */
abstract class RequestBase {
  /** Stream id, to be repeated in the answer. */
  stream = 0;
  version: ProtocolVersion = 4;
  /** Whether the client asked for a trace. */
  tracing = false;
  /** Monotonic time at which the last byte arrived, in milliseconds with a fraction. */
  receivedMillis = 0;
  /** Bytes that count as in flight until the answer. */
  heldBytes = 0;
  /** Whether the answer was given; kept by the connection. */
  answered = false;
}

/** The parameters that QUERY, EXECUTE and BATCH have in common. */
abstract class ParameterizedRequest extends RequestBase implements BoundValues {
  /** The received bytes all positions refer to. */
  source: Buffer;
  /** Consistency level by its number. */
  consistency = 0;
  /** QueryFlag bits. */
  flags = 0;
  positions: readonly number[] = NO_POSITIONS;
  names: readonly string[] | null = null;
  /** Rows per page; -1 if the client wants no paging. */
  pageSize = -1;
  /** Where the page starts, as a view; null for the first. */
  pagingState: Buffer | null = null;
  serialConsistency: number = SERIAL_CONSISTENCY;
  /** Halves of the client's write timestamp (microseconds); see `hasTimestamp`. */
  timestampHigh = 0;
  timestampLow = 0;
  /** Keyspace of this request alone (v5); null: that of the connection. */
  keyspace: string | null = null;
  /** The client's time for TTLs (v5) in seconds since 1970, unsigned; -1 if not given. */
  nowInSeconds = -1;

  constructor(source: Buffer) {
    super();
    this.source = source;
  }

  /** Whether the client gave a write timestamp. */
  get hasTimestamp(): boolean {
    return (this.flags & QueryFlag.Timestamp) !== 0;
  }

  /** The client's write timestamp in microseconds, or null. Allocates a bigint. */
  get timestamp(): bigint | null {
    return this.hasTimestamp ? joinWords(this.timestampHigh, this.timestampLow) : null;
  }

  /** Whether the client knows the result's metadata already. */
  get skipMetadata(): boolean {
    return (this.flags & QueryFlag.SkipMetadata) !== 0;
  }
}

/** QUERY. */
export class QueryRequest extends ParameterizedRequest {
  readonly kind = 'query';
  queryStart = 0;
  queryLength = 0;

  /** The statement's text; decoded at each call. */
  get query(): string {
    return this.source.toString('utf8', this.queryStart, this.queryStart + this.queryLength);
  }
}

/** EXECUTE. */
export class ExecuteRequest extends ParameterizedRequest {
  readonly kind = 'execute';
  /** Position of the statement's id in `source`. */
  idStart = 0;
  idLength = 0;
  /** Position of the id of the result metadata the client knows (v5). */
  metadataIdStart = 0;
  /** 0 before v5. */
  metadataIdLength = 0;

  /** The statement's id, a view. */
  get statementId(): Buffer {
    return this.source.subarray(this.idStart, this.idStart + this.idLength);
  }

  /** The id of the result metadata the client knows, a view; null before v5. */
  get resultMetadataId(): Buffer | null {
    if (this.metadataIdLength === 0) return null;
    const start = this.metadataIdStart;
    return this.source.subarray(start, start + this.metadataIdLength);
  }
}

/** One statement of a BATCH: prepared (by id) or text. Values are always positional. */
export class BatchStatement implements BoundValues {
  readonly source: Buffer;
  readonly kind: 'query' | 'prepared';
  /** Position of the text or the id in `source`. */
  readonly start: number;
  readonly length: number;
  readonly positions: readonly number[];
  readonly names: null = null;

  constructor(
    kind: 'query' | 'prepared',
    at: { source: Buffer; start: number; length: number },
    positions: readonly number[],
  ) {
    this.source = at.source;
    this.kind = kind;
    this.start = at.start;
    this.length = at.length;
    this.positions = positions;
  }

  /** The text of a 'query'. */
  get query(): string {
    return this.source.toString('utf8', this.start, this.start + this.length);
  }

  /** The id of a 'prepared', a view. */
  get statementId(): Buffer {
    return this.source.subarray(this.start, this.start + this.length);
  }
}

/** BATCH. */
export class BatchRequest extends ParameterizedRequest {
  readonly kind = 'batch';
  type: BatchType = 0;
  statements: readonly BatchStatement[] = [];
}

/** PREPARE. */
export class PrepareRequest extends RequestBase {
  readonly kind = 'prepare';
  query = '';
  /** Keyspace of this request alone (v5); null: that of the connection. */
  keyspace: string | null = null;
}

/** A request that the connection does not answer itself. */
export type Request = QueryRequest | ExecuteRequest | BatchRequest | PrepareRequest;
