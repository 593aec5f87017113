/** Compaction on demand, in pieces: a node that is told to stop must not wait for a whole table to be rewritten. */
import type { FamilyId, KvStore } from '../storage/kv.ts';
import { AdminError } from './admin-messages.ts';

/** Smaller ones are compacted whole. */
const WHOLE_BYTES_MAX = 256 << 20;
/** By the top bits of the token, the first of a key; SST files are cut there, too, so no piece drags in another. */
const PIECE_BITS = 6;

type Compacted = Pick<KvStore, 'compact' | 'property'>;

/** @throws AdminError UNAVAILABLE between two pieces, when `signal` says to stop */
export async function compactFamily(
  store: Compacted,
  family: FamilyId,
  signal: AbortSignal,
): Promise<void> {
  const bytes = Number(store.property(family, 'rocksdb.total-sst-files-size') ?? 0);
  const pieces = bytes <= WHOLE_BYTES_MAX ? 1 : 2 ** PIECE_BITS;
  const bound = (piece: number) =>
    piece === 0 || piece === pieces ? null : Uint8Array.of(piece << (8 - PIECE_BITS));
  for (let piece = 0; piece < pieces; piece++) {
    if (signal.aborted) {
      throw new AdminError(
        'UNAVAILABLE',
        'the node stops, the compaction did not end: ask again when it runs',
      );
    }
    await store.compact(family, bound(piece), bound(piece + 1));
  }
}
