/**
 * JSON text as values that lose nothing: integers of any size, and objects that keep the order of
 * their keys. Used by INSERT JSON and fromJson().
 */
import { invalidRequest } from '../common/errors.ts';

/** Integers are bigint, other numbers number, objects Map. */
export type JsonValue =
  | null
  | boolean
  | string
  | bigint
  | number
  | readonly JsonValue[]
  | JsonObject;
export type JsonObject = Map<string, JsonValue>;

/** Whether a JSON value is an array. */
export function isJsonArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Reads one JSON value. Throws Invalid (`Error decoding JSON string: …`). */
export function parseJson(text: string): JsonValue {
  return new JsonParser(text).parse();
}

const NESTING_MAX = 500;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const DIGITS_MAX = 1000;

class JsonParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): JsonValue {
    const value = this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) throw this.#unexpected();
    return value;
  }

  #unexpected(): Error {
    if (this.#at >= this.#text.length) {
      return invalidRequest('Error decoding JSON string: Unexpected end-of-input');
    }
    const character = String.fromCodePoint(this.#text.codePointAt(this.#at) as number);
    const code = character.codePointAt(0);
    return invalidRequest(
      `Error decoding JSON string: Unexpected character ('${character}' (code ${code})) at column ${this.#at + 1}`,
    );
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #value(depth: number): JsonValue {
    if (depth > NESTING_MAX) {
      throw invalidRequest('Error decoding JSON string: Document nesting depth is too great');
    }
    this.#space();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected();
    this.#at += word.length;
    if (/[A-Za-z0-9_$]/.test(this.#text[this.#at] ?? '')) throw this.#unexpected();
    return value;
  }

  #number(): number | bigint {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#unexpected();
    if (match[0].length > DIGITS_MAX) {
      throw invalidRequest('Error decoding JSON string: Number value is too long');
    }
    this.#at = NUMBER.lastIndex;
    if (/[A-Za-z0-9_.$]/.test(this.#text[this.#at] ?? '')) throw this.#unexpected();
    const isInteger = match[1] === undefined && match[2] === undefined;
    return isInteger ? BigInt(match[0]) : Number(match[0]);
  }

  #string(): string {
    const start = this.#at;
    let escaped = false;
    for (let i = start + 1; i < this.#text.length; i++) {
      const code = this.#text.charCodeAt(i);
      if (code === 0x22) {
        this.#at = i + 1;
        return escaped ? this.#unescape(start, i + 1) : this.#text.slice(start + 1, i);
      }
      if (code < 0x20) break;
      if (code === 0x5c) {
        escaped = true;
        i++;
      }
    }
    throw invalidRequest('Error decoding JSON string: Unterminated or malformed string');
  }

  #unescape(start: number, end: number): string {
    try {
      return JSON.parse(this.#text.slice(start, end)) as string;
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      throw invalidRequest(`Error decoding JSON string: ${cause}`);
    }
  }

  #take(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #array(depth: number): JsonValue[] {
    const values: JsonValue[] = [];
    this.#at++;
    if (this.#take(']')) return values;
    do {
      values.push(this.#value(depth + 1));
    } while (this.#take(','));
    if (!this.#take(']')) throw this.#unexpected();
    return values;
  }

  #object(depth: number): JsonObject {
    const values: JsonObject = new Map();
    this.#at++;
    if (this.#take('}')) return values;
    do {
      this.#space();
      if (this.#text[this.#at] !== '"') throw this.#unexpected();
      const key = this.#string();
      if (!this.#take(':')) throw this.#unexpected();
      values.set(key, this.#value(depth + 1));
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#unexpected();
    return values;
  }
}

/**
 * An object whose keys are names by CQL's rules: in lower case, or, in double quotes inside the JSON
 * string, as they are.
 */
export function unquoteKeys(object: JsonObject): JsonObject {
  const result: JsonObject = new Map();
  for (const [key, value] of object) {
    const quoted = key.length > 1 && key.startsWith('"') && key.endsWith('"');
    result.set(quoted ? key.slice(1, -1) : key.toLowerCase(), value);
  }
  return result;
}
