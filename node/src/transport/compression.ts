/**
 * LZ4 blocks and Snappy. The LZ4 library puts the uncompressed length before a block as 4 bytes,
 * little-endian; the protocol puts it there big-endian (v3, v4) or elsewhere (v5). Lengths are checked
 * against what the input can possibly expand to before anything is allocated.
 */
import { compressSync as lz4Compress, uncompressSync as lz4Uncompress } from 'lz4-napi';
import { compressSync as snappyCompress, uncompressSync as snappyUncompress } from 'snappy';
import { writeInt32 } from '../common/bytes.ts';
import { CqlError, ErrorCode, invalidRequest, protocolError } from '../common/errors.ts';

export type CompressionName = 'lz4' | 'snappy';

/** What SUPPORTED lists. */
export const COMPRESSION_NAMES: readonly CompressionName[] = ['snappy', 'lz4'];

const LENGTH_BYTES = 4;
const LZ4_EXPANSION_MAX = 255;
/** Three bytes of Snappy copy at most 64. */
const SNAPPY_EXPANSION_MAX = 22;

/** Compresses the body of a v3 or v4 frame. */
export function compressBody(name: CompressionName, body: Buffer): Buffer {
  if (name === 'snappy') return asBytes(snappyCompress(body));
  const block = lz4Compress(body);
  writeInt32(block, body.length, 0);
  return block;
}

/**
 * Restores the body of a v3 or v4 frame; may write into `body`. Corrupt ones are a ProtocolError,
 * those longer than `bytesMax` an InvalidRequest.
 */
export function uncompressBody(name: CompressionName, body: Buffer, bytesMax: number): Buffer {
  return name === 'snappy' ? uncompressSnappy(body, bytesMax) : uncompressLz4(body, bytesMax);
}

function uncompressLz4(body: Buffer, bytesMax: number): Buffer {
  if (body.length < LENGTH_BYTES) throw protocolError('Compressed frame body is too short');
  const length = body.readUInt32BE(0);
  if (length === 0) return body.subarray(0, 0);
  body.writeUInt32LE(length, 0);
  return uncompressBlock(body, length, bytesMax);
}

/** `block` begins with the length, little-endian. */
function uncompressBlock(block: Buffer, length: number, bytesMax: number): Buffer {
  checkLength(length, bytesMax, block.length * LZ4_EXPANSION_MAX);
  const bytes = guarded(() => lz4Uncompress(block));
  if (bytes.length !== length) throw corrupt();
  return bytes;
}

function uncompressSnappy(body: Buffer, bytesMax: number): Buffer {
  const length = snappyLength(body);
  if (length === 0) return body.subarray(0, 0);
  checkLength(length, bytesMax, body.length * SNAPPY_EXPANSION_MAX);
  const bytes = guarded(() => asBytes(snappyUncompress(body)));
  if (bytes.length !== length) throw corrupt();
  return bytes;
}

function snappyLength(body: Uint8Array): number {
  let length = 0;
  for (let i = 0; i < 5 && i < body.length; i++) {
    length += (body[i] & 0x7f) * 2 ** (7 * i);
    if (body[i] < 0x80) return length;
  }
  throw corrupt();
}

/** Compresses the payload of a v5 segment to a bare LZ4 block. */
export function compressPayload(payload: Buffer): Buffer {
  return lz4Compress(payload).subarray(LENGTH_BYTES);
}

/**
 * Restores a bare LZ4 block of a v5 segment: the bytes [start, end) of `source`, whose four bytes
 * before `start` are overwritten.
 */
export function uncompressPayload(
  source: Buffer,
  start: number,
  end: number,
  length: number,
): Buffer {
  source.writeUInt32LE(length, start - LENGTH_BYTES);
  return uncompressBlock(source.subarray(start - LENGTH_BYTES, end), length, length);
}

function checkLength(length: number, bytesMax: number, possible: number): void {
  if (length > possible) throw corrupt();
  if (length > bytesMax) {
    throw invalidRequest(
      `Request is too big: uncompressed length ${length} exceeds maximum allowed length ${bytesMax}.`,
    );
  }
}

function guarded(uncompress: () => Buffer): Buffer {
  try {
    return uncompress();
  } catch (cause) {
    throw corrupt({ cause });
  }
}

function corrupt(options?: ErrorOptions): CqlError {
  return new CqlError(ErrorCode.ProtocolError, 'Compressed data is corrupt', null, options);
}

function asBytes(bytes: string | Buffer): Buffer {
  return typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
}
