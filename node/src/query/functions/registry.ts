/** The built-in functions by name. Source: org.apache.cassandra.cql3.functions.NativeFunctions. */
import type { QualifiedName } from '../../cql/ast.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { AGGREGATE_FACTORIES, COUNT_ROWS, TOTALS } from './aggregates.ts';
import { BLOB_FUNCTIONS } from './blobs.ts';
import { COLLECTION_FACTORIES } from './collections.ts';
import { type FunctionFactory, makeFunction } from './factory.ts';
import { FLOOR_FUNCTIONS } from './floors.ts';
import type { ArgumentProbe, BuiltinFunction, ScalarFunction } from './function.ts';
import { JSON_FACTORIES } from './json.ts';
import { MASK_FACTORIES } from './masks.ts';
import { MATH_FUNCTIONS } from './math.ts';
import { type BinaryOperator, resolveBinary, resolveNegation } from './operators.ts';
import { checkArguments, pickOverload } from './overloads.ts';
import { TIME_FUNCTIONS } from './time.ts';
import { VECTOR_FACTORIES } from './vectors.ts';

export { resolveCast } from './casts.ts';

const OVERLOADS: ReadonlyMap<string, readonly BuiltinFunction[]> = Map.groupBy(
  [...TIME_FUNCTIONS, ...FLOOR_FUNCTIONS, ...BLOB_FUNCTIONS, ...MATH_FUNCTIONS, ...TOTALS],
  (fn) => fn.name,
);

const FACTORIES: ReadonlyMap<string, FunctionFactory> = new Map(
  [
    ...JSON_FACTORIES,
    ...AGGREGATE_FACTORIES,
    ...COLLECTION_FACTORIES,
    ...VECTOR_FACTORIES,
    ...MASK_FACTORIES,
  ].map((factory) => [factory.name, factory]),
);

/**
 * The function that a call means. Names are in lower case unless they were quoted.
 * @param receiver type wanted of the result; null: any
 * @returns null: there is no function of that name
 * @throws CqlError Invalid: none for these arguments, or several
 */
export function resolveFunction(
  name: QualifiedName,
  args: readonly ArgumentProbe[],
  receiver: CqlType | null,
): BuiltinFunction | null {
  const written = name.keyspace === undefined ? name.name : `${name.keyspace}.${name.name}`;
  if (name.keyspace === undefined || name.keyspace === 'system') {
    if (name.name === 'count' && args.length === 0) return COUNT_ROWS;
    const factory = FACTORIES.get(name.name);
    if (factory !== undefined) {
      const made = makeFunction(factory, args, receiver);
      checkArguments(made, args);
      return made;
    }
    const overloads = OVERLOADS.get(name.name);
    if (overloads !== undefined) return pickOverload(written, overloads, args, receiver);
  }
  return null;
}

/**
 * The function of an arithmetic operator.
 * @param right null for 'negate'
 * @throws CqlError Invalid: not for these operands, or ambiguous
 */
export function resolveOperator(
  operator: BinaryOperator | 'negate',
  left: ArgumentProbe,
  right: ArgumentProbe | null,
  receiver: CqlType | null,
): ScalarFunction {
  if (operator === 'negate' || right === null) return resolveNegation(left, receiver);
  return resolveBinary(operator, left, right, receiver);
}
