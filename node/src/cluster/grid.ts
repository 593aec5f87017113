/**
 * The grid of token space: 2^16 buckets of 2^48 tokens. A node's token is always the last token of a bucket, so that
 * what it owns, `(token before, token]`, is a run of whole buckets, and of whole files (cut where the first two bytes
 * of a key change). Bucket numbers are those two bytes: unsigned, in the order of tokens.
 */
import { highWord, joinWords } from '../common/bytes.ts';

export const GRID_BUCKETS = 0x10000;

/** The token at the end of bucket 0 … 65,535. */
export function gridToken(bucket: number): bigint {
  return joinWords(((bucket << 16) ^ 0x80000000) | 0xffff, -1);
}

/** The bucket in which any token is. */
export function bucketOfToken(token: bigint): number {
  return (highWord(token) ^ 0x80000000) >>> 16;
}

/** The bucket in which the partition of a key (or a prefix of at least 2 bytes) is. @hot */
export function bucketOfKey(key: Uint8Array, at = 0): number {
  return (key[at] << 8) | key[at + 1];
}

/** Whether a node may have this token. */
export function isGridToken(token: bigint): boolean {
  return gridToken(bucketOfToken(token)) === token;
}
