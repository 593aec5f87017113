import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Literal, Term, TypeAst } from './ast.ts';
import { isReserved, keywords, quoteIdentifier } from './keywords.ts';
import { createParserFuzz } from './parser.fuzz.ts';
import { parseStatement, parseType } from './parser.ts';
import { printTerm, printType } from './print.ts';

const nativeTypes = ['int', 'text', 'uuid', 'duration', 'counter', 'timeuuid', 'varint'] as const;
const names = fc.oneof(
  fc.constantFrom(
    'a',
    'b1',
    'key',
    'Select',
    'select',
    'with "quotes"',
    'values',
    'é',
    'int',
    'ttl',
    'enum',
    'token',
  ),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 5 }),
);
const types = fc.letrec<{ type: TypeAst }>((tie) => ({
  type: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({ kind: fc.constant('native'), name: fc.constantFrom(...nativeTypes) }),
    fc.record({
      kind: fc.constant('udt'),
      name: fc.record({ keyspace: names, name: names }, { requiredKeys: ['name'] }),
    }),
    fc.record({ kind: fc.constant('custom'), className: fc.string() }),
    fc.record({ kind: fc.constantFrom('list', 'set'), element: tie('type') }),
    fc.record({ kind: fc.constant('map'), key: tie('type'), value: tie('type') }),
    fc.record({ kind: fc.constant('frozen'), type: tie('type') }),
    fc.record({ kind: fc.constant('vector'), element: tie('type'), dimension: fc.nat() }),
    fc.record({
      kind: fc.constant('tuple'),
      fields: fc.array(tie('type'), { minLength: 1, maxLength: 3 }),
    }),
  ),
})).type;

const at = fc.constant(0);
const literal = (sort: Literal['sort'], text: fc.Arbitrary<string>): fc.Arbitrary<Literal> =>
  fc.record({ kind: fc.constant('literal'), sort: fc.constant(sort), text, at });
const literals = fc.oneof(
  literal('string', fc.string({ unit: 'binary' })),
  literal('integer', fc.bigInt().map(String)),
  literal('float', fc.constantFrom('1.5', '-2e10', '3.', '1E-5', 'NaN', 'Infinity', '-Infinity')),
  literal('boolean', fc.constantFrom('true', 'false')),
  literal('uuid', fc.uuid()),
  literal('hex', fc.stringMatching(/^0x[0-9a-fA-F]*$/)),
  literal('duration', fc.constantFrom('1y2mo', '-3d', 'P1Y2M', 'PT5S', 'P2W', '12h30m')),
);
const terms = fc.letrec<{ term: Term; simple: Term }>((tie) => ({
  term: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    tie('simple'),
    fc.record({ kind: fc.constant('negation'), value: tie('simple'), at }),
    // Products of simple terms only: the printer writes no parentheses.
    fc.record({
      kind: fc.constant('arithmetic'),
      operator: fc.constantFrom('*', '/', '%'),
      left: tie('simple'),
      right: tie('simple'),
      at,
    }),
  ),
  simple: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    literals,
    fc.record({ kind: fc.constant('null') }),
    fc.record({ kind: fc.constant('marker'), index: at }),
    fc.record({ kind: fc.constantFrom('list', 'set'), elements: fc.array(tie('term')) }),
    fc.record({ kind: fc.constant('tuple'), elements: fc.array(tie('term'), { minLength: 1 }) }),
    fc.record({
      kind: fc.constant('map'),
      entries: fc.array(fc.record({ key: tie('term'), value: tie('term') }), { minLength: 1 }),
    }),
    fc.record({
      kind: fc.constant('udt'),
      fields: fc.array(fc.record({ name: names, value: tie('term') }), { minLength: 1 }),
    }),
    fc.record({
      kind: fc.constant('function'),
      name: fc.record({ keyspace: names, name: names }, { requiredKeys: ['name'] }),
      args: fc.array(tie('term'), { maxLength: 3 }),
      at,
    }),
    fc.record({
      kind: fc.constant('cast'),
      value: tie('simple'),
      type: fc.record({ kind: fc.constant('native'), name: fc.constantFrom(...nativeTypes) }),
      at,
    }),
    fc.record({ kind: fc.constant('typeHint'), type: types, value: tie('simple'), at }),
  ),
})).term;

/** A tree with every place and every marker's index set to 0. */
function withoutPlaces(tree: unknown): unknown {
  return JSON.parse(JSON.stringify(tree, (key, value) => (/^(at|index)$/.test(key) ? 0 : value)));
}

test('property: a printed type reads back the same', () => {
  fc.assert(
    fc.property(types, (type) => {
      assert.deepEqual(withoutPlaces(parseType(printType(type))), withoutPlaces(type));
    }),
    { numRuns: 500, seed: 1 },
  );
});

test('property: a printed term reads back the same', () => {
  fc.assert(
    fc.property(terms, (term) => {
      const statement = parseStatement(`INSERT INTO t (a) VALUES (${printTerm(term)})`);
      assert.ok(statement.kind === 'insert');
      assert.deepEqual(withoutPlaces(statement.values), withoutPlaces([term]));
    }),
    { numRuns: 1000, seed: 2 },
  );
});

test('property: any identifier survives quoting', () => {
  fc.assert(
    fc.property(names, (name) => {
      const statement = parseStatement(`USE ${quoteIdentifier(name)}`);
      assert.ok(statement.kind === 'use');
      assert.equal(statement.keyspace, name);
    }),
    { numRuns: 1000, seed: 3 },
  );
});

test('every keyword is a name of a column exactly if it is not reserved', () => {
  for (const word of keywords.keys()) {
    const parse = (): unknown => parseStatement(`INSERT INTO t (${word}) VALUES (1)`);
    if (isReserved(word)) assert.throws(parse, word);
    else parse();
    assert.equal(quoteIdentifier(word), isReserved(word) ? `"${word}"` : word);
  }
});

test('quoting keeps plain names bare', () => {
  assert.equal(quoteIdentifier('abc_1'), 'abc_1');
  assert.equal(quoteIdentifier('Abc'), '"Abc"');
  assert.equal(quoteIdentifier('1a'), '"1a"');
  assert.equal(quoteIdentifier('a"b'), '"a""b"');
  assert.equal(quoteIdentifier('_a'), '"_a"');
  assert.equal(isReserved('SELECT'), true);
  assert.equal(isReserved('key'), false);
});

test('bind markers are listed in order, through a whole batch', () => {
  const statement = parseStatement(
    'BEGIN BATCH USING TIMESTAMP :ts INSERT INTO t (a) VALUES (?); ' +
      'UPDATE t SET a = :"B" WHERE k IN :K; APPLY BATCH',
  );
  assert.deepEqual(statement.bindMarkers, [{ name: 'ts' }, {}, { name: 'B' }, { name: 'k' }]);
});

test('an attempt that fails leaves no markers behind', () => {
  const statement = parseStatement('SELECT json - ? FROM t WHERE a = ?');
  assert.equal(statement.bindMarkers.length, 2);
  const column = parseStatement('SELECT json + ? FROM t');
  assert.equal(column.bindMarkers.length, 1);
});

test('precedence is in the shape of the tree', () => {
  const statement = parseStatement('SELECT a + b * c - d FROM t');
  assert.ok(statement.kind === 'select' && statement.selectors !== '*');
  const shape = JSON.stringify(withoutPlaces(statement.selectors[0]!.expression), (key, value) =>
    ['kind', 'at'].includes(key) ? undefined : value,
  );
  assert.equal(
    shape,
    '{"operator":"-","left":{"operator":"+","left":{"name":"a"},' +
      '"right":{"operator":"*","left":{"name":"b"},"right":{"name":"c"}}},"right":{"name":"d"}}',
  );
});

test('a tree is frozen through and through', () => {
  const check = (node: object): void => {
    assert.ok(Object.isFrozen(node));
    for (const value of Object.values(node)) if (typeof value === 'object') check(value);
  };
  check(parseStatement('SELECT a, [1, ?] FROM t WHERE a IN (1, 2) AND b = {x: 1}'));
});

test('a short run of the fuzz harness', () => {
  const run = createParserFuzz();
  let accepted = 0;
  for (let seed = 0; seed < 3000; seed++) if (run(seed) === 'accepted') accepted++;
  assert.ok(accepted > 50);
});
