/**
 * Fuzzes the row format; node/tools/fuzz-run.ts says how it is run.
 * Mutated and random bytes are either refused by a RecordFormatError, or decode to what encodes again, merges with
 * itself into the same bytes, and shows the same live cells through a RowView. Nothing hangs, nothing else is thrown.
 */
import assert from 'node:assert/strict';
import { runFuzz } from '../../tools/fuzz-run.ts';
import { type Random, seededRandom } from '../types/random-values.ts';
import { mergeRecords } from './merge.ts';
import {
  type Cell,
  compareCellPlaces,
  decodeRecord,
  encodeRecord,
  RecordFormatError,
} from './record.ts';
import { NONE, RowView } from './record-view.ts';

/** The generator of the case. */
let below: Random = seededRandom(0);

function bytes(max: number): Uint8Array {
  return Uint8Array.from({ length: below(max) }, () => below(256));
}

const KINDS: readonly Cell['kind'][] = ['live', 'expiring', 'tombstone', 'complex-deletion'];
const COLUMNS = [0, 1, 2, 200];

function randomCell(): Cell {
  const kind = KINDS[below(4)];
  const holdsValue = kind === 'live' || kind === 'expiring';
  return {
    column: COLUMNS[below(4)],
    kind,
    timestamp: BigInt(below(4)) - 1n,
    ttl: kind === 'expiring' ? 1 + below(9) : 0,
    localSeconds: kind === 'live' ? 0 : below(100),
    path: kind === 'complex-deletion' || below(2) === 0 ? null : bytes(6),
    value: holdsValue ? bytes(200) : null,
  };
}

function randomRecord(): Uint8Array {
  const cells = Array.from({ length: below(6) }, randomCell).sort(compareCellPlaces);
  return encodeRecord({
    liveness: below(2) === 0 ? null : { timestamp: BigInt(below(5)), ttl: 0, expiry: 0 },
    deletion: below(3) === 0 ? { timestamp: BigInt(below(5)), localSeconds: below(100) } : null,
    ranges:
      below(4) === 0
        ? [{ start: Uint8Array.of(1), end: Uint8Array.of(9), timestamp: 2n, localSeconds: 3 }]
        : [],
    cells: cells.filter((cell, i) => i === 0 || compareCellPlaces(cells[i - 1], cell) !== 0),
  });
}

function mutate(record: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(record);
  for (let i = below(4); i >= 0; i--) copy[below(copy.length)] = below(256);
  const end = below(3) === 0 ? below(copy.length + 1) : copy.length;
  return below(5) === 0 ? Buffer.concat([copy.subarray(0, end), bytes(8)]) : copy.subarray(0, end);
}

const slotOfId = new Int32Array(201).fill(NONE);
for (const [slot, id] of COLUMNS.entries()) slotOfId[id] = slot;
const view = new RowView({ slotCount: 4, slotOfId, isComplex: [false, true, true, false] });

function check(given: Uint8Array): 'record' | 'refused' {
  const input = Buffer.from(given);
  try {
    view.load(input, 0, input.length, 50, 1n);
  } catch (error) {
    assert.ok(error instanceof RecordFormatError, `a view threw ${String(error)}`);
  }
  let state: ReturnType<typeof decodeRecord>;
  try {
    state = decodeRecord(input);
  } catch (error) {
    assert.ok(error instanceof RecordFormatError, `decoding threw ${String(error)}`);
    return 'refused';
  }
  const again = encodeRecord(state);
  assert.deepEqual(encodeRecord(decodeRecord(again)), again);
  const merged = mergeRecords([input]);
  assert.deepEqual(mergeRecords([merged, input, merged]), merged);
  view.load(input, 0, input.length, 50, null);
  const alive = state.cells.some(
    (cell) => cell.kind === 'live' || (cell.kind === 'expiring' && cell.localSeconds > 50),
  );
  const marker =
    state.liveness !== null && (state.liveness.ttl === 0 || state.liveness.expiry > 50);
  assert.equal(view.live, marker || alive);
  return 'record';
}

await runFuzz({
  name: 'record',
  caseMillisMax: 500,
  run: (seed) => {
    below = seededRandom(seed);
    const record = randomRecord();
    return check(below(4) === 0 ? record : mutate(record));
  },
});
