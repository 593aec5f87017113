/**
 * Holds the C++ merge to its reference, node/src/storage/merge.ts, and both to the laws of a join: any order, any grouping,
 * any repetition give the same canonical bytes. `MERGES=1000000` runs that many merges.
 *
 * The generator is a small one of its own: fast-check's arbitraries cost more than the merges.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeRecords as reference } from '../src/storage/merge.ts';
import {
  type Cell,
  type CellKind,
  compareCellPlaces,
  encodeRecord,
  type RangeTombstone,
  RecordFormatError,
  type RecordState,
} from '../src/storage/record.ts';
import { mergeRecords } from './index.ts';

const MERGES = Number(process.env['MERGES'] ?? 30_000);
const SEED = Number(process.env['SEED'] ?? 1);

/** xorshift32: the run depends on the seed alone. */
class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }

  below(limit: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % limit;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }

  shuffle<T>(values: readonly T[]): T[] {
    const shuffled = [...values];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
    }
    return shuffled;
  }
}

// Few values, so that everything collides with everything; the rare ones reach the ends of the types.
const KINDS: readonly CellKind[] = ['live', 'live', 'expiring', 'tombstone', 'complex-deletion'];
const COLUMNS = [0, 1, 2, 3, 127, 128, 0xffffffff] as const;
const EXTREME_TIMESTAMPS = [-(2n ** 63n), 2n ** 63n - 1n, -1n, 0n] as const;
const EXTREME_SECONDS = [0, 0xffffffff] as const;

function timestamp(random: Random): bigint {
  return random.chance(3) ? random.pick(EXTREME_TIMESTAMPS) : BigInt(random.below(6));
}

function seconds(random: Random): number {
  return random.chance(3) ? random.pick(EXTREME_SECONDS) : 1 + random.below(4);
}

function bytes(random: Random, lengthMax: number): Uint8Array {
  const length = random.chance(2) ? 200 : random.below(lengthMax + 1);
  return Uint8Array.from({ length }, () => random.pick([0, 1, 0x40, 0xff]));
}

function cell(random: Random): Cell {
  const kind = random.pick(KINDS);
  const holdsValue = kind === 'live' || kind === 'expiring';
  return {
    column: random.pick(COLUMNS),
    kind,
    timestamp: timestamp(random),
    ttl: kind === 'expiring' ? seconds(random) || 1 : 0,
    localSeconds: kind === 'live' ? 0 : seconds(random),
    path: kind === 'complex-deletion' || random.chance(50) ? null : bytes(random, 2),
    value: holdsValue ? bytes(random, 3) : null,
  };
}

function cells(random: Random): Cell[] {
  const all = Array.from({ length: random.below(6) }, () => cell(random)).sort(compareCellPlaces);
  return all.filter((c, i) => i === 0 || compareCellPlaces(all[i - 1], c) !== 0);
}

function ranges(random: Random): RangeTombstone[] {
  const points = new Set(Array.from({ length: random.below(9) }, () => random.below(12)));
  const sorted = [...points].sort((a, b) => a - b);
  const made: RangeTombstone[] = [];
  for (let i = 0; i + 1 < sorted.length; i++) {
    if (random.chance(40)) continue;
    const deletion = { timestamp: timestamp(random), localSeconds: seconds(random) };
    const before = made[made.length - 1];
    const touches = before !== undefined && before.end[0] === sorted[i];
    const same = touches && before.timestamp === deletion.timestamp;
    if (same && before.localSeconds === deletion.localSeconds) continue;
    made.push({ start: Uint8Array.of(sorted[i]), end: Uint8Array.of(sorted[i + 1]), ...deletion });
  }
  return made;
}

function record(random: Random): Uint8Array {
  const ttl = random.chance(50) ? seconds(random) : 0;
  const state: RecordState = {
    liveness: random.chance(40)
      ? { timestamp: timestamp(random), ttl, expiry: ttl > 0 ? seconds(random) : 0 }
      : null,
    deletion: random.chance(25)
      ? { timestamp: timestamp(random), localSeconds: seconds(random) }
      : null,
    ranges: random.chance(30) ? ranges(random) : [],
    cells: cells(random),
  };
  return encodeRecord(state);
}

function grouped(random: Random, records: readonly Uint8Array[]): Uint8Array {
  const cut = random.below(records.length + 1);
  return mergeRecords([mergeRecords(records.slice(0, cut)), mergeRecords(records.slice(cut))]);
}

test(`the native merge is the reference's, in every order and grouping (${MERGES} merges)`, () => {
  const random = new Random(SEED);
  for (let merges = 0; merges < MERGES; ) {
    const records = Array.from({ length: 1 + random.below(6) }, () => record(random));
    const expected = Buffer.from(reference(records)).toString('hex');
    const check = (merged: Uint8Array) => {
      merges++;
      if (Buffer.from(merged).toString('hex') === expected) return;
      assert.equal(
        Buffer.from(merged).toString('hex'),
        expected,
        records.map((r) => Buffer.from(r).toString('hex')).join(' '),
      );
    };
    check(mergeRecords(records));
    for (let i = 0; i < 4; i++) check(mergeRecords(random.shuffle(records)));
    for (let i = 0; i < 4; i++) check(grouped(random, random.shuffle(records)));
    check(mergeRecords([...records, random.pick(records), Buffer.from(expected, 'hex')]));
    check(reference(random.shuffle(records)));
  }
});

test('damaged records are refused by both, or by neither', () => {
  const random = new Random(SEED);
  for (let i = 0; i < MERGES / 4; i++) {
    const whole = record(random);
    const damaged = random.chance(50)
      ? whole.subarray(0, random.below(whole.length))
      : Uint8Array.from(whole, (byte) => (random.chance(4) ? random.below(256) : byte));
    let expected: Uint8Array;
    try {
      expected = reference([damaged]);
    } catch (error) {
      assert.ok(error instanceof RecordFormatError);
      assert.throws(
        () => mergeRecords([damaged]),
        RangeError,
        Buffer.from(damaged).toString('hex'),
      );
      continue;
    }
    assert.deepEqual(Buffer.from(mergeRecords([damaged])), Buffer.from(expected));
  }
});
