/**
 * Raft's messages as bytes.
 *
 *     u8 version | u8 kind | u64 term | fields of the kind, big-endian; integers u64 below 2^53, entries
 *     u64 index | u64 term | u8 kind | i32 length, bytes
 */
import { Reader, Writer } from '../common/bytes.ts';
import {
  ENTRY_BYTES_MAX,
  type EntryKind,
  type RaftEntry,
  type RaftMessage,
  SNAPSHOT_BYTES_MAX,
  VOTERS_MAX,
} from './raft-types.ts';

const VERSION = 1;
const HOST_ID_MAX = 64;
/** Of one append, whatever a peer says. */
const ENTRIES_MAX = 4096;
const KINDS = [
  'pre-vote',
  'pre-vote-answer',
  'vote',
  'vote-answer',
  'append',
  'append-answer',
  'heartbeat',
  'heartbeat-answer',
  'snapshot',
  'snapshot-answer',
  'take-over',
] as const satisfies readonly RaftMessage['kind'][];
const ENTRY_KINDS: readonly EntryKind[] = ['empty', 'command', 'voters'];

/** Thrown inside of decoders only. */
class Malformed extends Error {}

/** Appends an integer from 0 to 2^53 - 1 as u64. */
export function writeCount(out: Writer, value: number): void {
  out.i64(Math.floor(value / 0x100000000), value >>> 0);
}

/** @throws if it is cut short or too large */
export function readCount(from: Reader): number {
  const high = from.u32();
  if (high > 0x1fffff) throw new Malformed();
  return high * 0x100000000 + from.u32();
}

export function encodeVoters(voters: readonly string[]): Uint8Array {
  const out = new Writer(256);
  out.stringList(voters);
  return out.copy();
}

/** @returns null if malformed */
export function decodeVoters(bytes: Uint8Array): readonly string[] | null {
  return attempt(bytes, readVoters);
}

function readVoters(from: Reader): readonly string[] {
  const count = from.u16();
  if (count > VOTERS_MAX) throw new Malformed();
  const voters: string[] = [];
  for (let i = 0; i < count; i++) {
    const voter = from.string();
    if (voter.length > HOST_ID_MAX) throw new Malformed();
    voters.push(voter);
  }
  return voters;
}

export function writeEntry(out: Writer, entry: RaftEntry): void {
  writeCount(out, entry.index);
  writeCount(out, entry.term);
  out.u8(ENTRY_KINDS.indexOf(entry.kind));
  out.bytes(entry.data);
}

/** The data is copied. @throws if malformed */
export function readEntry(from: Reader): RaftEntry {
  const index = readCount(from);
  const term = readCount(from);
  const kind = ENTRY_KINDS[from.u8()];
  const length = from.i32();
  if (kind === undefined || length < 0 || length > ENTRY_BYTES_MAX) throw new Malformed();
  const data = Buffer.from(from.raw(length));
  if (kind === 'voters' && decodeVoters(data) === null) throw new Malformed();
  return { index, term, kind, data };
}

export function encodeRaftMessage(message: RaftMessage): Uint8Array {
  const out = new Writer(256);
  out.u8(VERSION);
  out.u8(KINDS.indexOf(message.kind));
  writeCount(out, message.term);
  writeBody(out, message);
  return out.copy();
}

function writeBody(out: Writer, message: RaftMessage): void {
  switch (message.kind) {
    case 'pre-vote':
    case 'vote':
      writeCount(out, message.lastIndex);
      writeCount(out, message.lastTerm);
      if (message.kind === 'vote') out.u8(message.transfer ? 1 : 0);
      return;
    case 'pre-vote-answer':
    case 'vote-answer':
      out.u8(message.granted ? 1 : 0);
      return;
    case 'append':
      writeCount(out, message.prevIndex);
      writeCount(out, message.prevTerm);
      writeCount(out, message.commit);
      out.u16(message.entries.length);
      for (const entry of message.entries) writeEntry(out, entry);
      return;
    case 'append-answer':
      out.u8(message.ok ? 1 : 0);
      writeCount(out, message.prevIndex);
      writeCount(out, message.match);
      writeCount(out, message.commit);
      return;
    case 'heartbeat':
      writeCount(out, message.commit);
      writeCount(out, message.round);
      return;
    case 'heartbeat-answer':
      writeCount(out, message.round);
      return;
    case 'snapshot':
      writeCount(out, message.index);
      writeCount(out, message.lastTerm);
      out.stringList(message.voters);
      out.i32(message.totalBytes);
      out.i32(message.offset);
      out.bytes(message.data);
      return;
    case 'snapshot-answer':
      writeCount(out, message.index);
      out.i32(message.offset);
      return;
    case 'take-over':
  }
}

/** @param bytes lent: nothing of them is kept @returns null if malformed or of another version */
export function decodeRaftMessage(bytes: Uint8Array): RaftMessage | null {
  return attempt(bytes, (from) => {
    if (from.u8() !== VERSION) throw new Malformed();
    const kind = KINDS[from.u8()];
    const term = readCount(from);
    const message = readBody(kind, term, from);
    if (message === null || from.remaining !== 0) throw new Malformed();
    return message;
  });
}

function readBody(
  kind: RaftMessage['kind'] | undefined,
  term: number,
  from: Reader,
): RaftMessage | null {
  switch (kind) {
    case 'pre-vote':
      return { kind, term, lastIndex: readCount(from), lastTerm: readCount(from) };
    case 'vote': {
      const [lastIndex, lastTerm] = [readCount(from), readCount(from)];
      return { kind, term, lastIndex, lastTerm, transfer: readFlag(from) };
    }
    case 'pre-vote-answer':
    case 'vote-answer':
      return { kind, term, granted: readFlag(from) };
    case 'append':
      return readAppend(term, from);
    case 'append-answer': {
      const ok = readFlag(from);
      const [prevIndex, match, commit] = [readCount(from), readCount(from), readCount(from)];
      return { kind, term, ok, prevIndex, match, commit };
    }
    case 'heartbeat':
      return { kind, term, commit: readCount(from), round: readCount(from) };
    case 'heartbeat-answer':
      return { kind, term, round: readCount(from) };
    case 'snapshot':
      return readSnapshot(term, from);
    case 'snapshot-answer':
      return { kind, term, index: readCount(from), offset: from.u32() };
    case 'take-over':
      return { kind, term };
    case undefined:
      return null;
  }
}

function readFlag(from: Reader): boolean {
  const flag = from.u8();
  if (flag > 1) throw new Malformed();
  return flag === 1;
}

function readAppend(term: number, from: Reader): RaftMessage {
  const [prevIndex, prevTerm, commit] = [readCount(from), readCount(from), readCount(from)];
  const count = from.u16();
  if (count > ENTRIES_MAX) throw new Malformed();
  const entries: RaftEntry[] = [];
  let before = prevTerm;
  for (let i = 0; i < count; i++) {
    const entry = readEntry(from);
    if (entry.index !== prevIndex + 1 + i || entry.term < before || entry.term > term) {
      throw new Malformed();
    }
    before = entry.term;
    entries.push(entry);
  }
  return { kind: 'append', term, prevIndex, prevTerm, commit, entries };
}

function readSnapshot(term: number, from: Reader): RaftMessage {
  const [index, lastTerm, voters] = [readCount(from), readCount(from), readVoters(from)];
  const [totalBytes, offset, length] = [from.u32(), from.u32(), from.u32()];
  if (totalBytes > SNAPSHOT_BYTES_MAX || offset + length > totalBytes) throw new Malformed();
  const data = Buffer.from(from.raw(length));
  return { kind: 'snapshot', term, index, lastTerm, voters, totalBytes, offset, data };
}

/** What `read` makes of the bytes; null if it throws, as readers do for bytes that cannot be. */
function attempt<T>(bytes: Uint8Array, read: (from: Reader) => T): T | null {
  try {
    return read(new Reader(bytes));
  } catch {
    return null;
  }
}
