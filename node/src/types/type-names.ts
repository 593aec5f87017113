/** CQL types as CQL text, both ways. */
import { invalidRequest } from '../common/errors.ts';
import type { CqlType, UserType } from './cql-type.ts';
import { quoteName, quoteString } from './identifiers.ts';
import {
  freeze,
  listType,
  lookupNativeType,
  mapType,
  setType,
  tupleType,
  vectorType,
} from './type-facts.ts';

export { fixedLength, isMultiCell, sameType } from './type-facts.ts';

/**
 * The type as Cassandra prints it (system_schema, DESCRIBE, messages): user types without their
 * keyspace, quoted where needed; tuples always inside `frozen<>`.
 */
export function typeName(type: CqlType): string {
  switch (type.kind) {
    case 'native':
      return type.name;
    case 'list':
    case 'set':
      return frozenName(`${type.kind}<${typeName(type.element)}>`, type.frozen);
    case 'map':
      return frozenName(`map<${typeName(type.key)}, ${typeName(type.value)}>`, type.frozen);
    case 'tuple':
      return `frozen<tuple<${type.fields.map(typeName).join(', ')}>>`;
    case 'udt':
      return frozenName(quoteName(type.name), type.frozen);
    case 'vector':
      return `vector<${typeName(type.element)}, ${type.dimension}>`;
    case 'custom':
      return quoteString(type.className);
  }
}

function frozenName(name: string, frozen: boolean): string {
  return frozen ? `frozen<${name}>` : name;
}

/** Finds a user type by its (unquoted) name; `keyspace` is null unless the text names it. */
export type UserTypeLookup = (name: string, keyspace: string | null) => UserType | null;

/**
 * Reads what `typeName` prints, and everything else CQL's grammar allows for a type.
 * Throws Invalid if the text is no type, or `Unknown type ks.name` where the lookup finds none.
 */
export function parseTypeName(text: string, lookupUserType: UserTypeLookup): CqlType {
  const parser = new TypeNameParser(text, lookupUserType);
  return parser.parse();
}

const TOKEN = /\s*(?:([A-Za-z][A-Za-z0-9_]*)|"((?:[^"]|"")*)"|'((?:[^']|'')*)'|([0-9]+)|([<>,.]))/y;
const NESTING_MAX = 64;

interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'sign' | 'end';
  readonly text: string;
}

class TypeNameParser {
  readonly #text: string;
  readonly #lookup: UserTypeLookup;
  #offset = 0;
  #token: Token;

  constructor(text: string, lookup: UserTypeLookup) {
    this.#text = text;
    this.#lookup = lookup;
    this.#token = this.#scan();
  }

  parse(): CqlType {
    const type = this.#type(0);
    if (this.#token.kind !== 'end') throw this.#malformed();
    return type;
  }

  #malformed(): Error {
    return invalidRequest(`Malformed type name: ${this.#text}`);
  }

  #scan(): Token {
    TOKEN.lastIndex = this.#offset;
    const match = TOKEN.exec(this.#text);
    if (match === null) {
      if (this.#text.slice(this.#offset).trim() !== '') throw this.#malformed();
      return { kind: 'end', text: '' };
    }
    this.#offset = TOKEN.lastIndex;
    if (match[1] !== undefined) return { kind: 'word', text: match[1].toLowerCase() };
    if (match[2] !== undefined) return { kind: 'quoted', text: match[2].replaceAll('""', '"') };
    if (match[3] !== undefined) return { kind: 'string', text: match[3].replaceAll("''", "'") };
    if (match[4] !== undefined) return { kind: 'number', text: match[4] };
    return { kind: 'sign', text: match[5] };
  }

  #next(): Token {
    const token = this.#token;
    this.#token = this.#scan();
    return token;
  }

  #sign(text: string): void {
    const token = this.#next();
    if (token.kind !== 'sign' || token.text !== text) throw this.#malformed();
  }

  #isSign(text: string): boolean {
    return this.#token.kind === 'sign' && this.#token.text === text;
  }

  #type(depth: number): CqlType {
    if (depth > NESTING_MAX) throw this.#malformed();
    const token = this.#next();
    if (token.kind === 'string') return Object.freeze({ kind: 'custom', className: token.text });
    if (token.kind !== 'word' && token.kind !== 'quoted') throw this.#malformed();
    if (token.kind === 'word' && this.#isSign('<')) return this.#parameterized(token.text, depth);
    const native = token.kind === 'word' ? lookupNativeType(token.text) : null;
    if (native !== null && !this.#isSign('.')) return native;
    return this.#userType(token.text);
  }

  #parameterized(name: string, depth: number): CqlType {
    this.#sign('<');
    const first = this.#type(depth + 1);
    let type: CqlType;
    switch (name) {
      case 'frozen':
        type = freeze(first);
        break;
      case 'list':
        type = listType(first);
        break;
      case 'set':
        type = setType(first);
        break;
      case 'map':
        this.#sign(',');
        type = mapType(first, this.#type(depth + 1));
        break;
      case 'tuple':
        type = this.#tuple(first, depth);
        break;
      case 'vector':
        type = vectorType(first, this.#dimension());
        break;
      default:
        throw this.#malformed();
    }
    this.#sign('>');
    return type;
  }

  #tuple(first: CqlType, depth: number): CqlType {
    const fields = [first];
    while (this.#isSign(',')) {
      this.#next();
      fields.push(this.#type(depth + 1));
    }
    return tupleType(fields.map(freeze));
  }

  #dimension(): number {
    this.#sign(',');
    const token = this.#next();
    const dimension = Number(token.text);
    if (token.kind !== 'number' || dimension < 1 || dimension > 0x7fffffff) throw this.#malformed();
    return dimension;
  }

  #userType(first: string): UserType {
    let keyspace: string | null = null;
    let name = first;
    if (this.#isSign('.')) {
      this.#next();
      const token = this.#next();
      if (token.kind !== 'word' && token.kind !== 'quoted') throw this.#malformed();
      keyspace = first;
      name = token.text;
    }
    const type = this.#lookup(name, keyspace);
    if (type === null) {
      throw invalidRequest(`Unknown type ${keyspace === null ? name : `${keyspace}.${name}`}`);
    }
    return type;
  }
}
