/**
 * What the two sides of a transfer say to each other over the links, and the first bytes of a data connection. Integers
 * are big-endian; version 1.
 *
 *   StreamOpen   u8 1 | session 16 | string operation | i64 epoch | u8 1: rows, not files | u16 shards of the target | u16 tables
 *                | each: table 20 | u16 ranges | each: u16 first, u16 last bucket
 *   answer       u8 1 | u8 0: being prepared
 *                u8 1 | u8 1 | token 32 | u16 port | i32 files | each: u16 table | u16 part | u8 kind | i64 bytes
 *                | 4 bytes, CRC-32C
 *   StreamRows   u8 1 | session 16 | u16 table | u16 range | u16 length, key: those after it
 *   answer       u8 1 | u8 1 if they are the last of the range | entries, each u32le key length, u32le record length, key, record
 *   StreamClose  u8 1 | session 16                                   answer: u8 1
 *   hello        'ILST' | u8 1 | session 16 | token 32 | i32 file | i64 offset
 *
 * Files of one part that are of kind WHOLE are in the order in which they are to be ingested.
 */
import { Reader, Writer } from '../common/bytes.ts';
import { type BucketRange, StreamError } from './ports.ts';

const VERSION = 1;
export const SESSION_BYTES = 16;
export const TOKEN_BYTES = 32;
const TABLE_BYTES = 20;
const MAGIC = Buffer.from('ILST');
export const HELLO_BYTES = MAGIC.length + 1 + SESSION_BYTES + TOKEN_BYTES + 4 + 8;

export const TABLES_MAX = 10_000;
export const RANGES_MAX = 0xffff;
export const FILES_MAX = 1_000_000;

export interface OpenTable {
  /** Id and generation, 20 bytes. */
  readonly table: Buffer;
  /** Normalized. */
  readonly ranges: readonly BucketRange[];
}

export interface OpenRequest {
  /** 16 bytes; asking again with the same opens nothing new. */
  readonly session: Buffer;
  readonly operation: string;
  /** The source has to know the topology of this epoch, and refuses older writes from then on. */
  readonly epoch: number;
  /** Nothing is sent as files: the target asks for rows. */
  readonly asRows: boolean;
  /** Of the target. */
  readonly shards: number;
  readonly tables: readonly OpenTable[];
}

export const FileKind = {
  /** A file as the source's store made it. */
  WHOLE: 0,
  /** A copy of a part of some; to be merged with what is there. */
  SLICE: 1,
} as const;
export type FileKind = (typeof FileKind)[keyof typeof FileKind];

export interface OfferedFile {
  /** Index into the request's tables. */
  readonly table: number;
  /** Index into `partsOf` the table's ranges and the target's shards. */
  readonly part: number;
  readonly kind: FileKind;
  readonly bytes: number;
  /** CRC-32C, 8 hex digits. */
  readonly checksum: string;
}

export interface Offer {
  /** 32 bytes. */
  readonly token: Buffer;
  /** Of the source, for data connections. */
  readonly port: number;
  readonly files: readonly OfferedFile[];
}

export interface Hello {
  readonly session: Buffer;
  readonly token: Buffer;
  readonly file: number;
  readonly offset: number;
}

function malformed(what: string): StreamError {
  return new StreamError('MALFORMED', `${what} is malformed, or of another version of Ilion`);
}

/** @throws StreamError MALFORMED in place of whatever `read` throws */
function decoded<T>(what: string, body: Uint8Array, read: (reader: Reader) => T): T {
  const reader = new Reader(body);
  try {
    if (reader.u8() === VERSION) {
      const value = read(reader);
      if (reader.remaining === 0) return value;
    }
  } catch (error) {
    if (error instanceof StreamError) throw error;
  }
  throw malformed(what);
}

export function encodeOpen(request: OpenRequest): Buffer {
  const out = new Writer(1024);
  out.u8(VERSION);
  out.raw(request.session);
  out.string(request.operation);
  out.bigint64(BigInt(request.epoch));
  out.u8(request.asRows ? 1 : 0);
  out.u16(request.shards);
  out.u16(request.tables.length);
  for (const { table, ranges } of request.tables) {
    out.raw(table);
    out.u16(ranges.length);
    for (const { first, last } of ranges) {
      out.u16(first);
      out.u16(last);
    }
  }
  return out.copy();
}

/** @throws StreamError MALFORMED */
export function decodeOpen(body: Uint8Array): OpenRequest {
  const what = 'a request for a stream';
  return decoded(what, body, (reader) => {
    const session = Buffer.from(reader.raw(SESSION_BYTES));
    const operation = reader.string();
    const epoch = Number(reader.i64());
    const asRows = reader.u8() === 1;
    const shards = reader.u16();
    const count = reader.u16();
    const isPowerOfTwo = shards > 0 && (shards & (shards - 1)) === 0;
    if (!isPowerOfTwo || count > TABLES_MAX) throw malformed(what);
    const tables: OpenTable[] = [];
    for (let i = 0; i < count; i++) {
      const table = Buffer.from(reader.raw(TABLE_BYTES));
      const ranges: BucketRange[] = [];
      let before = -1;
      for (let left = reader.u16(); left > 0; left--) {
        const first = reader.u16();
        const last = reader.u16();
        if (first <= before || last < first) throw malformed(what);
        before = last;
        ranges.push({ first, last });
      }
      tables.push({ table, ranges });
    }
    return { session, operation, epoch, asRows, shards, tables };
  });
}

/** @param offer null: it is being prepared */
export function encodeOffer(offer: Offer | null): Buffer {
  const out = new Writer(64 + (offer?.files.length ?? 0) * 20);
  out.u8(VERSION);
  out.u8(offer === null ? 0 : 1);
  if (offer !== null) {
    out.raw(offer.token);
    out.u16(offer.port);
    out.i32(offer.files.length);
    for (const { table, part, kind, bytes, checksum } of offer.files) {
      out.u16(table);
      out.u16(part);
      out.u8(kind);
      out.bigint64(BigInt(bytes));
      out.raw(Buffer.from(checksum, 'hex'));
    }
  }
  return out.copy();
}

/** @returns null: it is being prepared @throws StreamError MALFORMED */
export function decodeOffer(body: Uint8Array): Offer | null {
  const what = 'the offer of a stream';
  return decoded(what, body, (reader) => {
    if (reader.u8() === 0) return null;
    const token = Buffer.from(reader.raw(TOKEN_BYTES));
    const port = reader.u16();
    const count = reader.i32();
    if (count < 0 || count > FILES_MAX) throw malformed(what);
    const files: OfferedFile[] = [];
    for (let i = 0; i < count; i++) {
      const table = reader.u16();
      const part = reader.u16();
      const kind = reader.u8() === FileKind.WHOLE ? FileKind.WHOLE : FileKind.SLICE;
      const bytes = Number(reader.i64());
      if (!Number.isSafeInteger(bytes) || bytes < 0) throw malformed(what);
      files.push({ table, part, kind, bytes, checksum: reader.raw(4).toString('hex') });
    }
    return { token, port, files };
  });
}

export function encodeClose(session: Buffer): Buffer {
  return Buffer.concat([Buffer.of(VERSION), session]);
}

/** @throws StreamError MALFORMED */
export function decodeClose(body: Uint8Array): Buffer {
  return decoded('the end of a stream', body, (reader) => Buffer.from(reader.raw(SESSION_BYTES)));
}

export interface RowsRequest {
  readonly session: Buffer;
  /** Index into the request's tables, and into the ranges of that. */
  readonly table: number;
  readonly range: number;
  /** Empty: from the range's beginning. */
  readonly after: Buffer;
}

export function encodeRowsRequest({ session, table, range, after }: RowsRequest): Buffer {
  const out = new Writer(64 + after.length);
  out.u8(VERSION);
  out.raw(session);
  out.u16(table);
  out.u16(range);
  out.shortBytes(after);
  return out.copy();
}

/** @throws StreamError MALFORMED */
export function decodeRowsRequest(body: Uint8Array): RowsRequest {
  return decoded('a request for rows', body, (reader) => ({
    session: Buffer.from(reader.raw(SESSION_BYTES)),
    table: reader.u16(),
    range: reader.u16(),
    after: Buffer.from(reader.shortBytes()),
  }));
}

export interface RowsPage {
  readonly isLast: boolean;
  /** Each u32le key length, u32le record length, key, record. */
  readonly entries: Buffer;
}

export function encodeRowsPage({ isLast, entries }: RowsPage): Buffer {
  return Buffer.concat([Buffer.of(VERSION, isLast ? 1 : 0), entries]);
}

/** A view. @throws StreamError MALFORMED */
export function decodeRowsPage(body: Uint8Array): RowsPage {
  const what = 'a page of rows';
  return decoded(what, body, (reader) => {
    const isLast = reader.u8() === 1;
    const entries = reader.raw(reader.remaining);
    for (let at = 0; at < entries.length; ) {
      if (at + 8 > entries.length) throw malformed(what);
      at += 8 + entries.readUInt32LE(at) + entries.readUInt32LE(at + 4);
      if (at > entries.length) throw malformed(what);
    }
    return { isLast, entries };
  });
}

export function encodeHello({ session, token, file, offset }: Hello): Buffer {
  const out = new Writer(HELLO_BYTES);
  out.raw(MAGIC);
  out.u8(VERSION);
  out.raw(session);
  out.raw(token);
  out.i32(file);
  out.bigint64(BigInt(offset));
  return out.copy();
}

/** @param bytes `HELLO_BYTES` @throws StreamError MALFORMED */
export function decodeHello(bytes: Uint8Array): Hello {
  const what = 'the first bytes of a stream';
  const isOurs = MAGIC.equals(bytes.subarray(0, MAGIC.length));
  if (!isOurs || bytes.length !== HELLO_BYTES) throw malformed(what);
  return decoded(what, bytes.subarray(MAGIC.length), (reader) => {
    const session = Buffer.from(reader.raw(SESSION_BYTES));
    const token = Buffer.from(reader.raw(TOKEN_BYTES));
    const file = reader.i32();
    const offset = Number(reader.i64());
    if (file < 0 || !Number.isSafeInteger(offset) || offset < 0) throw malformed(what);
    return { session, token, file, offset };
  });
}
