/** Syntax errors in the words of Cassandra: position, what was found, and the text around it. */

/** Token as far as an error message needs it; `start` and `end` are offsets into the text. */
export interface TextSpan {
  readonly start: number;
  readonly end: number;
}

/** Tokens (white space and comments count) shown before and after the offending one. */
const SNIPPET_TOKENS_BEFORE = 10;
const SNIPPET_TOKENS_AFTER = 2;
/** Longest piece of the user's text that a message repeats. */
const EXCERPT_LENGTH_MAX = 256;

/** Line (from 1) and column (from 0, UTF-16 units) of an offset; only `\n` ends a line. */
export function positionAt(text: string, offset: number): { line: number; column: number } {
  let line = 1;
  let lineStart = 0;
  for (let i = text.indexOf('\n'); i !== -1 && i < offset; i = text.indexOf('\n', i + 1)) {
    line++;
    lineStart = i + 1;
  }
  return { line, column: offset - lineStart };
}

/**
 * The text is not CQL (protocol error code 0x2000). `line` counts from 1, `column` from 0. Where the text
 * ended too early they name its end, though the message says `line 0:-1` there, as Cassandra's does.
 */
export class CqlSyntaxError extends Error {
  override readonly name = 'CqlSyntaxError';
  readonly line: number;
  readonly column: number;

  constructor(message: string, line: number, column: number) {
    super(message);
    this.line = line;
    this.column = column;
  }
}

function shorten(piece: string): string {
  if (piece.length <= EXCERPT_LENGTH_MAX) return piece;
  const half = EXCERPT_LENGTH_MAX / 2;
  return `${piece.slice(0, half)}...${piece.slice(-half)}`;
}

/** Quotes what was found, control characters escaped. */
export function displayToken(value: string): string {
  const escaped = shorten(value)
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t');
  return `'${escaped}'`;
}

const HIDDEN_TOKEN = /[ \t\n\r]+|\/\*[\s\S]*?\*\/|(?:--|\/\/)[^\n\r]*[\n\r]?/g;

/** Adds the pieces of white space and comment between two tokens. */
function pushHidden(spans: TextSpan[], text: string, start: number, end: number): void {
  for (const match of text.slice(start, end).matchAll(HIDDEN_TOKEN)) {
    spans.push({ start: start + match.index, end: start + match.index + match[0].length });
  }
}

/**
 * The text around an error as ` (...before [token] after...)`, lines joined.
 *
 * @param tokens all tokens of `text` up to the last one the parser had looked at
 * @param offending index of the token to put in brackets
 */
export function snippet(text: string, tokens: readonly TextSpan[], offending: number): string {
  const spans: TextSpan[] = [];
  const bracketed = tokens[offending]!;
  const first = Math.max(0, offending - SNIPPET_TOKENS_BEFORE);
  let bracketedAt = 0;
  let end = first === 0 ? 0 : tokens[first - 1]!.end;
  for (const token of tokens.slice(first)) {
    if (token.start > end) pushHidden(spans, text, end, token.start);
    if (token === bracketed) bracketedAt = spans.length;
    spans.push(token);
    end = token.end;
  }
  const from = spans[Math.max(0, bracketedAt - SNIPPET_TOKENS_BEFORE)]!;
  const to = spans[Math.min(spans.length - 1, bracketedAt + SNIPPET_TOKENS_AFTER)]!;
  const joined = (piece: string): string => shorten(piece.replaceAll('\n', ''));
  return [
    from.start === 0 ? ' (' : ' (...',
    joined(text.slice(from.start, bracketed.start)),
    `[${joined(text.slice(bracketed.start, bracketed.end))}]`,
    joined(text.slice(bracketed.end, to.end)),
    to.end === text.length ? ')' : '...)',
  ].join('');
}
