/**
 * Checksums of v5 segments. CRC24 covers a header, CRC32 a payload; both start from Cassandra's
 * initial values, so that zeros are not a valid segment. Source: native protocol v5, 2.2.
 * @hot
 */
import { crc32 } from 'node:zlib';

const CRC24_INITIAL = 0x875060;
const CRC24_POLYNOMIAL = 0x1974f0b;
const CRC32_PREFIX_CRC = crc32(Buffer.from([0xfa, 0x2d, 0x55, 0xca]));
const CRC24_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 16;
  for (let bit = 0; bit < 8; bit++) {
    crc <<= 1;
    if ((crc & 0x1000000) !== 0) crc ^= CRC24_POLYNOMIAL;
  }
  return crc;
});

/** CRC24 of `count` bytes from `start`. */
export function segmentCrc24(bytes: Uint8Array, start: number, count: number): number {
  let crc = CRC24_INITIAL;
  for (let i = 0; i < count; i++) {
    crc = ((crc << 8) & 0xffffff) ^ CRC24_TABLE[(crc >>> 16) ^ bytes[start + i]];
  }
  return crc;
}

/** CRC32 of a payload in [start, end), as an unsigned number. */
export function segmentCrc32(bytes: Buffer, start: number, end: number): number {
  return crc32(bytes.subarray(start, end), CRC32_PREFIX_CRC);
}
