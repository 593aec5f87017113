/**
 * What gossip sends, as bytes, big-endian.
 *
 *     u8 version (2) | [string] id of the cluster | u8 kind
 *     offer:   u8 1: all that is known | u16 n | n digests
 *     answer:  u16 n | n digests wanted | u16 n | n news
 *     news:    u16 n | n news
 *     goodbye: digest of who goes, with its last heartbeat
 *     gone:    digest of who seems to be dead, with the last that was heard of it
 *     digest:  16 bytes host id | u32 generation | u32 version
 *     news:    digest (version: of the heartbeat) | u8 n | n states: u8 key | u32 version | [string] value
 */
import { Reader, type Writer } from '../common/bytes.ts';

const VERSION = 2;
const ID_BYTES = 16;
const NO_STATES = new Map<number, StateValue>();

/** Of one message: what a larger cluster has more of is said in the next ones. */
export const DIGESTS_MAX = 256;
/** News end with the node that goes beyond this. */
export const NEWS_BYTES_MAX = 32 << 10;
export const STATES_MAX = 32;
export const STATE_BYTES_MAX = 512;

export interface Digest {
  /** 16 characters, one for each byte of the host id. */
  readonly id: string;
  /** Of the process: grows with each start. */
  readonly generation: number;
  /** The newest that is known of it. */
  readonly version: number;
}

export interface StateValue {
  readonly value: string;
  readonly version: number;
}

/** `version` is the heartbeat's. */
export interface News extends Digest {
  readonly states: ReadonlyMap<number, StateValue>;
}

export type GossipMessage =
  | { readonly kind: 'offer'; readonly isAll: boolean; readonly digests: readonly Digest[] }
  | { readonly kind: 'answer'; readonly wanted: readonly Digest[]; readonly news: readonly News[] }
  | { readonly kind: 'news'; readonly news: readonly News[] }
  | { readonly kind: 'goodbye'; readonly digest: Digest }
  | { readonly kind: 'gone'; readonly digest: Digest };

const KINDS = ['offer', 'answer', 'news', 'goodbye', 'gone'] as const;

/** The 16 bytes of a UUID as characters; null if it is none. */
export function packHostId(hostId: string): string | null {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(hostId)) return null;
  return Buffer.from(hostId.replaceAll('-', ''), 'hex').toString('latin1');
}

export function unpackHostId(id: string): string {
  const hex = Buffer.from(id, 'latin1').toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

/** Bytes of one node's news, at most. */
export function newsBytes({ states }: News): number {
  let bytes = ID_BYTES + 9;
  if (states.size === 0) return bytes;
  for (const { value } of states.values()) bytes += 7 + value.length * 3;
  return bytes;
}

/** @returns a view on the writer */
export function encodeGossip(out: Writer, clusterId: string, message: GossipMessage): Uint8Array {
  out.reset();
  out.u8(VERSION);
  out.string(clusterId);
  out.u8(KINDS.indexOf(message.kind));
  if (message.kind === 'offer') {
    out.u8(message.isAll ? 1 : 0);
    writeDigests(out, message.digests);
  }
  if (message.kind === 'goodbye' || message.kind === 'gone') writeDigest(out, message.digest);
  if (message.kind === 'answer') writeDigests(out, message.wanted);
  if (message.kind === 'answer' || message.kind === 'news') writeNews(out, message.news);
  return out.view();
}

function writeDigest(out: Writer, { id, generation, version }: Digest): void {
  const at = out.reserve(ID_BYTES);
  out.buffer.write(id, at, 'latin1');
  out.i32(generation);
  out.i32(version);
}

function writeDigests(out: Writer, digests: readonly Digest[]): void {
  out.u16(digests.length);
  for (const digest of digests) writeDigest(out, digest);
}

function writeNews(out: Writer, all: readonly News[]): void {
  out.u16(all.length);
  for (const news of all) {
    writeDigest(out, news);
    out.u8(news.states.size);
    for (const [key, { value, version }] of news.states) {
      out.u8(key);
      out.i32(version);
      out.string(value);
    }
  }
}

/** @param bytes lent @returns null if malformed, of another version or another cluster */
export function decodeGossip(bytes: Uint8Array, clusterId: string): GossipMessage | null {
  try {
    const from = new Reader(bytes);
    if (from.u8() !== VERSION || from.string() !== clusterId) return null;
    const message = readBody(from);
    return from.remaining === 0 ? message : null;
  } catch {
    // A reader throws for what is cut short.
    return null;
  }
}

function readBody(from: Reader): GossipMessage | null {
  const kind = KINDS[from.u8()];
  switch (kind) {
    case 'offer': {
      const isAll = from.u8() === 1;
      const digests = readDigests(from);
      return digests === null ? null : { kind, isAll, digests };
    }
    case 'answer': {
      const wanted = readDigests(from);
      const news = wanted === null ? null : readNews(from);
      return wanted === null || news === null ? null : { kind, wanted, news };
    }
    case 'news': {
      const news = readNews(from);
      return news === null ? null : { kind, news };
    }
    case 'goodbye':
    case 'gone':
      return { kind, digest: readDigest(from) };
    case undefined:
      return null;
  }
}

function readDigest(from: Reader): Digest {
  const at = from.take(ID_BYTES);
  const id = from.buffer.toString('latin1', at, at + ID_BYTES);
  return { id, generation: from.u32(), version: from.u32() };
}

function readDigests(from: Reader): Digest[] | null {
  const count = from.u16();
  if (count > DIGESTS_MAX) return null;
  const digests: Digest[] = [];
  for (let i = 0; i < count; i++) digests.push(readDigest(from));
  return digests;
}

function readNews(from: Reader): News[] | null {
  const all: News[] = [];
  const count = from.u16();
  for (let i = 0; i < count; i++) {
    const digest = readDigest(from);
    const size = from.u8();
    const states = size === 0 ? NO_STATES : new Map<number, StateValue>();
    if (size > STATES_MAX) return null;
    for (let j = 0; j < size; j++) {
      const key = from.u8();
      const version = from.u32();
      const value = from.string();
      if (value.length > STATE_BYTES_MAX) return null;
      states.set(key, { value, version });
    }
    all.push({ ...digest, states });
  }
  return all;
}
