/**
 * Fuzz harness of the parser: damaged statements and random tokens.
 *
 * `node parser.fuzz.ts` runs for `SECONDS` (10), beginning with `SEED` (1). It asserts that nothing but
 * CqlSyntaxError is thrown, that each text is dealt with in bounded time, that what is accepted is frozen,
 * and that lower and upper case of keywords make no difference to acceptance.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { CqlSyntaxError } from './errors.ts';
import { keywords } from './keywords.ts';
import { lex } from './lexer.ts';
import { parseStatement } from './parser.ts';

/** Longest time for one text, far above what is usual, below what a pause of the collector can cost. */
const MILLIS_MAX = 500;

/** Uniform integers from 0 to below `bound`. */
type Random = (bound: number) => number;

/** A small generator (mulberry32), so that a seed repeats a run. */
function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

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

/** Makes texts: a statement with some pieces changed, or pieces alone. */
function createGenerator(random: Random): () => string {
  const corpus = readCorpus().map(piecesOf);
  const pool = [...new Set([...corpus.flat(), ...keywords.keys(), ...ODDITIES])];
  const pick = <T>(items: readonly T[]): T => items[random(items.length)]!;
  const changes: readonly ((pieces: string[], index: number) => void)[] = [
    (pieces, index) => pieces.splice(index, 1),
    (pieces, index) => pieces.splice(index, 0, pick(pool)),
    (pieces, index) => pieces.splice(index, 1, pick(pool)),
    (pieces, index) => pieces.splice(index, pieces.length),
    (pieces, index) => pieces.splice(index, 0, ...pick(corpus)),
    (pieces, index) => pieces.push(...pieces.slice(index, index + 1 + random(5))),
    (pieces, index) => {
      const unit = pieces.slice(index, index + 1 + random(3));
      for (let count = random(300); count > 0; count--) pieces.splice(index, 0, ...unit);
    },
    (pieces, index) => {
      const piece = pieces[index] ?? '';
      const at = random(piece.length + 1);
      pieces[index] = piece.slice(0, at) + String.fromCharCode(random(160)) + piece.slice(at);
    },
  ];
  return () => {
    const pieces = random(10) === 0 ? [pick(pool)] : [...pick(corpus)];
    for (let count = random(6); count >= 0; count--)
      pick(changes)(pieces, random(pieces.length + 1));
    return pieces.join(random(8) === 0 ? '' : ' ');
  };
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

/** Counts of one run. */
export interface FuzzResult {
  readonly textCount: number;
  readonly acceptedCount: number;
  readonly slowestMs: number;
}

/**
 * Runs until `isDone` says so.
 *
 * @param nowMs a clock, for the time that each text takes
 * @throws AssertionError naming the text that failed
 */
export function fuzzParser(seed: number, nowMs: () => number, isDone: () => boolean): FuzzResult {
  const random = seededRandom(seed);
  const generate = createGenerator(random);
  let textCount = 0;
  let acceptedCount = 0;
  let slowestMs = 0;
  while (!isDone()) {
    const text = generate();
    const started = nowMs();
    const accepted = isAccepted(text);
    const elapsed = nowMs() - started;
    assert.ok(elapsed < MILLIS_MAX, `${elapsed} ms for ${JSON.stringify(text)}`);
    slowestMs = Math.max(slowestMs, elapsed);
    if (accepted && !/[^\x20-\x7e]|['"$]/.test(text)) {
      assert.ok(isAccepted(text.toLowerCase().replaceAll('p0', 'P0')) || /P\d|PT/.test(text), text);
    }
    textCount++;
    if (accepted) acceptedCount++;
  }
  return { textCount, acceptedCount, slowestMs };
}

if (import.meta.main) {
  const seconds = Number(process.env['SECONDS'] ?? 10);
  const seed = Number(process.env['SEED'] ?? 1);
  const end = performance.now() + seconds * 1000;
  const result = fuzzParser(
    seed,
    () => performance.now(),
    () => performance.now() >= end,
  );
  console.log(JSON.stringify({ seed, seconds, ...result }));
}
