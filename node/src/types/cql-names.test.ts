import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writer } from '../common/bytes.ts';
import { CqlError } from '../common/errors.ts';
import type { UserType } from './cql-type.ts';
import { isReservedWord, quoteName, quoteString } from './identifiers.ts';
import { javaTypeName, parseJavaTypeName } from './java-names.ts';
import { writeTypeOption } from './protocol-type.ts';
import { fixedLength, freeze, isMultiCell, nativeType, sameType } from './type-facts.ts';
import { parseTypeName, typeName } from './type-names.ts';

const ADDRESS: UserType = {
  kind: 'udt',
  keyspace: 'ks',
  name: 'Address',
  fieldNames: ['street', 'Zip'],
  fieldTypes: [nativeType('text'), nativeType('int')],
  frozen: false,
};
const lookup = (name: string): UserType | null => (name === 'Address' ? ADDRESS : null);

test('types read as CQL text are printed as Cassandra prints them', () => {
  const cases = [
    ['int', 'int'],
    ['VarChar', 'text'],
    ['list<int>', 'list<int>'],
    ['frozen<map<text,list<int>>>', 'frozen<map<text, frozen<list<int>>>>'],
    ['tuple<int, list<text>>', 'frozen<tuple<int, frozen<list<text>>>>'],
    ['frozen<tuple<int>>', 'frozen<tuple<int>>'],
    ['vector<float,3>', 'vector<float, 3>'],
    ['"Address"', '"Address"'],
    ['frozen<ks."Address">', 'frozen<"Address">'],
    ["'org.example.Type'", "'org.example.Type'"],
  ];
  for (const [text, expected] of cases) {
    const type = parseTypeName(text, lookup);
    assert.equal(typeName(type), expected);
    assert.ok(sameType(parseTypeName(expected, lookup), type), expected);
  }
  for (const text of ['list<', 'list<int', 'int>', 'nope<int>', 'vector<int, 0>', 'address', '']) {
    assert.throws(() => parseTypeName(text, lookup), CqlError, text);
  }
});

test('Java class names, both ways', () => {
  const marshal = 'org.apache.cassandra.db.marshal.';
  const cases = [
    ['vector<float, 3>', `${marshal}VectorType(${marshal}FloatType , 3)`],
    ['frozen<list<int>>', `${marshal}FrozenType(${marshal}ListType(${marshal}Int32Type))`],
    [
      'map<int, frozen<set<text>>>',
      `${marshal}MapType(${marshal}Int32Type,${marshal}FrozenType(${marshal}SetType(${marshal}UTF8Type)))`,
    ],
    [
      '"Address"',
      `${marshal}UserType(ks,41646472657373,737472656574:${marshal}UTF8Type,5a6970:${marshal}Int32Type)`,
    ],
  ];
  for (const [text, java] of cases) {
    const type = parseTypeName(text, lookup);
    assert.equal(javaTypeName(type), java);
    assert.ok(sameType(parseJavaTypeName(java), type), text);
  }
  assert.equal(typeName(parseJavaTypeName('ReversedType(Int32Type)')), 'int');
  assert.equal(parseJavaTypeName('org.example.Mine').kind, 'custom');
  assert.throws(() => parseJavaTypeName('ListType(Int32Type'), CqlError);
});

test('type options of result metadata, by protocol version', () => {
  const option = (text: string, version: number): string => {
    const out = new Writer();
    writeTypeOption(out, parseTypeName(text, lookup), version);
    return out.view().toString('latin1');
  };
  const custom = (name: string): string => `\0\0\0${String.fromCharCode(name.length)}${name}`;
  assert.equal(option('int', 3), '\0\x09');
  assert.equal(option('map<text, list<int>>', 4), '\0\x21\0\x0d\0\x20\0\x09');
  assert.equal(option('date', 4), '\0\x11');
  assert.equal(option('date', 3), custom('org.apache.cassandra.db.marshal.SimpleDateType'));
  assert.equal(option('duration', 5), '\0\x15');
  assert.equal(option('duration', 4), custom('org.apache.cassandra.db.marshal.DurationType'));
  assert.equal(
    option('vector<float, 3>', 5),
    custom(
      'org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.FloatType , 3)',
    ),
  );
  assert.equal(option('tuple<int, text>', 4), '\0\x31\0\x02\0\x09\0\x0d');
  assert.equal(
    option('"Address"', 4),
    '\0\x30\0\x02ks\0\x07Address\0\x02\0\x06street\0\x0d\0\x03Zip\0\x09',
  );
});

test('facts', () => {
  const list = parseTypeName('list<int>', lookup);
  assert.ok(isMultiCell(list) && !isMultiCell(freeze(list)));
  assert.ok(!sameType(list, freeze(list)));
  assert.equal(fixedLength(nativeType('smallint')), 2);
  assert.equal(fixedLength(nativeType('text')), 0);
});

test('names and strings in CQL', () => {
  assert.equal(quoteName('plain_1'), 'plain_1');
  assert.equal(quoteName('Upper'), '"Upper"');
  assert.equal(quoteName('select'), '"select"');
  assert.equal(quoteName('a"b'), '"a""b"');
  assert.equal(quoteString("it's"), "'it''s'");
  assert.ok(isReservedWord('token') && !isReservedWord('key'));
});
