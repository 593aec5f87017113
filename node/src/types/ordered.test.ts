import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Writer } from '../common/bytes.ts';
import { CqlError } from '../common/errors.ts';
import { compareValues, validate } from './codec.ts';
import type { CqlType } from './cql-type.ts';
import { decodeOrdered, encodeOrdered, skipOrdered } from './ordered.ts';
import {
  COLUMN_TYPES,
  mutate,
  type Random,
  randomKeyType,
  randomValue,
  seededRandom,
} from './random-values.ts';
import { nativeType } from './type-facts.ts';
import { typeName } from './type-names.ts';

function ordered(type: CqlType, reversed: boolean, value: Uint8Array): Buffer {
  const out = new Writer(8);
  out.u8(0xaa);
  encodeOrdered(type, reversed, value, out);
  return out.copy(1);
}

function checkPair(type: CqlType, a: Buffer, b: Buffer): void {
  const order = Math.sign(compareValues(type, a, b));
  const hint = `${typeName(type)} ${a.toString('hex')} ${b.toString('hex')}`;
  for (const reversed of [false, true]) {
    const left = ordered(type, reversed, a);
    const right = ordered(type, reversed, b);
    assert.equal(Buffer.compare(left, right), reversed ? -order + 0 : order, hint);
    if (order !== 0) {
      assert.notDeepEqual(left.subarray(0, right.length), right, `prefix: ${hint}`);
      assert.notDeepEqual(right.subarray(0, left.length), left, `prefix: ${hint}`);
    }
  }
}

function checkRoundTrip(type: CqlType, value: Buffer): void {
  const hint = `${typeName(type)} ${value.toString('hex')}`;
  for (const reversed of [false, true]) {
    const encoded = ordered(type, reversed, value);
    const padded = Buffer.concat([Buffer.from([1, 2]), encoded, Buffer.from([0x40, 0])]);
    const { value: decoded, next } = decodeOrdered(type, reversed, padded, 2);
    assert.equal(next, 2 + encoded.length, hint);
    assert.equal(skipOrdered(type, reversed, padded, 2), next, hint);
    validate(type, decoded);
    assert.equal(compareValues(type, decoded, value), 0, hint);
    assert.deepEqual(ordered(type, reversed, decoded), encoded, hint);
  }
}

/** Key values have no empty collections-as-zero-bytes, which no client can send. */
function values(random: Random, type: CqlType): [Buffer, Buffer] {
  const first = randomValue(random, type);
  const second = random(4) === 0 ? tweak(random, type, first) : randomValue(random, type);
  return [first, second];
}

/** A value near to another: where it differs is somewhere inside. */
function tweak(random: Random, type: CqlType, value: Buffer): Buffer {
  const changed = mutate(random, value);
  try {
    validate(type, changed);
    return changed;
  } catch (error) {
    assert.ok(error instanceof CqlError);
    return value;
  }
}

test('order, prefix-freeness and round trip for every native type', () => {
  const random = seededRandom(1);
  for (const name of COLUMN_TYPES) {
    if (name === 'duration') continue;
    const type = nativeType(name);
    for (let i = 0; i < 1500; i++) {
      const [a, b] = values(random, type);
      checkPair(type, a, b);
      checkRoundTrip(type, a);
    }
  }
});

test('order, prefix-freeness and round trip for nested types', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = seededRandom(seed);
      const type = randomKeyType(random, 3);
      const [a, b] = values(random, type);
      checkPair(type, a, b);
      checkRoundTrip(type, a);
    }),
    { seed: 42, numRuns: 6000 },
  );
});

test('keys that no encoder wrote are refused, never looped over', () => {
  const random = seededRandom(3);
  for (let i = 0; i < 20_000; i++) {
    const type = randomKeyType(random, 2);
    const reversed = random(2) === 0;
    const bytes = mutate(random, ordered(type, reversed, randomValue(random, type)));
    for (const read of [decodeOrdered, skipOrdered]) {
      try {
        read(type, reversed, bytes, 0);
      } catch (error) {
        assert.ok(error instanceof CqlError, String(error));
      }
    }
  }
});

test('the forms of storage-format.md, byte by byte', () => {
  const golden: [CqlType, string, string][] = [
    [nativeType('int'), '', '3f'],
    [nativeType('int'), 'fffffffe', '407ffffffe'],
    [nativeType('bigint'), '0000000000000001', '408000000000000001'],
    [nativeType('date'), '80000001', '4080000001'],
    [nativeType('boolean'), '05', '4001'],
    [nativeType('text'), '610062', '406100ff620000'],
    [nativeType('double'), '3ff8000000000000', '40bff8000000000000'],
    [nativeType('double'), 'bff8000000000000', '404007ffffffffffff'],
    [nativeType('float'), 'ffc00001', '40ffc00000'],
    [
      nativeType('uuid'),
      'f81d4fae7dec11d0a76500a0c91e6bf6',
      '400111d07decf81d4faea76500a0c91e6bf6',
    ],
    [
      nativeType('uuid'),
      'f81d4fae7dec41d0a76500a0c91e6bf6',
      '4004f81d4fae7dec41d0a76500a0c91e6bf6',
    ],
    [
      nativeType('timeuuid'),
      'f81d4fae7dec11d0a76500a0c91e6bf6',
      '4011d07decf81d4fae27e58020499eeb76',
    ],
    [nativeType('varint'), '00', '4080'],
    [nativeType('varint'), '0100', '40820100'],
    [nativeType('varint'), 'ff', '407efe'],
    [nativeType('varint'), 'ff00', '407dfeff'],
    [nativeType('decimal'), '0000000000', '4001'],
    [nativeType('decimal'), '0000000164', '4002800000020b00'],
    [nativeType('decimal'), '00000001ff85', '40007ffffffdf2e0ff'],
    [
      { kind: 'list', element: nativeType('tinyint'), frozen: true },
      '0000000100000001ff',
      '4001407f00',
    ],
    [{ kind: 'tuple', fields: [nativeType('tinyint'), nativeType('text')] }, 'ffffffff', '403e3e'],
  ];
  for (const [type, value, expected] of golden) {
    const encoded = ordered(type, false, Buffer.from(value, 'hex'));
    assert.equal(encoded.toString('hex'), expected, `${typeName(type)} ${value}`);
  }
});
