/**
 * What Cassandra 5.0.9 itself answered: names, validation, literals, JSON, comparison and tokens of
 * some thousand values. Regenerating needs its jar; the file is its answers, a line each:
 * operation, type, arguments, `ok` or `err`, result. Texts and bytes are in hexadecimal.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { murmur3Token } from '../common/murmur3.ts';
import { compareValues, validate } from './codec.ts';
import { parseText } from './constants.ts';
import { javaTypeName, parseJavaTypeName } from './java-names.ts';
import { fromJson, toJson } from './json.ts';
import { parseJson } from './json-parse.ts';
import { toCqlLiteral } from './literal.ts';
import { typeName } from './type-names.ts';

const NOW = 0n;
const fromHex = (hex: string): Buffer => Buffer.from(hex, 'hex');
const toHex = (text: string): string => Buffer.from(text).toString('hex');

function answer(operation: string, name: string, args: readonly string[]): string {
  if (operation === 'token') return String(murmur3Token(fromHex(name)));
  const type = parseJavaTypeName(name);
  const [first, second] = args.map(fromHex);
  switch (operation) {
    case 'name':
      return `${toHex(typeName(type))}\t${toHex(javaTypeName(type))}`;
    case 'validate':
      validate(type, first);
      return '';
    case 'compare':
      return String(Math.sign(compareValues(type, first, second)));
    case 'toCql':
      return toHex(toCqlLiteral(type, first));
    case 'toJson':
      return toHex(toJson(type, first));
    case 'fromString':
      return parseText(type, first.toString(), NOW).toString('hex');
    case 'fromJson':
      return fromJson(type, parseJson(first.toString()), NOW)?.toString('hex') ?? 'null';
    default:
      return 'unknown operation';
  }
}

const ARGUMENTS: Readonly<Record<string, number>> = { token: 0, name: 0, compare: 2 };

test('values mean what they mean to Cassandra 5.0.9', () => {
  const file = readFileSync(new URL('./testdata/cassandra-5.0.9.txt', import.meta.url), 'utf8');
  const lines = file.trimEnd().split('\n');
  assert.ok(lines.length > 2000);
  for (const line of lines) {
    const [operation, name, ...rest] = line.split('\t');
    const count = ARGUMENTS[operation] ?? 1;
    const args = rest.slice(0, count);
    const [status, ...expected] = rest.slice(count);
    const act = (): string => answer(operation, name, args);
    if (status === 'ok') assert.equal(act(), expected.join('\t'), line);
    else assert.throws(act, { message: fromHex(expected[0]).toString() }, line);
  }
});
