/**
 * Cassandra's Murmur3 partitioner: the first 64 bits of MurmurHash3 x64 128 with seed 0, but with the
 * bytes of the tail taken as signed (its historical bug, which all data placement depends on), and
 * Long.MIN_VALUE, which no token may be, turned into Long.MAX_VALUE. 64-bit words are pairs of int32,
 * because BigInt costs an allocation an operation. Source: org.apache.cassandra.utils.MurmurHash.
 * @hot
 */
import { joinWords } from './bytes.ts';

const C1_HIGH = 0x87c37b91 | 0;
const C1_LOW = 0x114253d5;
const C2_HIGH = 0x4cf5ad43;
const C2_LOW = 0x2745937f;
const F1_HIGH = 0xff51afd7 | 0;
const F1_LOW = 0xed558ccd | 0;
const F2_HIGH = 0xc4ceb9fe | 0;
const F2_LOW = 0x1a85ec53;

const SCRATCH = new Int32Array(2);

/** The high 32 bits of the product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // No partial sum exceeds 2^32, so that int32 arithmetic loses nothing.
  const middle = Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16);
  const other = Math.imul(aLow, bHigh) + (middle & 0xffff);
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (other >>> 16)) | 0;
}

/** The high half of the product of two 64-bit integers; the low half is `Math.imul(aLow, bLow)`. */
function timesHigh(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  return (multiplyHigh(aLow, bLow) + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) | 0;
}

/** The carry of the low halves of a sum. */
function carry(sumLow: number, termLow: number): number {
  return sumLow >>> 0 < termLow >>> 0 ? 1 : 0;
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

function signed(byte: number): number {
  return (byte << 24) >> 24;
}

/** Low word of up to eight signed tail bytes, xored at their places. */
function tailLow(bytes: Uint8Array, at: number, count: number): number {
  if (count >= 4) {
    const first = signed(bytes[at]) ^ (signed(bytes[at + 1]) << 8);
    return first ^ (signed(bytes[at + 2]) << 16) ^ (bytes[at + 3] << 24);
  }
  let low = 0;
  for (let i = count - 1; i >= 0; i--) low ^= signed(bytes[at + i]) << (8 * i);
  return low;
}

/** High word of the same; the low bytes' signs reach up into it. */
function tailHigh(bytes: Uint8Array, at: number, count: number): number {
  let high = 0;
  for (let i = count - 1; i >= 4; i--) high ^= signed(bytes[at + i]) << (8 * (i - 4));
  for (let i = count < 4 ? count - 1 : 3; i >= 1; i--)
    high ^= signed(bytes[at + i]) >> (32 - 8 * i);
  if (count > 0) high ^= signed(bytes[at]) >> 31;
  return high;
}

/**
 * Writes the token of the partition key in `bytes[start, end)` as two int32: `out[at]` the high,
 * `out[at + 1]` the low half.
 */
export function murmur3(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Int32Array,
  at: number,
): void {
  const length = end - start;
  let h1h = 0;
  let h1l = 0;
  let h2h = 0;
  let h2l = 0;
  let kh = 0;
  let kl = 0;
  let th = 0;
  let tl = 0;
  let position = start;
  for (; position + 16 <= end; position += 16) {
    // k1 = rotl(k1 * c1, 31) * c2; h1 = (rotl(h1 ^ k1, 27) + h2) * 5 + 0x52dce729
    kl = littleEndian(bytes, position);
    kh = littleEndian(bytes, position + 4);
    th = timesHigh(kh, kl, C1_HIGH, C1_LOW);
    tl = Math.imul(kl, C1_LOW);
    kh = (th << 31) | (tl >>> 1);
    kl = (tl << 31) | (th >>> 1);
    h1h ^= timesHigh(kh, kl, C2_HIGH, C2_LOW);
    h1l ^= Math.imul(kl, C2_LOW);
    th = (h1h << 27) | (h1l >>> 5);
    tl = (h1l << 27) | (h1h >>> 5);
    h1l = (tl + h2l) | 0;
    h1h = (th + h2h + carry(h1l, tl)) | 0;
    tl = Math.imul(h1l, 5);
    th = (Math.imul(h1h, 5) + (h1l >>> 30) + carry(tl, h1l << 2)) | 0;
    h1l = (tl + 0x52dce729) | 0;
    h1h = (th + carry(h1l, tl)) | 0;
    // k2 = rotl(k2 * c2, 33) * c1; h2 = (rotl(h2 ^ k2, 31) + h1) * 5 + 0x38495ab5
    kl = littleEndian(bytes, position + 8);
    kh = littleEndian(bytes, position + 12);
    th = timesHigh(kh, kl, C2_HIGH, C2_LOW);
    tl = Math.imul(kl, C2_LOW);
    kh = (tl << 1) | (th >>> 31);
    kl = (th << 1) | (tl >>> 31);
    h2h ^= timesHigh(kh, kl, C1_HIGH, C1_LOW);
    h2l ^= Math.imul(kl, C1_LOW);
    th = (h2h << 31) | (h2l >>> 1);
    tl = (h2l << 31) | (h2h >>> 1);
    h2l = (tl + h1l) | 0;
    h2h = (th + h1h + carry(h2l, tl)) | 0;
    tl = Math.imul(h2l, 5);
    th = (Math.imul(h2h, 5) + (h2l >>> 30) + carry(tl, h2l << 2)) | 0;
    h2l = (tl + 0x38495ab5) | 0;
    h2h = (th + carry(h2l, tl)) | 0;
  }
  const rest = end - position;
  if (rest > 8) {
    kl = tailLow(bytes, position + 8, rest - 8);
    kh = tailHigh(bytes, position + 8, rest - 8);
    th = timesHigh(kh, kl, C2_HIGH, C2_LOW);
    tl = Math.imul(kl, C2_LOW);
    kh = (tl << 1) | (th >>> 31);
    kl = (th << 1) | (tl >>> 31);
    h2h ^= timesHigh(kh, kl, C1_HIGH, C1_LOW);
    h2l ^= Math.imul(kl, C1_LOW);
  }
  if (rest > 0) {
    const count = Math.min(rest, 8);
    kl = tailLow(bytes, position, count);
    kh = tailHigh(bytes, position, count);
    th = timesHigh(kh, kl, C1_HIGH, C1_LOW);
    tl = Math.imul(kl, C1_LOW);
    kh = (th << 31) | (tl >>> 1);
    kl = (tl << 31) | (th >>> 1);
    h1h ^= timesHigh(kh, kl, C2_HIGH, C2_LOW);
    h1l ^= Math.imul(kl, C2_LOW);
  }
  h1l ^= length;
  h2l ^= length;
  h1l = (h1l + h2l) | 0;
  h1h = (h1h + h2h + carry(h1l, h2l)) | 0;
  h2l = (h2l + h1l) | 0;
  h2h = (h2h + h1h + carry(h2l, h1l)) | 0;
  finish(h1h, h1l, SCRATCH);
  h1h = SCRATCH[0];
  h1l = SCRATCH[1];
  finish(h2h, h2l, SCRATCH);
  h2l = SCRATCH[1];
  h1l = (h1l + h2l) | 0;
  h1h = (h1h + SCRATCH[0] + carry(h1l, h2l)) | 0;
  if (h1h === -0x80000000 && h1l === 0) {
    h1h = 0x7fffffff;
    h1l = -1;
  }
  out[at] = h1h;
  out[at + 1] = h1l;
}

/** MurmurHash's fmix64, into `out[0]` (high) and `out[1]` (low). */
function finish(high: number, low: number, out: Int32Array): void {
  let h = high;
  let l = low ^ (high >>> 1);
  let next = timesHigh(h, l, F1_HIGH, F1_LOW);
  l = Math.imul(l, F1_LOW);
  h = next;
  l ^= h >>> 1;
  next = timesHigh(h, l, F2_HIGH, F2_LOW);
  l = Math.imul(l, F2_LOW);
  h = next;
  l ^= h >>> 1;
  out[0] = h;
  out[1] = l;
}

/** The token of a serialized partition key. */
export function murmur3Token(bytes: Uint8Array): bigint {
  const out = new Int32Array(2);
  murmur3(bytes, 0, bytes.length, out, 0);
  return joinWords(out[0], out[1]);
}
