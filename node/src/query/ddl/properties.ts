/** Properties after WITH, read by type. Source: org.apache.cassandra.cql3.statements.PropertyDefinitions. */
import { syntaxError } from '../../common/errors.ts';
import type { Property } from '../../cql/ast.ts';
import { parseDouble } from '../../types/java-numbers.ts';

const INT32_MAX = 0x7fffffff;

export class PropertyReader {
  private readonly properties: ReadonlyMap<string, Property['value']>;

  constructor(properties: readonly Property[]) {
    this.properties = new Map(properties.map(({ name, value }) => [name, value]));
  }

  /** @throws CqlError SyntaxError for one that is not among `known` */
  refuseUnknown(known: readonly string[]): void {
    for (const name of this.properties.keys()) {
      if (!known.includes(name)) throw syntaxError(`Unknown property '${name}'`);
    }
  }

  has(name: string): boolean {
    return this.properties.has(name);
  }

  /** The raw text of a scalar. @throws CqlError SyntaxError */
  text(name: string): string | undefined {
    const value = this.properties.get(name);
    if (value === undefined) return undefined;
    if (value.kind === 'map') {
      throw syntaxError(`Invalid value for property '${name}'. It should be a string`);
    }
    return value.text;
  }

  /** @throws CqlError SyntaxError */
  map(name: string): Record<string, string> | undefined {
    const value = this.properties.get(name);
    if (value === undefined) return undefined;
    if (value.kind !== 'map') {
      throw syntaxError(`Invalid value for property '${name}'. It should be a map.`);
    }
    return Object.fromEntries(value.entries.map((entry) => [entry.key, entry.value]));
  }

  /** @throws CqlError SyntaxError */
  int(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = /^[+-]?[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    if (!(number >= -INT32_MAX - 1 && number <= INT32_MAX)) {
      throw syntaxError(`Invalid integer value ${text} for '${name}'`);
    }
    return number;
  }

  /** @throws CqlError SyntaxError */
  double(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = parseDouble(text);
    if (number === null) throw syntaxError(`Invalid double value ${text} for '${name}'`);
    return number;
  }

  /** @throws CqlError SyntaxError */
  boolean(name: string): boolean | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const word = text.toLowerCase();
    if (word === '1' || word === 'true' || word === 'yes') return true;
    if (word === '0' || word === 'false' || word === 'no') return false;
    throw syntaxError(
      `Invalid boolean value ${text} for '${name}'. Positive values can be '1', 'true' or 'yes'. Negative values can be '0', 'false' or 'no'.`,
    );
  }
}
