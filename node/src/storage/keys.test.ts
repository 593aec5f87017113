import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, Writer } from '../common/bytes.ts';
import { murmur3Token } from '../common/murmur3.ts';
import { DEFAULT_TABLE_OPTIONS, type TableDef } from '../schema/schema.ts';
import type { NativeTypeName } from '../types/cql-type.ts';
import { nativeType } from '../types/type-facts.ts';
import {
  decodeClustering,
  decodePartitionKey,
  keyLayout,
  partitionLength,
  serializePartitionKey,
  TOKEN_BYTES,
  writeClustering,
  writePartitionKey,
} from './keys.ts';

function table(
  partition: readonly NativeTypeName[],
  clustering: readonly NativeTypeName[],
): TableDef {
  const column =
    (kind: 'partition_key' | 'clustering') => (name: NativeTypeName, position: number) => ({
      name: `${kind}${position}`,
      id: position,
      type: nativeType(name),
      kind,
      position,
      reversed: false,
    });
  return {
    keyspace: 'k',
    name: 't',
    id: '',
    generation: 0,
    nextColumnId: 0,
    columns: [...partition.map(column('partition_key')), ...clustering.map(column('clustering'))],
    options: DEFAULT_TABLE_OPTIONS,
    droppedColumns: [],
    isCounter: false,
  };
}

function keyOf(
  def: TableDef,
  partition: readonly Uint8Array[],
  clustering: readonly Uint8Array[],
): Buffer {
  const out = new Writer();
  writePartitionKey(keyLayout(def), partition, out);
  writeClustering(keyLayout(def), clustering, out);
  return out.copy();
}

const blob = fc.uint8Array({ maxLength: 12 }).map((b) => Buffer.from(b));
const zeros = fc.array(fc.constantFrom(0, 1, 0xff), { maxLength: 6 }).map((b) => Buffer.from(b));
const bytes = fc.oneof(blob, zeros);

test('the bytes of a key are those of the format document', () => {
  const fixed = keyOf(
    table(['int'], ['text']),
    [Buffer.from('0000002a', 'hex')],
    [Buffer.from('a')],
  );
  const token = BigInt.asUintN(64, murmur3Token(Buffer.from('0000002a', 'hex')) ^ (1n << 63n));
  assert.equal(fixed.toString('hex'), `${token.toString(16).padStart(16, '0')}0000002a40610000`);
  const stuffed = keyOf(
    table(['text', 'int'], []),
    [Buffer.from('a'), Buffer.from('00000001', 'hex')],
    [],
  );
  // u16 1 'a' 0, u16 4 int 0; each zero byte followed by 0xff; 00 00 at the end.
  const serialized = '0001610000040000000100';
  const escaped = serialized
    .match(/../g)
    ?.map((hex) => (hex === '00' ? '00ff' : hex))
    .join('');
  assert.equal(stuffed.subarray(TOKEN_BYTES).toString('hex'), `${escaped}0000`);
});

test('keys give back their values, and partitions are runs', () => {
  for (const def of [table(['blob'], ['blob']), table(['blob', 'text', 'blob'], ['blob'])]) {
    const layout = keyLayout(def);
    const count = layout.partitionKey.length;
    const partition = fc.array(bytes, { minLength: count, maxLength: count });
    fc.assert(
      fc.property(partition, bytes, partition, bytes, (p1, c1, p2, c2) => {
        const key = keyOf(def, p1, [c1]);
        const length = partitionLength(layout, key);
        assert.deepEqual(
          decodePartitionKey(layout, key, 0, length).map((v) => Buffer.from(v)),
          p1,
        );
        assert.deepEqual(
          decodeClustering(layout, key, length).map((v) => Buffer.from(v)),
          [c1],
        );
        const other = keyOf(def, p2, [c2]);
        const samePartition = p1.every((value, i) => Buffer.compare(value, p2[i]) === 0);
        assert.equal(other.subarray(0, length).equals(key.subarray(0, length)), samePartition);
        if (samePartition)
          assert.equal(Math.sign(compareBytes(key, other)), Math.sign(compareBytes(c1, c2)));
      }),
      { numRuns: 500 },
    );
  }
});

test('the partition key is hashed as Cassandra serializes it', () => {
  const out = new Writer();
  serializePartitionKey([Buffer.from('ab'), Buffer.from('c')], out);
  assert.equal(out.view().toString('hex'), '0002616200000163' + '00');
  const def = table(['text', 'text'], []);
  const key = keyOf(def, [Buffer.from('ab'), Buffer.from('c')], []);
  assert.equal(key.readBigUInt64BE(0) ^ (1n << 63n), BigInt.asUintN(64, murmur3Token(out.view())));
});
