import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergeRecords } from './merge.ts';
import {
  type Cell,
  compareCellPlaces,
  decodeRecord,
  encodeRecord,
  RecordFormatError,
} from './record.ts';

const timestamp = fc.bigInt({ min: -2n, max: 6n });
const seconds = fc.integer({ min: 1, max: 3 });
const deletion = fc.record({ timestamp, localSeconds: seconds });
const bytes = fc.uint8Array({ maxLength: 2 });

const cell: fc.Arbitrary<Cell> = fc
  .record({
    column: fc.integer({ min: 0, max: 2 }),
    kind: fc.constantFrom('live', 'expiring', 'tombstone', 'complex-deletion' as const),
    timestamp,
    ttl: seconds,
    localSeconds: seconds,
    path: fc.option(bytes),
    value: bytes,
  })
  .map((c): Cell => {
    const holdsValue = c.kind === 'live' || c.kind === 'expiring';
    return {
      ...c,
      ttl: c.kind === 'expiring' ? c.ttl : 0,
      localSeconds: c.kind === 'live' ? 0 : c.localSeconds,
      path: c.kind === 'complex-deletion' ? null : c.path,
      value: holdsValue ? c.value : null,
    };
  });

/** One write: what a single statement may put into a record. */
export const writeArbitrary = fc
  .record({
    liveness: fc.option(
      fc.record({ timestamp, ttl: fc.integer({ min: 0, max: 2 }), expiry: seconds }),
    ),
    deletion: fc.option(deletion, { freq: 3 }),
    ranges: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { maxLength: 4 }),
    rangeDeletion: deletion,
    cells: fc.array(cell, { maxLength: 4 }),
  })
  .map((w) => {
    const points = w.ranges.sort((a, b) => a - b);
    const ranges = [];
    for (let i = 0; i + 1 < points.length; i += 2) {
      ranges.push({
        start: Uint8Array.of(points[i]),
        end: Uint8Array.of(points[i + 1]),
        ...w.rangeDeletion,
      });
    }
    const cells = w.cells
      .sort(compareCellPlaces)
      .filter((c, i, all) => i === 0 || compareCellPlaces(all[i - 1], c) !== 0);
    const liveness = w.liveness && {
      ...w.liveness,
      expiry: w.liveness.ttl ? w.liveness.expiry : 0,
    };
    return encodeRecord({ liveness, deletion: w.deletion, ranges, cells });
  });

test('records round trip', () => {
  fc.assert(
    fc.property(writeArbitrary, (record) => {
      assert.deepEqual(encodeRecord(decodeRecord(record)), record);
    }),
  );
});

test('merging is associative, commutative and idempotent', () => {
  fc.assert(
    fc.property(
      fc.array(writeArbitrary, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(), { minLength: 5, maxLength: 5 }),
      (records, salt) => {
        const whole = mergeRecords(records);
        const shuffled = records
          .map((record, i) => ({ record, key: salt[i] }))
          .sort((a, b) => a.key - b.key)
          .map((x) => x.record);
        assert.deepEqual(mergeRecords(shuffled), whole);
        const cut = salt[0] % (records.length + 1);
        const grouped = mergeRecords([
          mergeRecords(shuffled.slice(0, cut)),
          mergeRecords(shuffled.slice(cut)),
        ]);
        assert.deepEqual(grouped, whole);
        assert.deepEqual(mergeRecords([whole, ...records, whole]), whole);
      },
    ),
    { numRuns: 2000 },
  );
});

test('bytes that are no record are refused', () => {
  fc.assert(
    fc.property(writeArbitrary, fc.nat(), fc.nat({ max: 255 }), (record, at, byte) => {
      const damaged = Uint8Array.from(record);
      damaged[at % damaged.length] = byte;
      try {
        decodeRecord(damaged);
      } catch (error) {
        assert.ok(error instanceof RecordFormatError);
      }
      assert.throws(() => decodeRecord(record.subarray(0, 8)), RecordFormatError);
    }),
  );
});
