import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdminError } from './admin-messages.ts';
import { compactFamily } from './admin-server-compact.ts';

type Piece = readonly [number[] | null, number[] | null];

function fakeStore(bytes: number, onPiece: (count: number) => void = () => {}) {
  const pieces: Piece[] = [];
  const plain = (key: Uint8Array | null | undefined) => (key == null ? null : [...key]);
  return {
    pieces,
    property: () => String(bytes),
    compact: async (_family: number, lower?: Uint8Array | null, upper?: Uint8Array | null) => {
      pieces.push([plain(lower), plain(upper)]);
      onPiece(pieces.length);
    },
  };
}

test('a small table is one piece, a large one is cut at 64 points without gaps', async () => {
  const { signal } = new AbortController();
  const small = fakeStore(1 << 20);
  await compactFamily(small, 1, signal);
  assert.deepEqual(small.pieces, [[null, null]]);
  const large = fakeStore(2 ** 40);
  await compactFamily(large, 1, signal);
  assert.equal(large.pieces.length, 64);
  assert.deepEqual(large.pieces[0], [null, [4]]);
  assert.deepEqual(large.pieces[63], [[252], null]);
  for (let i = 1; i < 64; i++) assert.deepEqual(large.pieces[i][0], large.pieces[i - 1][1]);
});

test('a node that stops does not begin another piece', async () => {
  const stopping = new AbortController();
  const store = fakeStore(2 ** 40, (count) => {
    if (count === 3) stopping.abort();
  });
  await assert.rejects(
    compactFamily(store, 1, stopping.signal),
    (error) => error instanceof AdminError && error.code === 'UNAVAILABLE',
  );
  assert.equal(store.pieces.length, 3);
});
