/**
 * Fuzzes everything that reads bytes or text of a type: only CqlErrors may come out, nothing may take
 * long, and what is valid must survive every round trip. node/tools/fuzz-run.ts says how it is run.
 */
import assert from 'node:assert/strict';
import { runFuzz } from '../../tools/fuzz-run.ts';
import { Writer } from '../common/bytes.ts';
import { CqlError } from '../common/errors.ts';
import { canonical, compareValues, decode, encode, validate } from './codec.ts';
import { parseText } from './constants.ts';
import type { CqlType } from './cql-type.ts';
import { javaTypeName, parseJavaTypeName } from './java-names.ts';
import { fromJson, toJson } from './json.ts';
import { parseJson } from './json-parse.ts';
import { toCqlLiteral } from './literal.ts';
import { decodeOrdered, encodeOrdered, skipOrdered } from './ordered.ts';
import {
  COLUMN_TYPES,
  mutate,
  type Random,
  randomBytes,
  randomType,
  randomValue,
  seededRandom,
} from './random-values.ts';
import { containsNative, nativeType } from './type-facts.ts';
import { parseTypeName, typeName } from './type-names.ts';

const NOW = 1_700_000_000_000n;

/** What is being checked, for the report of a finding. */
let context = '';

/** Runs an action that may refuse its input; anything but a CqlError is a finding. */
function attempt<T>(action: () => T): T | null {
  try {
    return action();
  } catch (error) {
    if (error instanceof CqlError) return null;
    throw error;
  }
}

/**
 * Whether a valid value comes back from JSON the same: empty values and numbers that are not finite
 * have no JSON, decimals go through a double (as in Cassandra), years lose their era, times beyond a
 * day wrap.
 */
function survivesJson(type: CqlType, json: string): boolean {
  if (/null|""/.test(json)) return false;
  return !(['decimal', 'timestamp', 'time'] as const).some((name) => containsNative(type, name));
}

function checkValid(type: CqlType, bytes: Buffer): void {
  context = `${javaTypeName(type)} ${bytes.toString('hex')}`;
  const value = decode(type, bytes);
  const sorted = canonical(type, bytes);
  validate(type, sorted);
  assert.deepEqual(canonical(type, sorted), sorted);
  assert.equal(compareValues(type, bytes, bytes), 0);
  const encoded = attempt(() => encode(type, value));
  if (encoded !== null && hasOneForm(type, bytes)) {
    assert.equal(compareValues(type, encoded, sorted), 0, 'decode then encode');
  }
  toCqlLiteral(type, bytes);
  toJson(type, bytes);
  // Of its one form: of two keys that are equal in it but written differently, JSON's order decides which one counts.
  const json = toJson(type, sorted);
  const back = attempt(() => fromJson(type, parseJson(json), NOW));
  if (back !== null && survivesJson(type, json) && hasOneForm(type, bytes)) {
    assert.equal(compareValues(type, back, sorted), 0, 'to JSON and back');
  }
  checkOrdered(type, bytes);
}

/**
 * Whether the value is what its JavaScript form encodes to: not where null stands for zero bytes, nor
 * for durations, which may be written in longer ways.
 */
function hasOneForm(type: CqlType, bytes: Buffer): boolean {
  if (containsNative(type, 'duration')) return false;
  return bytes.length > 0 && !/null|\(\)|\{\}/.test(toCqlLiteral(type, bytes));
}

function checkOrdered(type: CqlType, bytes: Buffer): void {
  const out = new Writer();
  if (attempt(() => encodeOrdered(type, false, bytes, out) ?? true) === null) return;
  const { value, next } = decodeOrdered(type, false, out.view(), 0);
  assert.equal(next, out.length);
  assert.equal(skipOrdered(type, false, out.view(), 0), next);
  assert.equal(compareValues(type, value, bytes), 0);
}

function fuzzBytes(random: Random): void {
  const type = randomType(random, random(4));
  const source = random(5) === 0 ? randomBytes(random, random(40)) : randomValue(random, type);
  const bytes = random(3) === 0 ? source : mutate(random, source);
  const valid = attempt(() => validate(type, bytes) ?? true) !== null;
  if (valid) checkValid(type, bytes);
  else attempt(() => decode(type, bytes));
  attempt(() => toJson(type, bytes));
  attempt(() => toCqlLiteral(type, bytes));
  attempt(() => decodeOrdered(type, random(2) === 0, bytes, 0));
  attempt(() => skipOrdered(type, random(2) === 0, bytes, 0));
  attempt(() => compareValues(type, bytes, source));
}

const SNIPPETS = [
  '0',
  '1',
  '9',
  '-',
  '+',
  '.',
  ':',
  'T',
  'Z',
  ' ',
  '2020-01-01',
  '12:30:00',
  'e',
  'E',
  'P',
  'W',
  'y',
  'mo',
  'd',
  'ns',
  'NaN',
  'Infinity',
  '::',
  'ffff',
  '127.0.0.1',
  '%',
  '[',
  ']',
  '{',
  '}',
  '"',
  ',',
  '\\',
  '\\u00',
  'null',
  'true',
  'frozen<',
  'list<',
  'map<',
  'tuple<',
  'vector<',
  '>',
  'int',
  'text',
  "'",
  '(',
  ')',
  'VectorType',
  'UserType',
  'org.apache.cassandra.db.marshal.',
  'Int32Type',
  '\0',
  'é',
  '99999999999',
  '0x',
  'a',
  'Europe/Berlin',
  'PST',
];

function randomText(random: Random): string {
  let text = '';
  for (let i = random(10); i >= 0; i--) text += SNIPPETS[random(SNIPPETS.length)];
  return text;
}

function fuzzText(random: Random): void {
  const text = randomText(random);
  const type = nativeType(COLUMN_TYPES[random(COLUMN_TYPES.length)]);
  const bytes = attempt(() => parseText(type, text, NOW));
  if (bytes !== null) checkValid(type, bytes);
  const json = attempt(() => parseJson(text));
  const composite = randomType(random, 2);
  if (json !== null) {
    const value = attempt(() => fromJson(composite, json, NOW));
    if (value !== null) checkValid(composite, value);
  }
  const user = randomType(random, 1);
  attempt(() => parseTypeName(text, () => (user.kind === 'udt' ? user : null)));
  attempt(() => parseJavaTypeName(text));
}

function fuzzNames(random: Random): void {
  const type = randomType(random, 3);
  const lookup = parseTypeName(typeName(type), (name) =>
    name === 'Type' ? { ...USER_TYPE } : null,
  );
  if (!typeName(type).includes('"Type"')) assert.equal(typeName(lookup), typeName(type));
  const java = javaTypeName(type);
  if (!java.includes('org.example')) assert.equal(javaTypeName(parseJavaTypeName(java)), java);
}

const USER_TYPE = {
  kind: 'udt',
  keyspace: 'ks',
  name: 'Type',
  fieldNames: [],
  fieldTypes: [],
  frozen: false,
} as const;

const KINDS = [
  ['bytes', fuzzBytes],
  ['bytes', fuzzBytes],
  ['bytes', fuzzBytes],
  ['text', fuzzText],
  ['names', fuzzNames],
] as const;

await runFuzz({
  name: 'codec',
  caseMillisMax: 1000,
  describe: () => context,
  run: (seed) => {
    context = '';
    const random = seededRandom(seed);
    const [kind, fuzz] = KINDS[random(KINDS.length)];
    fuzz(random);
    return kind;
  },
});
