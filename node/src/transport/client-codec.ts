/**
 * The client's side of the protocol without any I/O: requests to bytes, bytes to answers. For tests,
 * fuzzing and load generators.
 */
import { Reader, type Writer } from '../common/bytes.ts';
import { CqlError, type ErrorCode } from '../common/errors.ts';
import { type CompressionName, uncompressBody } from './compression.ts';
import { decodeErrorDetail } from './error-detail.ts';
import { type Admission, FrameReader, type FrameSink } from './frame-reader.ts';
import { Output, WriterPool } from './output.ts';
import {
  FrameFlag,
  Opcode,
  PREPARE_KEYSPACE_FLAG,
  type ProtocolVersion,
  QueryFlag,
  UNSET_VALUE,
} from './protocol.ts';
import { SegmentReader } from './segment-reader.ts';

const FRAME_BYTES_MAX = 256 * 1024 * 1024;

/** A value to bind; undefined: not set. */
export type BoundValue = Uint8Array | null | undefined;

/** Parameters of QUERY, EXECUTE and BATCH (which takes no values, paging or names). */
export interface QueryParameters {
  readonly consistency?: number;
  readonly values?: readonly BoundValue[];
  readonly names?: readonly string[];
  readonly skipMetadata?: boolean;
  readonly pageSize?: number;
  readonly pagingState?: Uint8Array;
  readonly serialConsistency?: number;
  /** Microseconds. */
  readonly timestamp?: bigint;
  readonly keyspace?: string;
  readonly nowInSeconds?: number;
}

/** A statement of a BATCH: text, or the id of a prepared one. */
export interface BatchItem {
  readonly statement: string | Uint8Array;
  readonly values: readonly BoundValue[];
}

/** An answer or event; `body` is a view after trace id, warnings and payload. */
export interface Answer {
  readonly version: number;
  readonly flags: number;
  readonly stream: number;
  readonly opcode: number;
  readonly tracingId: Buffer | null;
  readonly warnings: readonly string[];
  readonly customPayload: ReadonlyMap<string, Buffer | null> | null;
  readonly body: Buffer;
}

/** One client. It goes over to segments and compression when STARTUP is answered. */
export class ClientCodec implements FrameSink {
  readonly version: ProtocolVersion;
  readonly #compression: CompressionName | null;
  readonly #onAnswer: (answer: Answer) => void;
  readonly #output = new Output(new WriterPool());
  readonly #frames = new FrameReader(this);
  #segments: SegmentReader | null = null;

  constructor(
    version: ProtocolVersion,
    compression: CompressionName | null,
    onAnswer: (answer: Answer) => void,
  ) {
    this.version = version;
    this.#compression = compression;
    this.#onAnswer = onAnswer;
  }

  /** Writes any message; `flags` of the frame. */
  send(stream: number, opcode: number, write: (out: Writer) => void, flags = 0): void {
    write(this.#output.open(this.version, flags, stream, opcode));
    this.#output.close();
  }

  startup(stream: number, extra: Readonly<Record<string, string>> = {}): void {
    const options = Object.entries({
      CQL_VERSION: '3.0.0',
      ...(this.#compression === null ? {} : { COMPRESSION: this.#compression }),
      ...extra,
    });
    this.send(stream, Opcode.Startup, (out) => {
      out.u16(options.length);
      for (const [key, value] of options) {
        out.string(key);
        out.string(value);
      }
    });
  }

  options(stream: number): void {
    this.send(stream, Opcode.Options, () => {});
  }

  register(stream: number, types: readonly string[]): void {
    this.send(stream, Opcode.Register, (out) => out.stringList(types));
  }

  authResponse(stream: number, token: Uint8Array | null): void {
    this.send(stream, Opcode.AuthResponse, (out) => out.bytes(token));
  }

  query(stream: number, text: string, parameters: QueryParameters = {}, flags = 0): void {
    this.send(
      stream,
      Opcode.Query,
      (out) => {
        out.longString(text);
        writeParameters(out, parameters, this.version);
      },
      flags,
    );
  }

  prepare(stream: number, text: string, keyspace: string | null = null): void {
    this.send(stream, Opcode.Prepare, (out) => {
      out.longString(text);
      if (this.version < 5) return;
      out.i32(keyspace === null ? 0 : PREPARE_KEYSPACE_FLAG);
      if (keyspace !== null) out.string(keyspace);
    });
  }

  /** `metadataId` is sent in v5 only. */
  execute(
    stream: number,
    id: Uint8Array,
    metadataId: Uint8Array,
    parameters: QueryParameters = {},
  ): void {
    this.send(stream, Opcode.Execute, (out) => {
      out.shortBytes(id);
      if (this.version >= 5) out.shortBytes(metadataId);
      writeParameters(out, parameters, this.version);
    });
  }

  batch(
    stream: number,
    type: number,
    items: readonly BatchItem[],
    parameters: QueryParameters = {},
  ): void {
    this.send(stream, Opcode.Batch, (out) => {
      out.u8(type);
      out.u16(items.length);
      for (const item of items) writeBatchItem(out, item);
      writeParameters(out, parameters, this.version);
    });
  }

  /** The bytes to be sent since the last call; null if there are none. */
  take(): Buffer | null {
    return this.#output.take()?.copy() ?? null;
  }

  /** Takes bytes from the server; throws CqlError if they break the protocol. */
  receive(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      this.#frames.halted = false;
      at = (this.#segments ?? this.#frames).read(chunk, at, chunk.length);
    }
  }

  checkVersion(): void {}

  admit(): Admission {
    return 'take';
  }

  frame(reader: FrameReader, source: Buffer, start: number, end: number): void {
    const { versionByte, flags, stream, opcode } = reader;
    let body = source.subarray(start, end);
    if ((flags & FrameFlag.Compressed) !== 0 && this.#segments === null) {
      body = uncompressBody(this.#compression!, body, FRAME_BYTES_MAX);
    }
    const header = readPrelude(new Reader(body), flags);
    const answered = opcode === Opcode.Ready || opcode === Opcode.Authenticate;
    if (answered && this.#segments === null) this.#started();
    this.#onAnswer({ version: versionByte & 0x7f, flags, stream, opcode, ...header });
  }

  #started(): void {
    const segmented = this.version >= 5;
    this.#output.configure(segmented, this.#compression);
    if (!segmented) return;
    this.#segments = new SegmentReader(this.#frames, this.#compression !== null);
    this.#frames.halted = true;
  }
}

function readPrelude(
  reader: Reader,
  flags: number,
): Pick<Answer, 'tracingId' | 'warnings' | 'customPayload' | 'body'> {
  const tracingId = (flags & FrameFlag.Tracing) === 0 ? null : reader.raw(16);
  const warnings = (flags & FrameFlag.Warning) === 0 ? [] : reader.stringList();
  let customPayload: Map<string, Buffer | null> | null = null;
  if ((flags & FrameFlag.CustomPayload) !== 0) {
    customPayload = new Map();
    for (let count = reader.u16(); count > 0; count--) {
      const key = reader.string();
      customPayload.set(key, reader.bytes());
    }
  }
  return { tracingId, warnings, customPayload, body: reader.raw(reader.remaining) };
}

function writeValue(out: Writer, value: BoundValue): void {
  if (value === undefined) out.i32(UNSET_VALUE);
  else out.bytes(value);
}

function writeBatchItem(out: Writer, item: BatchItem): void {
  if (typeof item.statement === 'string') {
    out.u8(0);
    out.longString(item.statement);
  } else {
    out.u8(1);
    out.shortBytes(item.statement);
  }
  out.u16(item.values.length);
  for (const value of item.values) writeValue(out, value);
}

/** Flags of the parameters that are given and that the version knows. */
function flagsOf(parameters: QueryParameters, version: ProtocolVersion): number {
  let flags = 0;
  if (parameters.values !== undefined) flags |= QueryFlag.Values;
  if (parameters.names !== undefined) flags |= QueryFlag.NamesForValues;
  if (parameters.skipMetadata === true) flags |= QueryFlag.SkipMetadata;
  if (parameters.pageSize !== undefined) flags |= QueryFlag.PageSize;
  if (parameters.pagingState !== undefined) flags |= QueryFlag.PagingState;
  if (parameters.serialConsistency !== undefined) flags |= QueryFlag.SerialConsistency;
  if (parameters.timestamp !== undefined) flags |= QueryFlag.Timestamp;
  if (version < 5) return flags;
  if (parameters.keyspace !== undefined) flags |= QueryFlag.Keyspace;
  if (parameters.nowInSeconds !== undefined) flags |= QueryFlag.NowInSeconds;
  return flags;
}

function writeParameters(out: Writer, parameters: QueryParameters, version: ProtocolVersion): void {
  const flags = flagsOf(parameters, version);
  out.u16(parameters.consistency ?? 1);
  if (version >= 5) out.i32(flags);
  else out.u8(flags);
  if (parameters.values !== undefined) writeValues(out, parameters.values, parameters.names);
  if (parameters.pageSize !== undefined) out.i32(parameters.pageSize);
  if (parameters.pagingState !== undefined) out.bytes(parameters.pagingState);
  if (parameters.serialConsistency !== undefined) out.u16(parameters.serialConsistency);
  if (parameters.timestamp !== undefined) out.bigint64(parameters.timestamp);
  if (version < 5) return;
  if (parameters.keyspace !== undefined) out.string(parameters.keyspace);
  if (parameters.nowInSeconds !== undefined) out.i32(parameters.nowInSeconds);
}

function writeValues(
  out: Writer,
  values: readonly BoundValue[],
  names: readonly string[] | undefined,
): void {
  out.u16(values.length);
  for (let i = 0; i < values.length; i++) {
    if (names !== undefined) out.string(names[i]);
    writeValue(out, values[i]);
  }
}

/** Decodes the body of ERROR. */
export function decodeError(body: Buffer, version: ProtocolVersion): CqlError {
  const reader = new Reader(body);
  const code = reader.i32() as ErrorCode;
  const message = reader.string();
  return new CqlError(code, message, decodeErrorDetail(reader, code, version));
}
