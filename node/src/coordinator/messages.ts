/**
 * What coordinators and replicas send each other, byte by byte. Integers are big-endian; `varint` is unsigned LEB128 of at
 * most 32 bits. A table is named by 20 bytes: its id and its generation. Requests start with a head: u8 2 | u64 topology
 * epoch at which it was decided who is asked. Answers start with u8 1.
 *
 *   Mutation, Hint   head | entries to the end: table 20 | varint length, key | varint length, record
 *   ReadRecords,     head | table 20 | u16 count ≥ 1 | each: varint length, key
 *   ReadDigest
 *   records          u8 1 | each key's: i32 length, record; -1: there is none
 *   digest           u8 1 | u8 kind | 0: 16 bytes, MD5 of the records answer; 1: the records answer itself (a short one)
 *   ScanPage         head | table 20 | u8 flags (1: reverse, 2: lower, 4: upper) | u32 bytes at most | u32 entries at most
 *                    | lower, upper: varint length, bytes
 *   page             u8 1 | u8 1 if it is the last | u32 count | each: u32le key length, u32le record length, key, record
 *   done             u8 1
 *
 * Mutations are also kept (hints, batches, Paxos), with any epoch; kept ones of version 1 have u8 1 in place of the head.
 */
import { hash } from 'node:crypto';
import { Reader, Writer } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import type { TableDef } from '../schema/schema.ts';
import { ABSENT } from '../storage/kv.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { mayHideDeletion, withoutHiddenDeletion } from '../storage/whole-row.ts';

export const MESSAGE_VERSION = 1;
const REQUEST_VERSION = 2;
const WORD = 2 ** 32;
export const TABLE_REF_BYTES = 20;
/** Keys that one ReadRecords may ask for. */
export const KEYS_MAX = 0xffff;
/** A records answer up to this is sent in place of its digest. */
const DIGEST_BYTES_MIN = 160;
const DIGEST_OF = 0;
const DIGEST_WHOLE = 1;

export const DONE: Uint8Array = Uint8Array.of(MESSAGE_VERSION);

const REFS = new WeakMap<TableDef, Buffer>();

/** A table's id and generation, as messages name it. */
export function tableRef(table: TableDef): Buffer {
  let ref = REFS.get(table);
  if (ref === undefined) {
    ref = Buffer.alloc(TABLE_REF_BYTES);
    ref.write(table.id.replaceAll('-', ''), 'hex');
    ref.writeInt32BE(table.generation, 16);
    REFS.set(table, ref);
  }
  return ref;
}

/** `tableRef` as a Map's key. */
export function tableName(ref: Buffer): string {
  return ref.toString('latin1', 0, TABLE_REF_BYTES);
}

function checkVersion(reader: Reader): void {
  const version = reader.u8();
  if (version !== MESSAGE_VERSION) throw protocolError(`message version ${version} is not known`);
}

/** Starts a request. @param epoch of the topology by which its receivers were chosen */
export function beginRequest(out: Writer, epoch: number): void {
  out.reset();
  out.u8(REQUEST_VERSION);
  out.i32((epoch / WORD) | 0);
  out.i32(epoch | 0);
}

/** @returns the epoch @throws CqlError ProtocolError */
export function readHead(reader: Reader): number {
  const version = reader.u8();
  if (version !== REQUEST_VERSION) throw protocolError(`request version ${version} is not known`);
  return readEpoch(reader);
}

/** The epoch of a request; 0: a kept Mutation of version 1. @throws CqlError ProtocolError */
export function epochOf(body: Uint8Array): number {
  return body[0] === MESSAGE_VERSION ? 0 : readHead(new Reader(body));
}

function readEpoch(reader: Reader): number {
  const epoch = reader.u32() * WORD + reader.u32();
  if (!Number.isSafeInteger(epoch)) throw protocolError('not an epoch');
  return epoch;
}

/** Adds one entry: `key[0, keyLength)`, `record[0, recordLength)`. @hot */
export function addMutation(
  out: Writer,
  table: TableDef,
  key: Uint8Array,
  keyLength: number,
  record: Uint8Array,
  recordLength: number,
): void {
  out.raw(tableRef(table));
  out.varint(keyLength);
  out.slice(key, 0, keyLength);
  out.varint(recordLength);
  out.slice(record, 0, recordLength);
}

/** A whole Mutation. @param epoch any, if it is not sent */
export function encodeMutations(
  entries: readonly { handle: TableHandle; key: Uint8Array; record: Uint8Array }[],
  epoch = 0,
): Buffer {
  const out = new Writer(1024);
  beginRequest(out, epoch);
  for (const { handle, key, record } of entries) {
    addMutation(out, handle.table, key, key.length, record, record.length);
  }
  return out.copy();
}

/**
 * Calls `visit` with each entry of a Mutation; all three are views on `body`.
 * @returns the epoch; 0: a kept one of version 1 @throws CqlError ProtocolError: malformed
 */
export function readMutations(
  body: Uint8Array,
  visit: (table: Buffer, key: Buffer, record: Buffer) => void,
): number {
  const reader = new Reader(body);
  const isOld = body[0] === MESSAGE_VERSION;
  if (isOld) reader.u8();
  const epoch = isOld ? 0 : readHead(reader);
  while (reader.remaining > 0) {
    const table = reader.raw(TABLE_REF_BYTES);
    const key = reader.raw(reader.varint());
    const record = reader.raw(reader.varint());
    if (key.length < 8 || record.length < 9)
      throw protocolError('a mutation without key or record');
    visit(table, key, record);
  }
  return epoch;
}

export interface KeysRequest {
  readonly epoch: number;
  readonly table: Buffer;
  readonly keys: readonly Buffer[];
}

/** @param keys at most `KEYS_MAX` */
export function writeKeysRequest(
  out: Writer,
  epoch: number,
  table: TableDef,
  keys: readonly Uint8Array[],
): void {
  beginRequest(out, epoch);
  out.raw(tableRef(table));
  out.u16(keys.length);
  for (const key of keys) {
    out.varint(key.length);
    out.raw(key);
  }
}

/** Views on `body`. @throws CqlError ProtocolError: malformed */
export function readKeysRequest(body: Uint8Array): KeysRequest {
  const reader = new Reader(body);
  const epoch = readHead(reader);
  const table = reader.raw(TABLE_REF_BYTES);
  const count = reader.u16();
  const keys: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const key = reader.raw(reader.varint());
    if (key.length < 8) throw protocolError('a key without a token');
    keys.push(key);
  }
  if (count === 0 || reader.remaining > 0) throw protocolError('malformed keys');
  return { epoch, table, keys };
}

/** The records answer for what a `PointReader` of this table hears. */
export function recordsAnswer(
  out: Writer,
  table: TableDef,
  buffer: Uint8Array,
  starts: Int32Array,
  ends: Int32Array,
  first: number,
  count: number,
): void {
  out.reset();
  out.u8(MESSAGE_VERSION);
  for (let i = first; i < first + count; i++) {
    if (starts[i] === ABSENT) {
      out.i32(-1);
      continue;
    }
    if (mayHideDeletion(buffer[starts[i]])) {
      const record = withoutHiddenDeletion(buffer.subarray(starts[i], ends[i]), table);
      out.i32(record.length);
      out.raw(record);
      continue;
    }
    out.i32(ends[i] - starts[i]);
    out.slice(buffer, starts[i], ends[i]);
  }
}

/** Where the records of an answer are in it. */
export interface RecordPlaces {
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** @throws CqlError ProtocolError: not an answer for `count` keys */
export function locateRecords(answer: Uint8Array, count: number): RecordPlaces {
  const reader = new Reader(answer);
  checkVersion(reader);
  const starts = new Int32Array(count);
  const ends = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const length = reader.i32();
    starts[i] = length < 0 ? ABSENT : reader.take(length);
    ends[i] = length < 0 ? ABSENT : reader.offset;
  }
  if (reader.remaining > 0) throw protocolError('more records than keys');
  return { starts, ends };
}

function md5(answer: Uint8Array): Buffer {
  return hash('md5', answer, 'buffer');
}

/** The digest answer for a records answer. */
export function digestAnswer(out: Writer, answer: Uint8Array): void {
  out.reset();
  out.u8(MESSAGE_VERSION);
  if (answer.length <= DIGEST_BYTES_MIN) {
    out.u8(DIGEST_WHOLE);
    out.raw(answer);
  } else {
    out.u8(DIGEST_OF);
    out.raw(md5(answer));
  }
}

/** A digest, or the records answer that came in its place. */
export type Digest =
  | { readonly kind: 'digest'; readonly bytes: Buffer }
  | { readonly kind: 'records'; readonly bytes: Buffer };

/** A copy. @throws CqlError ProtocolError: malformed */
export function readDigest(body: Uint8Array): Digest {
  const reader = new Reader(body);
  checkVersion(reader);
  const kind = reader.u8();
  const bytes = Buffer.from(reader.raw(reader.remaining));
  if (kind === DIGEST_WHOLE) return { kind: 'records', bytes };
  if (kind !== DIGEST_OF || bytes.length !== 16) throw protocolError('malformed digest');
  return { kind: 'digest', bytes };
}

/** Whether a digest is that of a records answer. */
export function digestMatches(digest: Digest, answer: Buffer): boolean {
  return (digest.kind === 'records' ? answer : md5(answer)).equals(digest.bytes);
}

/** A page of a run of keys: what there is from `lower` up to `upper`, at most so much. */
export interface PageRequest {
  readonly lower: Uint8Array | null;
  readonly upper: Uint8Array | null;
  readonly reverse: boolean;
  readonly bytesMax: number;
  readonly entriesMax: number;
}

const REVERSE = 1;
const HAS_LOWER = 2;
const HAS_UPPER = 4;

export function writePageRequest(
  out: Writer,
  epoch: number,
  table: TableDef,
  request: PageRequest,
): void {
  const { lower, upper, reverse } = request;
  beginRequest(out, epoch);
  out.raw(tableRef(table));
  out.u8((reverse ? REVERSE : 0) | (lower ? HAS_LOWER : 0) | (upper ? HAS_UPPER : 0));
  out.i32(request.bytesMax);
  out.i32(request.entriesMax);
  for (const bound of [lower, upper]) {
    if (bound === null) continue;
    out.varint(bound.length);
    out.raw(bound);
  }
}

/** Copies. @throws CqlError ProtocolError: malformed */
export function readPageRequest(
  body: Uint8Array,
): PageRequest & { readonly epoch: number; readonly table: Buffer } {
  const reader = new Reader(body);
  const epoch = readHead(reader);
  const table = Buffer.from(reader.raw(TABLE_REF_BYTES));
  const flags = reader.u8();
  const bytesMax = reader.u32();
  const entriesMax = reader.u32();
  const bound = (flag: number) =>
    (flags & flag) === 0 ? null : Buffer.from(reader.raw(reader.varint()));
  const lower = bound(HAS_LOWER);
  const upper = bound(HAS_UPPER);
  if (reader.remaining > 0 || entriesMax === 0) throw protocolError('malformed page request');
  return { epoch, table, lower, upper, reverse: (flags & REVERSE) !== 0, bytesMax, entriesMax };
}

/** Entries one after another, as `RecordScan` has them. */
export interface Page {
  readonly entries: Buffer;
  readonly count: number;
  /** There is nothing after it. */
  readonly isLast: boolean;
}

export function writePage(out: Writer, page: Page): void {
  out.reset();
  out.u8(MESSAGE_VERSION);
  out.u8(page.isLast ? 1 : 0);
  out.i32(page.count);
  out.raw(page.entries);
}

/** `entries` is a view on `body`. @throws CqlError ProtocolError: malformed */
export function readPage(body: Uint8Array): Page {
  const reader = new Reader(body);
  checkVersion(reader);
  const isLast = reader.u8() === 1;
  const count = reader.u32();
  const start = reader.offset;
  for (let i = 0; i < count; i++) {
    const at = reader.take(8);
    const { buffer } = reader;
    reader.take(buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4));
  }
  if (reader.remaining > 0) throw protocolError('a page with bytes behind it');
  return { entries: reader.buffer.subarray(start, reader.offset), count, isLast };
}
