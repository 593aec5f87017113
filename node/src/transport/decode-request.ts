/**
 * Bodies of QUERY, EXECUTE, BATCH and PREPARE to requests. Malformed ones are a ProtocolError in
 * Cassandra's words. Source: native protocol v5, 4.1; Cassandra's QueryOptions.Codec.
 * @hot
 */

import { readInt32 } from '../common/bytes.ts';
import { CONSISTENCY_NAMES } from '../common/consistency.ts';
import { protocolError } from '../common/errors.ts';
import {
  type BatchType,
  NULL_VALUE,
  PREPARE_KEYSPACE_FLAG,
  type ProtocolVersion,
  QueryFlag,
  UNSET_VALUE,
} from './protocol.ts';
import {
  BatchRequest,
  BatchStatement,
  ExecuteRequest,
  PrepareRequest,
  QueryRequest,
} from './request.ts';

const NO_POSITIONS: readonly number[] = [];
/** Flags whose fields follow the values. */
const TRAILING_FLAGS =
  QueryFlag.PageSize |
  QueryFlag.PagingState |
  QueryFlag.SerialConsistency |
  QueryFlag.Timestamp |
  QueryFlag.Keyspace |
  QueryFlag.NowInSeconds;
const V4_FLAGS = 0x7f;
/** Smallest statement of a BATCH: kind, length of a prepared id, number of values. */
const BATCH_STATEMENT_BYTES_MIN = 5;

/** Where the body being decoded is read; one for all, since decoding never pauses. */
let source: Buffer = Buffer.alloc(0);
let offset = 0;
let limit = 0;

function take(count: number): number {
  const at = offset;
  if (count < 0 || count > limit - at) {
    throw protocolError(`Message ends too early: ${count} bytes expected, ${limit - at} are left`);
  }
  offset = at + count;
  return at;
}

function u8(): number {
  return source[take(1)];
}

function u16(): number {
  const at = take(2);
  return (source[at] << 8) | source[at + 1];
}

function i32(): number {
  return readInt32(source, take(4));
}

function text(length: number): string {
  const at = take(length);
  return source.toString('utf8', at, at + length);
}

function consistency(): number {
  const code = u16();
  if (code >= CONSISTENCY_NAMES.length) {
    throw protocolError(`Unknown code ${code} for a consistency level`);
  }
  return code;
}

/** Points the decoder at a body. */
function start(body: Buffer, from: number, end: number): void {
  source = body;
  offset = from;
  limit = end;
}

/** Length of a [value]; v3 knows no unset, every negative length is null there. */
function valueSize(version: ProtocolVersion): number {
  const length = i32();
  if (length >= 0 || length === NULL_VALUE) return length;
  if (version < 4) return NULL_VALUE;
  if (length !== UNSET_VALUE) throw protocolError(`Invalid ByteBuf length ${length}`);
  return length;
}

function readPositions(version: ProtocolVersion): readonly number[] {
  const count = u16();
  if (count === 0) return NO_POSITIONS;
  checkCount(count, 4);
  const positions = new Array<number>(2 * count);
  for (let i = 0; i < count; i++) {
    const length = valueSize(version);
    positions[2 * i] = length > 0 ? take(length) : offset;
    positions[2 * i + 1] = length;
  }
  return positions;
}

/** Refuses counts that the rest of the body cannot hold, before anything is allocated for them. */
function checkCount(count: number, bytesMin: number): void {
  if (count * bytesMin > limit - offset) {
    throw protocolError(
      `Message ends too early: ${count} items expected, ${limit - offset} bytes are left`,
    );
  }
}

type Parameterized = QueryRequest | ExecuteRequest | BatchRequest;

function readNamedPositions(request: Parameterized, version: ProtocolVersion): void {
  const count = u16();
  checkCount(count, 6);
  const positions = new Array<number>(2 * count);
  const names = new Array<string>(count);
  for (let i = 0; i < count; i++) {
    names[i] = text(u16());
    const length = valueSize(version);
    positions[2 * i] = length > 0 ? take(length) : offset;
    positions[2 * i + 1] = length;
  }
  request.positions = positions;
  request.names = names;
}

function readParameters(request: Parameterized, version: ProtocolVersion): void {
  request.consistency = consistency();
  const flags = version >= 5 ? i32() : u8() & V4_FLAGS;
  request.flags = flags;
  if ((flags & QueryFlag.Values) !== 0) {
    if ((flags & QueryFlag.NamesForValues) !== 0) readNamedPositions(request, version);
    else request.positions = readPositions(version);
  }
  if ((flags & TRAILING_FLAGS) !== 0) readTrailing(request, flags);
}

function readTrailing(request: Parameterized, flags: number): void {
  if ((flags & QueryFlag.PageSize) !== 0) request.pageSize = i32();
  if ((flags & QueryFlag.PagingState) !== 0) {
    const length = i32();
    if (length >= 0) {
      const at = take(length);
      request.pagingState = source.subarray(at, at + length);
    }
  }
  if ((flags & QueryFlag.SerialConsistency) !== 0) request.serialConsistency = consistency();
  if ((flags & QueryFlag.Timestamp) !== 0) {
    request.timestampHigh = i32();
    request.timestampLow = i32();
    if (request.timestampHigh === -0x8000_0000 && request.timestampLow === 0) {
      throw protocolError(
        'Out of bound timestamp, must be in [-9223372036854775807, 9223372036854775807] (got -9223372036854775808)',
      );
    }
  }
  if ((flags & QueryFlag.Keyspace) !== 0) request.keyspace = text(u16());
  if ((flags & QueryFlag.NowInSeconds) !== 0) request.nowInSeconds = i32() >>> 0;
}

/** Decodes the body of EXECUTE in `body` from `from` to `end`, which the request keeps. */
export function decodeExecute(
  version: ProtocolVersion,
  body: Buffer,
  from: number,
  end: number,
): ExecuteRequest {
  start(body, from, end);
  const request = new ExecuteRequest(body);
  request.version = version;
  request.idLength = u16();
  request.idStart = take(request.idLength);
  if (version >= 5) {
    request.metadataIdLength = u16();
    request.metadataIdStart = take(request.metadataIdLength);
  }
  readParameters(request, version);
  return request;
}

/** Decodes the body of QUERY, like decodeExecute. */
export function decodeQuery(
  version: ProtocolVersion,
  body: Buffer,
  from: number,
  end: number,
): QueryRequest {
  start(body, from, end);
  const request = new QueryRequest(body);
  request.version = version;
  request.queryLength = i32();
  request.queryStart = take(request.queryLength);
  readParameters(request, version);
  return request;
}

function readBatchStatement(version: ProtocolVersion): BatchStatement {
  const kind = u8();
  if (kind > 1) {
    // A signed byte in Cassandra's message.
    const shown = (kind << 24) >> 24;
    throw protocolError(`Invalid query kind in BATCH messages. Must be 0 or 1 but got ${shown}`);
  }
  const length = kind === 0 ? i32() : u16();
  const at = { source, start: take(length), length };
  return new BatchStatement(kind === 0 ? 'query' : 'prepared', at, readPositions(version));
}

/** Decodes the body of BATCH, like decodeExecute. */
export function decodeBatch(
  version: ProtocolVersion,
  body: Buffer,
  from: number,
  end: number,
): BatchRequest {
  start(body, from, end);
  const request = new BatchRequest(body);
  request.version = version;
  const type = u8();
  if (type > 2) throw protocolError(`Invalid BATCH message type ${(type << 24) >> 24}`);
  request.type = type as BatchType;
  const count = u16();
  checkCount(count, BATCH_STATEMENT_BYTES_MIN);
  const statements: BatchStatement[] = [];
  for (let i = 0; i < count; i++) statements.push(readBatchStatement(version));
  request.statements = statements;
  readParameters(request, version);
  return request;
}

/** Decodes the body of PREPARE; nothing of `body` is kept. */
export function decodePrepare(
  version: ProtocolVersion,
  body: Buffer,
  from: number,
  end: number,
): PrepareRequest {
  start(body, from, end);
  const request = new PrepareRequest();
  request.version = version;
  request.query = text(i32());
  if (version >= 5 && (i32() & PREPARE_KEYSPACE_FLAG) !== 0) request.keyspace = text(u16());
  return request;
}
