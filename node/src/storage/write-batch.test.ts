import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteBatchBuilder } from './write-batch.ts';

function hex(batch: WriteBatchBuilder): string {
  return Buffer.from(batch.bytes.subarray(0, batch.length)).toString('hex');
}

const bytes = (text: string) => Buffer.from(text);

test('the bytes are those of RocksDB', () => {
  const batch = new WriteBatchBuilder(1);
  assert.equal(hex(batch), '000000000000000000000000');
  batch.put(1, bytes('k'), 1, bytes('v'), 1);
  batch.merge(300, bytes('key'), 3, bytes('value'), 5);
  batch.delete(2, bytes('k'), 1);
  batch.deleteRange(2, bytes('a'), 1, bytes('b'), 1);
  assert.equal(batch.count, 4);
  const operations = [
    '0501' + '016b' + '0176',
    '06ac02' + '036b6579' + '0576616c7565',
    '0402' + '016b',
    '0e02' + '0161' + '0162',
  ];
  assert.equal(hex(batch), `000000000000000004000000${operations.join('')}`);
});

test('the default family has tags of its own', () => {
  const batch = new WriteBatchBuilder();
  batch.put(0, bytes('k'), 1, bytes(''), 0);
  batch.merge(0, bytes('k'), 1, bytes('v'), 1);
  batch.delete(0, bytes('k'), 1);
  batch.deleteRange(0, bytes('a'), 1, bytes('b'), 1);
  assert.equal(
    hex(batch),
    `000000000000000004000000${'01016b00'}${'02016b0176'}${'00016b'}${'0f01610162'}`,
  );
});

test('only the given lengths are taken; clearing starts anew', () => {
  const batch = new WriteBatchBuilder();
  const long = Buffer.alloc(100, 'x');
  batch.put(1, long, 50, long, 40);
  assert.equal(batch.length, 12 + 2 + 1 + 50 + 1 + 40);
  batch.clear();
  assert.equal(batch.count, 0);
  assert.equal(hex(batch), '000000000000000000000000');
  batch.delete(1, long, 2);
  assert.equal(hex(batch), '000000000000000001000000' + '0401' + '027878');
});

test('it grows, and keeps what was there', () => {
  const batch = new WriteBatchBuilder(16);
  const value = Buffer.alloc(1000, 'v');
  for (let i = 0; i < 5000; i++) {
    const key = bytes(`key${i}`);
    batch.merge(7, key, key.length, value, value.length);
  }
  assert.equal(batch.count, 5000);
  const written = Buffer.from(batch.bytes.subarray(0, batch.length));
  assert.equal(written.readUInt32LE(8), 5000);
  assert.ok(written.includes('key4999'));
  assert.ok(written.subarray(0, 100).includes('key0'));
});
