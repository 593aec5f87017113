import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cell, compareCellPlaces, decodeRecord, encodeRecord } from './record.ts';
import { NONE, RowView, readI64 } from './record-view.ts';

const COLUMNS = [0, 1, 5, 127, 128, 300];
const COMPLEX = new Set([5, 300]);
const slotOfId = new Int32Array(301).fill(NONE);
for (const [slot, id] of COLUMNS.entries()) slotOfId[id] = slot;
const shape = {
  slotCount: COLUMNS.length,
  slotOfId,
  isComplex: COLUMNS.map((id) => COMPLEX.has(id)),
};
const NOW = 50;

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 4 }),
  fc.uint8Array({ minLength: 120, maxLength: 300 }),
);
const seconds = fc.integer({ min: 1, max: 100 });
const timestamp = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

const cell: fc.Arbitrary<Cell> = fc
  .record({
    column: fc.constantFrom(...COLUMNS, 7, 4000),
    kind: fc.constantFrom('live', 'expiring', 'tombstone', 'complex-deletion' as const),
    timestamp: fc.oneof(timestamp, fc.constant(5n)),
    ttl: seconds,
    localSeconds: seconds,
    path: bytes,
    value: bytes,
  })
  .map((c): Cell => {
    const complex = COMPLEX.has(c.column);
    const kind = c.kind === 'complex-deletion' && !complex ? 'tombstone' : c.kind;
    const holdsValue = kind === 'live' || kind === 'expiring';
    return {
      column: c.column,
      kind,
      timestamp: c.timestamp,
      ttl: kind === 'expiring' ? c.ttl : 0,
      localSeconds: kind === 'live' ? 0 : c.localSeconds,
      path: complex && kind !== 'complex-deletion' ? c.path : null,
      value: holdsValue ? c.value : null,
    };
  });

const record = fc
  .record({
    liveness: fc.option(fc.record({ timestamp, ttl: fc.constantFrom(0, 9), expiry: seconds })),
    deletion: fc.option(fc.record({ timestamp, localSeconds: seconds })),
    ranges: fc.boolean(),
    cells: fc.array(cell, { maxLength: 8 }),
  })
  .map(({ liveness, deletion, ranges, cells }) =>
    encodeRecord({
      liveness: liveness && { ...liveness, expiry: liveness.ttl === 0 ? 0 : liveness.expiry },
      deletion,
      ranges: ranges
        ? [
            {
              start: Uint8Array.of(1),
              end: new Uint8Array(200).fill(2),
              timestamp: 3n,
              localSeconds: 4,
            },
          ]
        : [],
      cells: cells
        .sort(compareCellPlaces)
        .filter((c, i, all) => i === 0 || compareCellPlaces(all[i - 1], c) !== 0),
    }),
  );

test('a view shows what decoding shows', () => {
  const view = new RowView(shape);
  fc.assert(
    fc.property(record, fc.option(timestamp), fc.nat({ max: 5 }), (stored, coveredBy, padding) => {
      const buffer = Buffer.concat([Buffer.alloc(padding, 0xff), stored, Buffer.alloc(3, 0xff)]);
      view.load(buffer, padding, padding + stored.length, NOW, coveredBy);
      const state = decodeRecord(stored);
      const uncovered = (at: bigint) => coveredBy === null || at > coveredBy;
      const alive = state.cells.filter(
        (c) =>
          uncovered(c.timestamp) &&
          (c.kind === 'live' || (c.kind === 'expiring' && c.localSeconds > NOW)),
      );
      const marker =
        state.liveness !== null &&
        uncovered(state.liveness.timestamp) &&
        (state.liveness.ttl === 0 || state.liveness.expiry > NOW);
      assert.equal(view.marker, marker);
      assert.equal(view.live, marker || alive.length > 0);
      for (const [slot, id] of COLUMNS.entries()) {
        const expected = alive.filter((c) => c.column === id);
        const found = COMPLEX.has(id)
          ? (view.complex[slot] ?? []).map((c) => ({ ...c }))
          : view.valueStart[slot] === NONE
            ? []
            : [
                {
                  valueStart: view.valueStart[slot],
                  valueEnd: view.valueEnd[slot],
                  stampAt: view.stampAt[slot],
                  ttlAt: view.ttlAt[slot],
                },
              ];
        assert.equal(found.length, expected.length);
        for (const [i, place] of found.entries()) {
          const value = buffer.subarray(place.valueStart, place.valueEnd);
          assert.deepEqual(Buffer.from(value), Buffer.from(expected[i].value ?? []));
          assert.equal(readI64(buffer, place.stampAt), expected[i].timestamp);
          assert.equal(place.ttlAt !== NONE, expected[i].kind === 'expiring');
        }
      }
    }),
    { numRuns: 3000 },
  );
});
