/**
 * Fuzz harness of the parser: damaged statements and random tokens. It asserts that nothing but CqlSyntaxError is
 * thrown, that each text is dealt with in bounded time, that what is accepted is frozen, and that lower and upper case
 * of keywords make no difference to acceptance. node/tools/fuzz-run.ts says how it is run.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { runFuzz } from '../../tools/fuzz-run.ts';
import { type Random, seededRandom } from '../types/random-values.ts';
import { CqlSyntaxError } from './errors.ts';
import { keywords } from './keywords.ts';
import { lex } from './lexer.ts';
import { parseStatement } from './parser.ts';

/** Longest time for one text, far above what is usual, below what a pause of the collector can cost. */
const MILLIS_MAX = 500;

function readCorpus(): string[] {
  const directory = new URL('./testdata/', import.meta.url);
  return readdirSync(directory)
    .filter((name) => name.endsWith('.cql'))
    .flatMap((name) => readFileSync(new URL(name, directory), 'utf8').trimEnd().split('\n\n'));
}

function piecesOf(text: string): string[] {
  return lex(text)
    .filter(({ type }) => type !== 'EOF' && type !== 'ERROR')
    .map(({ start, end }) => text.slice(start, end));
}

const ODDITIES = [
  '"',
  "'",
  '$$',
  '$',
  '/*',
  '*/',
  '--',
  '//',
  '\n',
  '\r',
  '\0',
  '\u00b5s',
  '\ud800',
  '😀',
  '1..2',
  '1...2',
  '1e',
  '-',
  '-P',
  'P1Y',
  'P0001-01-01T00:00:00',
  '0x',
  '00000000-0000-0000-0000-000000000000',
  '99999999999999999999999999999999',
  '""',
  '"""',
  '::',
  '?',
  ':a',
  'expr(',
  '(((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((',
  '[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[',
  '{{{{{{{{{{{{{{{{{{{{{{',
  'list<list<list<list<list<list<list<',
];

interface Pools {
  readonly corpus: readonly (readonly string[])[];
  readonly pieces: readonly string[];
}

function createPools(): Pools {
  const corpus = readCorpus().map(piecesOf);
  return { corpus, pieces: [...new Set([...corpus.flat(), ...keywords.keys(), ...ODDITIES])] };
}

const CHANGES = 8;

/** Changes a statement's pieces in one place. */
function change(pieces: string[], { corpus, pieces: pool }: Pools, random: Random): void {
  const pick = <T>(items: readonly T[]): T => items[random(items.length)]!;
  const index = random(pieces.length + 1);
  switch (random(CHANGES)) {
    case 0:
      pieces.splice(index, 1);
      break;
    case 1:
      pieces.splice(index, 0, pick(pool));
      break;
    case 2:
      pieces.splice(index, 1, pick(pool));
      break;
    case 3:
      pieces.splice(index, pieces.length);
      break;
    case 4:
      pieces.splice(index, 0, ...pick(corpus));
      break;
    case 5:
      pieces.push(...pieces.slice(index, index + 1 + random(5)));
      break;
    case 6: {
      const unit = pieces.slice(index, index + 1 + random(3));
      for (let count = random(300); count > 0; count--) pieces.splice(index, 0, ...unit);
      break;
    }
    default: {
      const piece = pieces[index] ?? '';
      const at = random(piece.length + 1);
      pieces[index] = piece.slice(0, at) + String.fromCharCode(random(160)) + piece.slice(at);
    }
  }
}

/** Makes a text: a statement with some pieces changed, or pieces alone. */
function generate(pools: Pools, random: Random): string {
  const pick = <T>(items: readonly T[]): T => items[random(items.length)]!;
  const pieces = random(10) === 0 ? [pick(pools.pieces)] : [...pick(pools.corpus)];
  for (let count = random(6); count >= 0; count--) change(pieces, pools, random);
  return pieces.join(random(8) === 0 ? '' : ' ');
}

/** Whether the text is accepted; anything but a tree or a CqlSyntaxError is a failure. */
function isAccepted(text: string): boolean {
  try {
    const statement = parseStatement(text);
    assert.ok(Object.isFrozen(statement) && Object.isFrozen(statement.bindMarkers));
    return true;
  } catch (error) {
    assert.ok(error instanceof CqlSyntaxError, `${JSON.stringify(text)}: ${String(error)}`);
    assert.ok(error.line >= 1 && error.column >= 0 && error.message.length < 4000);
    return false;
  }
}

/**
 * Prepares the cases.
 *
 * @returns a function that runs the case of a seed: whether its text was accepted; AssertionError names the text that failed
 */
export function createParserFuzz(): (seed: number) => 'accepted' | 'refused' {
  const pools = createPools();
  return (seed) => {
    const text = generate(pools, seededRandom(seed));
    const accepted = isAccepted(text);
    if (accepted && !/[^\x20-\x7e]|['"$]/.test(text)) {
      assert.ok(isAccepted(text.toLowerCase().replaceAll('p0', 'P0')) || /P\d|PT/.test(text), text);
    }
    return accepted ? 'accepted' : 'refused';
  };
}

if (import.meta.main) {
  await runFuzz({ name: 'parser', caseMillisMax: MILLIS_MAX, run: createParserFuzz() });
}
