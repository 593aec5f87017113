/**
 * Paxos of one partition, as bytes: its state on a replica, and what replicas and proposers say to each other.
 *
 *   ballot    u64 microseconds | 16 bytes: host id of the proposer
 *   proposal  ballot | ballot: its origin | u8 count | each: ballot, origin of a value committed before | i32 length, a Mutation
 *   state     u8 1 | ballot: promised | u8 0; 1: proposal, accepted | u8 0; 1: proposal, the last committed
 *   target    table 20 | varint length, partition
 *   Prepare   head | target | ballot | u16 count | each: varint length, key
 *   promise   u8 1 | u8 1 | u8 0; 1: proposal, accepted | u8 0; 1: proposal, committed | a records answer; none without keys
 *   refusal   u8 1 | u8 0 | ballot: that was promised
 *   Propose   head | target | proposal                  answer: u8 1 | u8 1; 0: ballot
 *   Commit    head | target | proposal                  answer: u8 1
 *
 * The origin is the ballot under which a value was first proposed: it stays when another proposer finishes it. With the
 * origins of the values before it (the last first, not older than a minute) a proposer that lost sight of its value learns
 * whether it was committed.
 */
import { compareBytes, Reader, Writer } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import type { TableDef } from '../schema/schema.ts';
import { beginRequest, MESSAGE_VERSION, readHead, TABLE_REF_BYTES, tableRef } from './messages.ts';

export const BALLOT_BYTES = 24;

/** Ordered bytewise. */
export type Ballot = Buffer;

export const NO_BALLOT: Ballot = Buffer.alloc(BALLOT_BYTES);

/** @param hostId 16 bytes */
export function newBallot(micros: bigint, hostId: Uint8Array): Ballot {
  const ballot = Buffer.alloc(BALLOT_BYTES);
  ballot.writeBigUInt64BE(micros, 0);
  ballot.set(hostId.subarray(0, 16), 8);
  return ballot;
}

export function ballotMicros(ballot: Ballot): bigint {
  return ballot.readBigUInt64BE(0);
}

export function isAfter(a: Ballot, b: Ballot): boolean {
  return compareBytes(a, b) > 0;
}

export const HISTORY_MAX = 16;
const HISTORY_MICROS = 60_000_000n;

/** The history of what is proposed after `last`, at `ballot`. */
export function historyAfter(last: Proposal | null, ballot: Ballot): Ballot[] {
  if (last === null) return [];
  const oldest = ballotMicros(ballot) - HISTORY_MICROS;
  return [last.origin, ...last.history]
    .filter((origin) => ballotMicros(origin) > oldest)
    .slice(0, HISTORY_MAX);
}

export interface Proposal {
  readonly ballot: Ballot;
  readonly origin: Ballot;
  /** Origins of what was committed before, the last first; at most `HISTORY_MAX`. */
  readonly history: readonly Ballot[];
  /** A Mutation. */
  readonly message: Buffer;
}

export interface PaxosState {
  /** Nothing below it is accepted any more. */
  readonly promised: Ballot;
  /** Accepted and, as far as is known here, not committed. */
  readonly accepted: Proposal | null;
  readonly committed: Proposal | null;
}

export const NO_STATE: PaxosState = { promised: NO_BALLOT, accepted: null, committed: null };

function writeProposal(out: Writer, proposal: Proposal | null): void {
  out.u8(proposal === null ? 0 : 1);
  if (proposal !== null) writeWhole(out, proposal);
}

function writeWhole(out: Writer, { ballot, origin, history, message }: Proposal): void {
  out.raw(ballot);
  out.raw(origin);
  out.u8(history.length);
  for (const before of history) out.raw(before);
  out.bytes(message);
}

function readWhole(reader: Reader): Proposal {
  const ballot = Buffer.from(reader.raw(BALLOT_BYTES));
  const origin = Buffer.from(reader.raw(BALLOT_BYTES));
  const history: Ballot[] = [];
  for (let left = reader.u8(); left > 0; left--) {
    history.push(Buffer.from(reader.raw(BALLOT_BYTES)));
  }
  return {
    ballot,
    origin,
    history,
    message: Buffer.from(reader.bytes() ?? NO_BALLOT.subarray(0, 0)),
  };
}

function readProposal(reader: Reader): Proposal | null {
  return reader.u8() === 0 ? null : readWhole(reader);
}

function readVersion(reader: Reader): void {
  if (reader.u8() !== MESSAGE_VERSION) throw protocolError('message version is not known');
}

export function encodeState({ promised, accepted, committed }: PaxosState): Buffer {
  const out = new Writer(256);
  out.u8(MESSAGE_VERSION);
  out.raw(promised);
  writeProposal(out, accepted);
  writeProposal(out, committed);
  return out.copy();
}

/** @throws CqlError ProtocolError */
export function decodeState(bytes: Uint8Array): PaxosState {
  const reader = new Reader(bytes);
  readVersion(reader);
  const promised = Buffer.from(reader.raw(BALLOT_BYTES));
  return { promised, accepted: readProposal(reader), committed: readProposal(reader) };
}

export interface PaxosTarget {
  /** 20 bytes. */
  readonly table: Buffer;
  readonly partition: Buffer;
  /** Of the topology by which who takes part was chosen. */
  readonly epoch: number;
}

export function targetOf(table: TableDef, partition: Uint8Array, epoch = 0): PaxosTarget {
  return { table: tableRef(table), partition: Buffer.from(partition), epoch };
}

function beginWithTarget({ table, partition, epoch }: PaxosTarget): Writer {
  const out = new Writer(256);
  beginRequest(out, epoch);
  out.raw(table);
  out.varint(partition.length);
  out.raw(partition);
  return out;
}

function readTarget(reader: Reader): PaxosTarget {
  const epoch = readHead(reader);
  const table = Buffer.from(reader.raw(TABLE_REF_BYTES));
  const partition = Buffer.from(reader.raw(reader.varint()));
  if (partition.length < 8) throw protocolError('a key without a token');
  return { table, partition, epoch };
}

export interface Prepare {
  readonly target: PaxosTarget;
  readonly ballot: Ballot;
  readonly keys: readonly Buffer[];
}

export function encodePrepare(
  target: PaxosTarget,
  ballot: Ballot,
  keys: readonly Uint8Array[],
): Buffer {
  const out = beginWithTarget(target);
  out.raw(ballot);
  out.u16(keys.length);
  for (const key of keys) {
    out.varint(key.length);
    out.raw(key);
  }
  return out.copy();
}

/** Copies. @throws CqlError ProtocolError */
export function decodePrepare(body: Uint8Array): Prepare {
  const reader = new Reader(body);
  const target = readTarget(reader);
  const ballot = Buffer.from(reader.raw(BALLOT_BYTES));
  const keys: Buffer[] = [];
  for (let left = reader.u16(); left > 0; left--) {
    const key = Buffer.from(reader.raw(reader.varint()));
    if (compareBytes(key.subarray(0, target.partition.length), target.partition) !== 0) {
      throw protocolError('a key of another partition');
    }
    keys.push(key);
  }
  return { target, ballot, keys };
}

export type Promised =
  | {
      readonly isPromised: true;
      readonly accepted: Proposal | null;
      readonly committed: Proposal | null;
      /** A records answer for the keys; empty without keys. */
      readonly records: Buffer;
    }
  | { readonly isPromised: false; readonly ballot: Ballot };

export function encodePromised(promised: Promised): Buffer {
  const out = new Writer(256);
  out.u8(MESSAGE_VERSION);
  out.u8(promised.isPromised ? 1 : 0);
  if (promised.isPromised) {
    writeProposal(out, promised.accepted);
    writeProposal(out, promised.committed);
    out.raw(promised.records);
  } else {
    out.raw(promised.ballot);
  }
  return out.copy();
}

/** @throws CqlError ProtocolError */
export function decodePromised(body: Uint8Array): Promised {
  const reader = new Reader(body);
  readVersion(reader);
  if (reader.u8() === 0) {
    return { isPromised: false, ballot: Buffer.from(reader.raw(BALLOT_BYTES)) };
  }
  const accepted = readProposal(reader);
  const committed = readProposal(reader);
  const records = Buffer.from(reader.raw(reader.remaining));
  return { isPromised: true, accepted, committed, records };
}

/** Propose or Commit. */
export function encodeProposal(target: PaxosTarget, proposal: Proposal): Buffer {
  const out = beginWithTarget(target);
  writeWhole(out, proposal);
  return out.copy();
}

/** Copies. @throws CqlError ProtocolError */
export function decodeProposal(body: Uint8Array): {
  readonly target: PaxosTarget;
  readonly proposal: Proposal;
} {
  const reader = new Reader(body);
  const target = readTarget(reader);
  const proposal = readWhole(reader);
  if (reader.remaining > 0) throw protocolError('a proposal with bytes behind it');
  return { target, proposal };
}

/** Null: it was accepted; else the ballot that was promised. */
export function encodeAccepted(refusedBy: Ballot | null): Buffer {
  const head = Buffer.of(MESSAGE_VERSION, refusedBy === null ? 1 : 0);
  return refusedBy === null ? head : Buffer.concat([head, refusedBy]);
}

/** @throws CqlError ProtocolError */
export function decodeAccepted(body: Uint8Array): Ballot | null {
  const reader = new Reader(body);
  readVersion(reader);
  return reader.u8() === 1 ? null : Buffer.from(reader.raw(BALLOT_BYTES));
}
