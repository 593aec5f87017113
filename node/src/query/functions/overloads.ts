/** The choice between functions of one name. Source: org.apache.cassandra.cql3.functions.FunctionResolver. */
import { invalidRequest } from '../../common/errors.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { sameType } from '../../types/type-facts.ts';
import { typeName } from '../../types/type-names.ts';
import { signature } from './define.ts';
import type { ArgumentProbe, BuiltinFunction, Fit } from './function.ts';

/** Values of the first type are also values of the second. */
const COMPATIBLE: ReadonlySet<string> = new Set([
  'ascii>text',
  'bigint>time',
  'bigint>timestamp',
  'bigint>varint',
  'int>date',
  'int>varint',
  'timestamp>bigint',
  'timeuuid>uuid',
]);

/** Whether a result of type `from` can be given where `to` is wanted. */
export function resultFits(from: CqlType, to: CqlType): boolean {
  if (from.kind !== 'native' || to.kind !== 'native') {
    return sameType(from, to) || (to.kind === 'native' && to.name === 'blob');
  }
  if (from.name === to.name || to.name === 'blob') return true;
  return COMPATIBLE.has(`${from.name}>${to.name}`);
}

/** How well all arguments together serve a function. */
export function argumentsFit(fn: BuiltinFunction, args: readonly ArgumentProbe[]): Fit {
  if (args.length !== fn.args.length) return 'no';
  let fit: Fit = 'exact';
  for (let i = 0; i < args.length; i++) {
    const one = args[i].fit(fn.args[i]);
    if (one === 'no') return 'no';
    if (one === 'weak') fit = 'weak';
  }
  return fit;
}

/** Of the candidates the exact match, or all that are possible. */
export function matches<F extends BuiltinFunction>(
  candidates: readonly F[],
  args: readonly ArgumentProbe[],
  receiver: CqlType | null,
): readonly F[] {
  const compatible: F[] = [];
  for (const fn of candidates) {
    if (receiver !== null && !resultFits(fn.returns, receiver)) continue;
    const fit = argumentsFit(fn, args);
    if (fit === 'exact') return [fn];
    if (fit === 'weak') compatible.push(fn);
  }
  return compatible;
}

/**
 * The one function of `candidates` (at least one) that is meant.
 * @param name as written, for messages
 * @throws CqlError Invalid
 */
export function pickOverload<F extends BuiltinFunction>(
  name: string,
  candidates: readonly F[],
  args: readonly ArgumentProbe[],
  receiver: CqlType | null,
): F {
  if (candidates.length === 1) {
    checkArguments(candidates[0], args);
    return candidates[0];
  }
  const found = matches(candidates, args, receiver);
  if (found.length === 1) return found[0];
  if (found.length === 0) {
    throw invalidRequest(
      `Invalid call to function ${name}, none of its type signatures match (known type signatures: ${candidates.map(signature).join(', ')})`,
    );
  }
  throw invalidRequest(
    `Ambiguous call to function ${name} (can be matched by following signatures: ${found.map(signature).join(', ')}): use type casts to disambiguate`,
  );
}

/** @throws CqlError Invalid: the arguments are not as many, or not of the types, that the function has */
export function checkArguments(fn: BuiltinFunction, args: readonly ArgumentProbe[]): void {
  if (args.length !== fn.args.length) {
    throw invalidRequest(
      `Invalid number of arguments in call to function system.${fn.name}: ${fn.args.length} required but ${args.length} provided`,
    );
  }
  for (const [i, arg] of args.entries()) {
    if (arg.fit(fn.args[i]) !== 'no') continue;
    throw invalidRequest(
      `Type error: ${arg.text} cannot be passed as argument ${i} of function system.${fn.name} of type ${typeName(fn.args[i])}`,
    );
  }
}
