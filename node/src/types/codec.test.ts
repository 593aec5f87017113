import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Writer } from '../common/bytes.ts';
import { CqlError, ErrorCode } from '../common/errors.ts';
import { type CqlValue, canonical, compareValues, decode, encode, validate } from './codec.ts';
import { constantFits, constantValue, preferredType } from './constants.ts';
import { Decimal, parseDecimal } from './decimal.ts';
import { Duration } from './duration.ts';
import { fromJson, jsonName, toJson } from './json.ts';
import { parseJson } from './json-parse.ts';
import { toCqlLiteral } from './literal.ts';
import { listType, mapType, nativeType, setType, tupleType, vectorType } from './type-facts.ts';
import {
  decodeVarint,
  encodeVarint,
  readUnsignedVint64,
  unzigzag,
  vintExtraBytes,
  writeUnsignedVint,
  zigzag,
} from './vint.ts';

const INT = nativeType('int');
const TEXT = nativeType('text');
const NOW = 1_000n;

function isInvalid(message: string): (error: unknown) => boolean {
  return (error) =>
    error instanceof CqlError && error.code === ErrorCode.Invalid && error.message === message;
}

test('JavaScript values, there and back', () => {
  const cases: [Parameters<typeof encode>[0], CqlValue, string][] = [
    [INT, -2, 'fffffffe'],
    [nativeType('tinyint'), -1, 'ff'],
    [nativeType('smallint'), -2, 'fffe'],
    [nativeType('bigint'), -2n, 'fffffffffffffffe'],
    [nativeType('date'), -1, '7fffffff'],
    [nativeType('boolean'), true, '01'],
    [nativeType('double'), 1.5, '3ff8000000000000'],
    [nativeType('float'), 1.5, '3fc00000'],
    [TEXT, 'é', 'c3a9'],
    [nativeType('varint'), -129n, 'ff7f'],
    [nativeType('decimal'), new Decimal(-129n, 3), '00000003ff7f'],
    [nativeType('duration'), new Duration(-1, -1, -1n), '010101'],
    [listType(INT), [1, 2], '0000000200000004000000010000000400000002'],
    [mapType(INT, TEXT), [[1, 'a']], '0000000100000004000000010000000161'],
    [tupleType([INT, TEXT]), [null, 'a'], 'ffffffff0000000161'],
    [vectorType(nativeType('float'), 2), [1, 2], '3f80000040000000'],
    [vectorType(nativeType('smallint'), 2), [1, 2], '020001020002'],
  ];
  for (const [type, value, hex] of cases) {
    assert.equal(encode(type, value)?.toString('hex'), hex);
    assert.deepEqual(decode(type, Buffer.from(hex, 'hex')), value);
  }
  assert.equal(decode(INT, Buffer.alloc(0)), null);
  assert.throws(() => encode(INT, 'x'), CqlError);
});

test('sets and maps become canonical: sorted, without duplicates, at any depth', () => {
  const nested = listType(setType(INT, true), true);
  const bytes = Buffer.from(
    '00000001' +
      '0000001c' +
      '00000003' +
      '0000000400000002' +
      '00000004ffffffff' +
      '0000000400000002',
    'hex',
  );
  assert.deepEqual(decode(nested, canonical(nested, bytes)), [[-1, 2]]);
  const map = mapType(INT, TEXT);
  const sorted = encode(map, [
    [2, 'a'],
    [1, 'b'],
    [2, 'c'],
  ]);
  assert.deepEqual(decode(map, sorted), [
    [1, 'b'],
    [2, 'c'],
  ]);
  assert.equal(sorted === null ? null : canonical(map, sorted), sorted);
});

test('constants: which fit which type, and their values', () => {
  assert.equal(preferredType('integer', '2147483648'), 'bigint');
  assert.equal(constantFits('integer', '1', INT), 'exact');
  assert.equal(constantFits('integer', '1', nativeType('timestamp')), 'weak');
  assert.equal(constantFits('string', 'x', INT), 'no');
  assert.equal(constantFits('hex', '0x00', vectorType(INT, 1)), 'no');
  assert.equal(constantValue('hex', '0xCAfe', nativeType('blob'), NOW).toString('hex'), 'cafe');
  const now = constantValue('string', 'NOW', nativeType('timestamp'), NOW);
  assert.equal(decode(nativeType('timestamp'), now), NOW);
  assert.throws(
    () => constantValue('integer', '2147483648', INT, NOW),
    isInvalid("Unable to make int from '2147483648'"),
  );
});

test('messages of validation', () => {
  const cases: [Parameters<typeof validate>[0], string, string][] = [
    [INT, '010203', 'Expected 4 or 0 byte int (3)'],
    [TEXT, 'ff', "String didn't validate."],
    [nativeType('inet'), '01', 'Expected 4 or 16 byte inetaddress; got 01'],
    [listType(INT), '00000001ffffffff', 'Null value read when not allowed'],
    [vectorType(INT, 2), '00000001', 'Not enough bytes to read a vector<int, 2>'],
  ];
  for (const [type, hex, message] of cases) {
    assert.throws(() => validate(type, Buffer.from(hex, 'hex')), isInvalid(message));
  }
  for (const text of ['é'.repeat(40), 'x'.repeat(100), '']) validate(TEXT, Buffer.from(text));
  assert.throws(() => validate(TEXT, Buffer.concat([Buffer.alloc(40, 97), Buffer.from([0xc0])])));
});

test('JSON keeps what doubles would lose, and the order of keys', () => {
  const bigint = nativeType('bigint');
  const big = fromJson(bigint, parseJson('9007199254740993'), NOW);
  assert.equal(toJson(bigint, big), '9007199254740993');
  const parsed = parseJson('{"2": 1, "1": 2, "__proto__": 3}');
  assert.ok(parsed instanceof Map);
  assert.deepEqual([...parsed.keys()], ['2', '1', '__proto__']);
  assert.equal(toJson(TEXT, Buffer.from('\u001f\\u00ff')), '"\\u001F\\\\u00ff"');
  assert.equal(jsonName('aB'), '"\\"aB\\""');
  for (const bad of ['', '{', '[1,]', '01', '1 2', '"\n"', '{"a" 1}', 'nul', '[1', '"\\x"']) {
    assert.throws(() => parseJson(bad), CqlError, bad);
  }
  assert.throws(() => parseJson('['.repeat(100_000)), CqlError);
});

test('literals', () => {
  const map = mapType(TEXT, listType(INT, true));
  const bytes = encode(map, [["it's", [1, null].slice(0, 1)]]);
  assert.equal(toCqlLiteral(map, bytes), "{'it''s': [1]}");
  assert.equal(toCqlLiteral(INT, null), 'null');
});

test('varints and vints', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(1n << 200n), max: 1n << 200n }), (value) => {
      const bytes = encodeVarint(value);
      assert.equal(decodeVarint(bytes), value);
      assert.ok(bytes.length === 1 || decodeVarint(bytes.subarray(1)) !== value);
    }),
    { seed: 1 },
  );
  fc.assert(
    fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
      const out = new Writer();
      writeUnsignedVint(out, zigzag(value));
      assert.equal(out.length, 1 + vintExtraBytes(out.buffer[0]));
      assert.equal(unzigzag(readUnsignedVint64(out.view(), 0)), value);
    }),
    { seed: 1 },
  );
});

test('decimals are compared by value and printed as BigDecimal does', () => {
  const texts = ['0', '1.0', '-1.50', '1E+10', '1E-10', '0.000001', '0E-7', '123.45'];
  for (const text of texts) assert.equal(parseDecimal(text)?.toString(), text);
  const decimal = nativeType('decimal');
  const bytes = (text: string): Buffer => constantValue('float', text, decimal, NOW);
  assert.equal(compareValues(decimal, bytes('1.0'), bytes('1.00')), 0);
  assert.ok(compareValues(decimal, bytes('1e2147483647'), bytes('9e2147483646')) > 0);
  assert.ok(compareValues(decimal, bytes('-2'), bytes('-1.9')) < 0);
});
