import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  compareBytes,
  equalBytes,
  highWord,
  joinWords,
  lowWord,
  Reader,
  readInt64,
  Writer,
} from './bytes.ts';
import { CqlError, ErrorCode } from './errors.ts';

const PROTOCOL_ERROR = (error: unknown): boolean =>
  error instanceof CqlError && error.code === ErrorCode.ProtocolError;

test('what a Writer writes a Reader reads', () => {
  const writer = new Writer(1);
  writer.u8(0xfe);
  writer.u16(0xfffe);
  writer.i32(-2);
  writer.i64(-1, -2);
  writer.bigint64(-(1n << 63n));
  writer.f32(1.5);
  writer.f64(-0.1);
  writer.string('naïve €');
  writer.longString('x'.repeat(70_000));
  writer.bytes(null);
  writer.bytes(Buffer.from('0102', 'hex'));
  writer.shortBytes(Buffer.alloc(300, 7));
  writer.stringList(['a', '']);
  writer.varint(0xffffffff);
  writer.i32(-2);
  const reader = new Reader(writer.copy());
  assert.equal(reader.u8(), 0xfe);
  assert.equal(reader.u16(), 0xfffe);
  assert.equal(reader.i32(), -2);
  assert.equal(reader.i64(), -2n);
  assert.equal(reader.i64(), -(1n << 63n));
  assert.equal(reader.raw(4).readFloatBE(), 1.5);
  assert.equal(reader.raw(8).readDoubleBE(), -0.1);
  assert.equal(reader.string(), 'naïve €');
  assert.equal(reader.longString().length, 70_000);
  assert.equal(reader.bytes(), null);
  assert.deepEqual(reader.bytes(), Buffer.from('0102', 'hex'));
  assert.equal(reader.shortBytes().length, 300);
  assert.deepEqual(reader.stringList(), ['a', '']);
  assert.equal(reader.varint(), 0xffffffff);
  assert.equal(reader.value(), undefined);
  assert.equal(reader.remaining, 0);
});

test('fields cut short are protocol errors and move nothing', () => {
  const reader = new Reader(Buffer.from('00000005ff', 'hex'));
  assert.throws(() => reader.bytes(), PROTOCOL_ERROR);
  assert.throws(() => new Reader(Buffer.from('80000000', 'hex')).longString(), PROTOCOL_ERROR);
  assert.throws(() => new Reader(Buffer.from('fffffffd', 'hex')).value(), PROTOCOL_ERROR);
  assert.throws(() => new Reader(Buffer.from('ffffffffff01', 'hex')).varint(), PROTOCOL_ERROR);
});

test('a [string] that is too long is cut at a character', () => {
  const writer = new Writer();
  writer.string('€'.repeat(30_000));
  const reader = new Reader(writer.view());
  assert.equal(reader.string(), '€'.repeat(21_845));
  assert.equal(reader.remaining, 0);
  writer.reset();
  writer.string(`a${'€'.repeat(30_000)}`);
  assert.equal(new Reader(writer.view()).string(), `a${'€'.repeat(21_844)}`);
});

test('halves of 64-bit integers', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
      const writer = new Writer();
      writer.i64(highWord(value), lowWord(value));
      assert.equal(readInt64(writer.view(), 0), value);
      assert.equal(joinWords(highWord(value), lowWord(value)), value);
    }),
  );
});

test('order of bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.uint8Array({ maxLength: 80 }), (a, b) => {
      assert.equal(Math.sign(compareBytes(a, b)), Buffer.compare(a, b));
      assert.equal(equalBytes(a, b), Buffer.compare(a, b) === 0);
    }),
  );
});
