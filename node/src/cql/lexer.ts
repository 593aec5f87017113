/**
 * CQL text to tokens. White space and comments leave no token; an impossible character leaves an ERROR
 * token, thrown only when the parser reaches it, so that the first error in the text is the one reported.
 *
 * @hot Every unprepared statement passes here.
 */

import { displayToken } from './errors.ts';
import { ANY_NAME, keywords } from './keywords.ts';

/**
 * One token.
 *
 * `type`: `IDENT`, `QUOTED_NAME`, `EMPTY_QUOTED_NAME`, `STRING_LITERAL`, `INTEGER`, `FLOAT`, `BOOLEAN`,
 * `DURATION`, `UUID`, `HEXNUMBER`, `QMARK`, `RANGE`, `K_…` for a keyword, the symbol in single quotes for
 * punctuation, `EOF`, or `ERROR` whose value is the message. The names are those of Cassandra's grammar,
 * because they appear in error messages.
 * `value`: lower case for identifiers and keywords, content without quotes for strings and quoted names,
 * the text itself for the rest. `uses`: what it may name, see keywords.ts. `start`, `end`: offsets.
 */
export interface Token {
  readonly type: string;
  readonly value: string;
  readonly uses: number;
  readonly start: number;
  readonly end: number;
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/iy;
const HEX_NUMBER = /0x[0-9a-f]*/iy;
const DURATION = /-?(?:\d+(?:y|mo|ms|m|w|d|h|s|us|\u00b5s|ns))+/iy;
const NUMBER = /-?\d+(?:\.\d*)?(?:e[+-]?\d+)?/iy;
const INTEGER = /-?\d+/y;
const ISO_TIME = String.raw`T(?:\d+H(?:\d+M)?(?:\d+S)?|\d+M(?:\d+S)?|\d+S)`;
const ISO_PERIOD = String.raw`(?:\d+Y(?:\d+M)?(?:\d+D)?|\d+M(?:\d+D)?|\d+D)(?:${ISO_TIME})?`;
const ISO_ALTERNATIVE = String.raw`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}`;
const ISO_DURATION = new RegExp(
  `-?P(?:${ISO_ALTERNATIVE}|\\d+W|${ISO_PERIOD}|${ISO_TIME})(?![A-Za-z0-9_])`,
  'y',
);
const NEGATIVE_WORD = /-(nan|infinity)(?![a-z0-9_])/iy;

const PUNCTUATION: ReadonlyMap<string, string> = new Map(
  ['(', ')', '[', ']', '{', '}', ',', ';', ':', '.', '=', '<', '>', '+', '-', '*', '/', '%'].map(
    (symbol) => [symbol, `'${symbol}'`],
  ),
);
const PAIRS: ReadonlyMap<string, string> = new Map([
  ['<=', "'<='"],
  ['>=', "'>='"],
  ['!=', "'!='"],
  ['+=', "'+='"],
  ['-=', "'-='"],
  ['..', 'RANGE'],
]);

const LETTER = 1;
const DIGIT = 2;
const SPACE = 4;
/** Class of each ASCII character; `_` counts as a digit, since it cannot begin a word. */
const CLASSES = buildClasses();

function buildClasses(): Uint8Array {
  const classes = new Uint8Array(128);
  for (let code = 0; code < 128; code++) {
    const char = String.fromCharCode(code);
    if (/[A-Za-z]/.test(char)) classes[code] = LETTER;
    else if (/[0-9_]/.test(char)) classes[code] = DIGIT;
    else if (/[ \t\n\r]/.test(char)) classes[code] = SPACE;
  }
  return classes;
}

function classAt(text: string, index: number): number {
  const code = text.charCodeAt(index);
  return code < 128 ? CLASSES[code]! : 0;
}

/** End of the match of a sticky expression at `start`, or -1. */
function matchEnd(expression: RegExp, text: string, start: number): number {
  expression.lastIndex = start;
  return expression.test(text) ? expression.lastIndex : -1;
}

function token(type: string, text: string, start: number, end: number): Token {
  return { type, value: text.slice(start, end), uses: 0, start, end };
}

function errorToken(message: string, start: number, end: number): Token {
  return { type: 'ERROR', value: message, uses: 0, start, end };
}

function lexWord(text: string, start: number): Token {
  let end = start + 1;
  while ((classAt(text, end) & (LETTER | DIGIT)) !== 0) end++;
  if (end - start === 8 && text[end] === '-') {
    const uuidEnd = matchEnd(UUID, text, start);
    if (uuidEnd !== -1) return token('UUID', text, start, uuidEnd);
  }
  if (text[start] === 'P') {
    const durationEnd = matchEnd(ISO_DURATION, text, start);
    if (durationEnd !== -1) return token('DURATION', text, start, durationEnd);
  }
  const value = text.slice(start, end).toLowerCase();
  const keyword = keywords.get(value);
  if (keyword !== undefined) return { type: keyword.type, value, uses: keyword.uses, start, end };
  return { type: 'IDENT', value, uses: ANY_NAME, start, end };
}

/** A number, duration, UUID or hex constant beginning at a digit or at a minus before a digit. */
function lexNumber(text: string, start: number): Token {
  const uuidEnd = matchEnd(UUID, text, start);
  if (uuidEnd !== -1) return token('UUID', text, start, uuidEnd);
  const hexEnd = matchEnd(HEX_NUMBER, text, start);
  if (hexEnd !== -1) return token('HEXNUMBER', text, start, hexEnd);
  const durationEnd = matchEnd(DURATION, text, start);
  if (durationEnd !== -1) return token('DURATION', text, start, durationEnd);
  const integerEnd = matchEnd(INTEGER, text, start);
  // `1..2` is a slice from 1 to 2, `1...2` one from the float `1.`.
  if (text.startsWith('...', integerEnd)) return token('FLOAT', text, start, integerEnd + 1);
  if (text.startsWith('..', integerEnd)) return token('INTEGER', text, start, integerEnd);
  const end = matchEnd(NUMBER, text, start);
  return token(end === integerEnd ? 'INTEGER' : 'FLOAT', text, start, end);
}

/** A quoted string or name: the quote doubled stands for itself. */
function lexQuoted(text: string, start: number, quote: string): Token {
  let close = start;
  do {
    close = text.indexOf(quote, close + 1);
    if (close === -1) {
      const message = `mismatched character '<EOF>' expecting ${displayToken(quote)}`;
      return errorToken(message, text.length, text.length);
    }
  } while (text[close + 1] === quote && ++close);
  const content = text.slice(start + 1, close);
  const value = content.includes(quote) ? content.replaceAll(quote + quote, quote) : content;
  const end = close + 1;
  if (quote === "'") return { type: 'STRING_LITERAL', value, uses: 0, start, end };
  if (value === '') return { type: 'EMPTY_QUOTED_NAME', value, uses: 0, start, end };
  return { type: 'QUOTED_NAME', value, uses: ANY_NAME, start, end };
}

function lexDollarString(text: string, start: number): Token {
  const close = text.indexOf('$$', start + 2);
  if (close === -1) {
    const message = "mismatched character '<EOF>' expecting '$'";
    return errorToken(message, text.length, text.length);
  }
  const value = text.slice(start + 2, close);
  return { type: 'STRING_LITERAL', value, uses: 0, start, end: close + 2 };
}

/** What begins with a minus sign that no digit follows. */
function lexMinus(text: string, start: number): Token {
  const durationEnd = matchEnd(ISO_DURATION, text, start);
  if (durationEnd !== -1) return token('DURATION', text, start, durationEnd);
  const wordEnd = matchEnd(NEGATIVE_WORD, text, start);
  if (wordEnd !== -1) {
    const type = wordEnd - start === 4 ? 'K_NEGATIVE_NAN' : 'K_NEGATIVE_INFINITY';
    return token(type, text, start, wordEnd);
  }
  return lexSymbol(text, start);
}

function lexSymbol(text: string, start: number): Token {
  const pair = PAIRS.get(text.slice(start, start + 2));
  if (pair !== undefined) return token(pair, text, start, start + 2);
  const char = String.fromCodePoint(text.codePointAt(start)!);
  const single = PUNCTUATION.get(char);
  if (single !== undefined) return token(single, text, start, start + 1);
  const message = `no viable alternative at character ${displayToken(char)}`;
  return errorToken(message, start, start + char.length);
}

function lexToken(text: string, start: number): Token {
  const charClass = classAt(text, start);
  if (charClass === LETTER) return lexWord(text, start);
  const char = text[start];
  if (charClass === DIGIT && char !== '_') return lexNumber(text, start);
  switch (char) {
    case "'":
    case '"':
      return lexQuoted(text, start, char);
    case '?':
      return token('QMARK', text, start, start + 1);
    case '-':
      return /[0-9]/.test(text[start + 1] ?? '') ? lexNumber(text, start) : lexMinus(text, start);
    case '$':
      if (text[start + 1] === '$') return lexDollarString(text, start);
      break;
  }
  return lexSymbol(text, start);
}

/** Offset of the first character after white space and comments; -1 inside a comment never closed. */
function skipHidden(text: string, start: number): number {
  let index = start;
  for (;;) {
    while (classAt(text, index) === SPACE) index++;
    if (text.startsWith('--', index) || text.startsWith('//', index)) {
      while (index < text.length && text[index] !== '\n' && text[index] !== '\r') index++;
    } else if (text.startsWith('/*', index)) {
      const close = text.indexOf('*/', index + 2);
      if (close === -1) return -1;
      index = close + 2;
    } else {
      return index;
    }
  }
}

/** Tokens of a text, ending with EOF or with the first ERROR. */
export function lex(text: string): Token[] {
  const tokens: Token[] = [];
  const { length } = text;
  for (let index = 0; ; ) {
    index = skipHidden(text, index);
    if (index === -1) {
      const message = "mismatched character '<EOF>' expecting '*'";
      tokens.push(errorToken(message, length, length));
      return tokens;
    }
    if (index >= length) break;
    const next = lexToken(text, index);
    tokens.push(next);
    if (next.type === 'ERROR') return tokens;
    index = next.end;
  }
  tokens.push({ type: 'EOF', value: '<EOF>', uses: 0, start: length, end: length });
  return tokens;
}
