/**
 * Where a result goes on, as the client carries it from page to page. Opaque to clients, not secret.
 *
 * | bytes | content |
 * |---|---|
 * | 1 | format, 1 |
 * | 4 | checksum of what follows (FNV-1a), so that a damaged state is refused and never a wrong answer |
 * | 4 | rows left of LIMIT |
 * | 4 | rows left of PER PARTITION LIMIT in the partition of the position |
 * | 4 + n | token and partition key |
 * | 4 + n | clustering bytes; length -1: the partition is done |
 */
import { Reader, Writer } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import type { Position } from './read-plan.ts';

const FORMAT = 1;
const HEAD_BYTES = 5;

export interface PagingState {
  readonly position: Position;
  readonly limitLeft: number;
  readonly partitionLimitLeft: number;
}

function checksum(bytes: Uint8Array, start: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash | 0;
}

export function encodePagingState(state: PagingState): Buffer {
  const out = new Writer(64);
  out.u8(FORMAT);
  out.i32(0);
  out.i32(state.limitLeft);
  out.i32(state.partitionLimitLeft);
  out.bytes(state.position.partition);
  out.bytes(state.position.clustering);
  out.patchI32(1, checksum(out.view(), HEAD_BYTES));
  return out.copy();
}

/** @throws CqlError ProtocolError: not a state of ours, or damaged */
export function decodePagingState(bytes: Uint8Array): PagingState {
  try {
    const reader = new Reader(bytes);
    const known = reader.u8() === FORMAT && reader.i32() === checksum(bytes, HEAD_BYTES);
    if (known) {
      const limitLeft = reader.i32();
      const partitionLimitLeft = reader.i32();
      const partition = reader.bytes();
      const clustering = reader.bytes();
      if (partition !== null && partition.length > 8) {
        return { limitLeft, partitionLimitLeft, position: { partition, clustering } };
      }
    }
  } catch {
    // Cut short: refused below like everything else that is not a state.
  }
  throw protocolError('Invalid value for the paging state');
}
