import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeRaftMessage, decodeVoters, encodeRaftMessage, encodeVoters } from './raft-codec.ts';
import type { RaftMessage } from './raft-types.ts';

const data = Buffer.from('abc');
const big = 2 ** 52 + 3;
const MESSAGES: readonly RaftMessage[] = [
  { kind: 'pre-vote', term: big, lastIndex: 2, lastTerm: 1 },
  { kind: 'pre-vote-answer', term: 3, granted: true },
  { kind: 'vote', term: 3, lastIndex: 2, lastTerm: 1, transfer: true },
  { kind: 'vote-answer', term: 3, granted: false },
  {
    kind: 'append',
    term: 9,
    prevIndex: 7,
    prevTerm: 3,
    commit: 7,
    entries: [
      { index: 8, term: 3, kind: 'command', data },
      { index: 9, term: 4, kind: 'voters', data: Buffer.from(encodeVoters(['a', 'b'])) },
      { index: 10, term: 9, kind: 'empty', data: Buffer.alloc(0) },
    ],
  },
  { kind: 'append-answer', term: 9, ok: true, prevIndex: 7, match: 10, commit: 8 },
  { kind: 'heartbeat', term: 9, commit: 8, round: 77 },
  { kind: 'heartbeat-answer', term: 9, round: 77 },
  {
    kind: 'snapshot',
    term: 9,
    index: 100,
    lastTerm: 8,
    voters: ['a', 'b', 'c'],
    totalBytes: 10,
    offset: 7,
    data,
  },
  { kind: 'snapshot-answer', term: 9, index: 100, offset: 10 },
  { kind: 'take-over', term: 9 },
];

test('messages are read as they were written', () => {
  for (const message of MESSAGES) {
    assert.deepEqual(decodeRaftMessage(encodeRaftMessage(message)), message);
  }
  assert.deepEqual(decodeVoters(encodeVoters(['x'])), ['x']);
});

test('what is cut short, goes on, or has another version is refused', () => {
  for (const message of MESSAGES) {
    const bytes = encodeRaftMessage(message);
    for (let cut = 0; cut < bytes.length; cut++) {
      assert.equal(decodeRaftMessage(bytes.subarray(0, cut)), null);
    }
    assert.equal(decodeRaftMessage(Buffer.concat([bytes, Uint8Array.of(0)])), null);
    assert.equal(decodeRaftMessage(Buffer.concat([Uint8Array.of(2), bytes.subarray(1)])), null);
  }
});

test('bytes of a peer never throw, whatever they are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(12), (bytes, kind) => {
      decodeRaftMessage(Uint8Array.of(1, kind, ...bytes));
    }),
    { numRuns: 2_000 },
  );
  for (const message of MESSAGES) {
    const bytes = encodeRaftMessage(message);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = Uint8Array.from(bytes);
        changed[at] = value;
        const read = decodeRaftMessage(changed);
        if (read?.kind !== 'append') return;
        for (const [i, { index }] of read.entries.entries()) {
          assert.equal(index, read.prevIndex + 1 + i);
        }
      }),
    );
  }
});
