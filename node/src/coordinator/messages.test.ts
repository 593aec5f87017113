import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Writer } from '../common/bytes.ts';
import { CqlError } from '../common/errors.ts';
import { withoutHiddenDeletion } from '../storage/whole-row.ts';
import {
  addMutation,
  beginRequest,
  digestAnswer,
  digestMatches,
  epochOf,
  locateRecords,
  readDigest,
  readKeysRequest,
  readMutations,
  readPage,
  readPageRequest,
  recordsAnswer,
  tableName,
  tableRef,
  writeKeysRequest,
  writePage,
  writePageRequest,
} from './messages.ts';
import {
  BALLOT_BYTES,
  decodeAccepted,
  decodePrepare,
  decodePromised,
  decodeProposal,
  decodeState,
  encodeAccepted,
  encodePrepare,
  encodePromised,
  encodeProposal,
  encodeState,
  HISTORY_MAX,
  historyAfter,
  newBallot,
  type Proposal,
  targetOf,
} from './paxos-state.ts';
import { systemTable } from './system-rows.ts';

const TABLE = systemTable('batchlog');
const key = fc.uint8Array({ minLength: 8, maxLength: 40 });
const record = fc.uint8Array({ minLength: 9, maxLength: 300 });
const hex = (bytes: Uint8Array | null) =>
  bytes === null ? null : Buffer.from(bytes).toString('hex');

test('mutations, keys and pages come back as they were', () => {
  const out = new Writer(64);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(key, record), { minLength: 1, maxLength: 8 }),
      fc.maxSafeNat(),
      (entries, epoch) => {
        beginRequest(out, epoch);
        for (const [k, r] of entries) addMutation(out, TABLE, k, k.length, r, r.length);
        const found: (string | null)[][] = [];
        const foundEpoch = readMutations(out.copy(), (ref, k, r) => {
          assert.equal(tableName(ref), tableName(tableRef(TABLE)));
          found.push([hex(k), hex(r)]);
        });
        assert.deepEqual([foundEpoch, epochOf(out.copy())], [epoch, epoch]);
        // As they were kept before there were epochs.
        const kept = Buffer.concat([Buffer.of(1), out.copy().subarray(9)]);
        assert.equal(
          readMutations(kept, (_, k, r) => found.push([hex(k), hex(r)])),
          0,
        );
        assert.deepEqual(found.splice(entries.length), found);
        assert.deepEqual(
          found,
          entries.map(([k, r]) => [hex(k), hex(r)]),
        );
        writeKeysRequest(
          out,
          epoch,
          TABLE,
          entries.map(([k]) => k),
        );
        assert.deepEqual(
          readKeysRequest(out.copy()).keys.map(hex),
          entries.map(([k]) => hex(k)),
        );
        const packed = entries.map(([k, r]) => {
          const lengths = Buffer.alloc(8);
          lengths.writeUInt32LE(k.length, 0);
          lengths.writeUInt32LE(r.length, 4);
          return Buffer.concat([lengths, k, r]);
        });
        const page = { entries: Buffer.concat(packed), count: packed.length, isLast: true };
        writePage(out, page);
        assert.deepEqual(readPage(out.copy()), page);
      },
    ),
    { seed: 1 },
  );
});

test('page requests keep their bounds', () => {
  const out = new Writer(64);
  const bound = fc.option(key);
  fc.assert(
    fc.property(
      bound,
      bound,
      fc.boolean(),
      fc.integer({ min: 1, max: 1e6 }),
      (lower, upper, reverse, max) => {
        writePageRequest(out, 7, TABLE, { lower, upper, reverse, bytesMax: max, entriesMax: max });
        const found = readPageRequest(out.copy());
        assert.deepEqual([hex(found.lower), hex(found.upper)], [hex(lower), hex(upper)]);
        assert.deepEqual([found.reverse, found.bytesMax, found.entriesMax], [reverse, max, max]);
      },
    ),
    { seed: 1 },
  );
});

test('a digest matches its records, whether they come along or not', () => {
  const out = new Writer(64);
  const records = fc.array(fc.option(record), { minLength: 1, maxLength: 4 });
  const answerOf = (found: readonly (Uint8Array | null)[]) => {
    const buffer = Buffer.concat(found.map((one) => one ?? Buffer.alloc(0)));
    const starts = new Int32Array(found.length).fill(-1);
    const ends = new Int32Array(found.length).fill(-1);
    let at = 0;
    for (const [i, one] of found.entries()) {
      if (one === null) continue;
      starts[i] = at;
      at += one.length;
      ends[i] = at;
    }
    recordsAnswer(out, TABLE, buffer, starts, ends, 0, found.length);
    return out.copy();
  };
  fc.assert(
    fc.property(records, records, (a, b) => {
      const answer = answerOf(a);
      const { starts, ends } = locateRecords(answer, a.length);
      const found = a.map((_, i) =>
        starts[i] < 0 ? null : hex(answer.subarray(starts[i], ends[i])),
      );
      assert.deepEqual(
        found,
        a.map((one) => hex(one === null ? null : withoutHiddenDeletion(one, TABLE))),
      );
      digestAnswer(out, answer);
      const digest = readDigest(out.copy());
      assert.ok(digestMatches(digest, answer));
      const other = answerOf(b);
      assert.equal(digestMatches(digest, other), other.equals(answer));
    }),
    { seed: 1 },
  );
});

const ballot = fc
  .uint8Array({ minLength: BALLOT_BYTES, maxLength: BALLOT_BYTES })
  .map((b) => Buffer.from(b));
const proposal: fc.Arbitrary<Proposal> = fc.record(
  {
    ballot,
    origin: ballot,
    history: fc.array(ballot, { maxLength: HISTORY_MAX }),
    message: record.map((bytes) => Buffer.from(bytes)),
  },
  { noNullPrototype: true },
);

test('what Paxos says and keeps comes back as it was', () => {
  const option = fc.option(proposal);
  fc.assert(
    fc.property(ballot, option, option, key, (promised, accepted, committed, partition) => {
      const state = { promised, accepted, committed };
      assert.deepEqual(decodeState(encodeState(state)), state);
      const target = targetOf(TABLE, partition);
      const keys = [Buffer.concat([partition, Buffer.of(1)])];
      assert.deepEqual(decodePrepare(encodePrepare(target, promised, keys)), {
        target,
        ballot: promised,
        keys,
      });
      const records = Buffer.from([1, 2, 3]);
      const promise = { isPromised: true, accepted, committed, records } as const;
      assert.deepEqual(decodePromised(encodePromised(promise)), promise);
      const refusal = { isPromised: false, ballot: promised } as const;
      assert.deepEqual(decodePromised(encodePromised(refusal)), refusal);
      assert.deepEqual(decodeAccepted(encodeAccepted(promised)), promised);
      assert.equal(decodeAccepted(encodeAccepted(null)), null);
      if (accepted !== null) {
        const decoded = decodeProposal(encodeProposal(target, accepted));
        assert.deepEqual(decoded, { target, proposal: accepted });
      }
    }),
    { seed: 1 },
  );
});

test('a history is of the last minute, and bounded', () => {
  const id = Buffer.alloc(16);
  let last: Proposal | null = null;
  for (let second = 1; second <= 100; second++) {
    const now = newBallot(BigInt(second) * 1_000_000n, id);
    last = { ballot: now, origin: now, history: historyAfter(last, now), message: id };
  }
  assert.equal(last?.history.length, HISTORY_MAX);
  const late = newBallot(155_000_000n, id);
  assert.deepEqual(
    historyAfter(last, late).map((one) => one.readBigUInt64BE(0) / 1_000_000n),
    [100n, 99n, 98n, 97n, 96n],
  );
});

test('bytes that are no message are a ProtocolError and nothing else', () => {
  const readers = [
    (body: Uint8Array) => readMutations(body, () => {}),
    readKeysRequest,
    readPageRequest,
    readPage,
    readDigest,
    (body: Uint8Array) => locateRecords(body, 3),
    decodeState,
    decodePrepare,
    decodePromised,
    decodeProposal,
    decodeAccepted,
  ];
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc.uint8Array({ maxLength: 120 }).map((body) => Uint8Array.of(1, ...body)),
  );
  fc.assert(
    fc.property(bytes, (body) => {
      for (const read of readers) {
        try {
          read(body);
        } catch (error) {
          assert.ok(error instanceof CqlError, String(error));
        }
      }
    }),
    { seed: 1 },
  );
});
