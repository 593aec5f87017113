/**
 * Statements in testdata/*.cql, a blank line between them, against their trees in the .json beside.
 * `UPDATE=1` rewrites the trees.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseStatement } from './parser.ts';

const directory = new URL('./testdata/', import.meta.url);

function readStatements(file: string): string[] {
  const text = readFileSync(new URL(file, directory), 'utf8');
  return text.trimEnd().split('\n\n');
}

/** One line for each statement, so that a change shows as a line. */
function render(statements: readonly string[]): string {
  const lines = statements.map((cql) => JSON.stringify({ cql, tree: parseStatement(cql) }));
  return `[\n${lines.join(',\n')}\n]\n`;
}

for (const file of readdirSync(directory).filter((name) => name.endsWith('.cql'))) {
  test(`trees of testdata/${file}`, () => {
    const golden = new URL(file.replace(/cql$/, 'json'), directory);
    const statements = readStatements(file);
    const actual = render(statements);
    if (process.env['UPDATE'] === '1') writeFileSync(golden, actual);
    const expected = readFileSync(golden, 'utf8');
    assert.deepEqual(actual.split('\n'), expected.split('\n'));
  });
}

test('a statement reads the same in capitals and with a semicolon', () => {
  for (const cql of readStatements('select.cql').filter((text) => !/['"$]|--|\/[/*]/.test(text))) {
    const shouted = cql.replace(/[a-z]+/g, (word) => word.toUpperCase());
    assert.deepEqual(strip(parseStatement(`${shouted};`)), strip(parseStatement(cql)), cql);
  }
});

/** A tree without the raw spelling of numbers, which keep their case. */
function strip(tree: object): unknown {
  return JSON.parse(JSON.stringify(tree).toLowerCase());
}
