/**
 * Compiled terms: what a value in a statement is, for the values bound to it. `terms.ts` makes them of syntax.
 */
import { invalidRequest } from '../common/errors.ts';
import type { Schema } from '../schema/schema.ts';
import { canonical, compareValues, validate } from '../types/codec.ts';
import { packCollection, packTuple, packVector } from '../types/collections.ts';
import type { CqlType, MapType, VectorType } from '../types/cql-type.ts';
import type { EvaluationContext } from './functions/function.ts';

/** undefined: not set (leave as it is); null: null. */
export type Value = Uint8Array | null | undefined;

/** What a bind marker stands for, as told to the client. */
export interface MarkerSpec {
  readonly name: string;
  readonly type: CqlType;
  /** The column that it is bound to as a whole; the receiver's object. */
  readonly column: Receiver;
}

/** The bound values of one execution. */
export interface Binding {
  readonly values: readonly Value[];
  readonly context: EvaluationContext;
}

/** Collects what the planner learns on its way through a statement. */
export interface TermScope {
  readonly schema: Schema;
  /** Where unqualified names of types and functions are looked up. */
  readonly keyspace: string;
  /** By marker index; filled by `compileTerm`. */
  readonly markers: (MarkerSpec | undefined)[];
  /** Markers of the whole statement. */
  readonly markerCount: number;
  /** For constants like 'now'. */
  readonly nowMillis: bigint;
}

export interface Receiver {
  readonly name: string;
  readonly type: CqlType;
}

export interface CompiledTerm {
  readonly type: CqlType;
  /** Does not depend on what is bound, nor on the time. */
  readonly isConstant: boolean;
  /** @throws CqlError Invalid: the bound value is none of the type */
  evaluate(binding: Binding): Value;
}

const NOTHING_BOUND: Binding = {
  values: [],
  context: {
    nowMillis: 0,
    timeUuid: () => new Uint8Array(16),
    randomUuid: () => new Uint8Array(16),
    random: () => 0,
  },
};

/** A term that is always `value`. */
export function constantTerm(type: CqlType, value: Uint8Array | null): CompiledTerm {
  return { type, isConstant: true, evaluate: () => value };
}

/** Makes a term of its parts; computes it now if all are constant. */
export function derived(
  type: CqlType,
  parts: readonly CompiledTerm[],
  evaluate: (binding: Binding) => Value,
  isPure = true,
): CompiledTerm {
  if (isPure && parts.every((part) => part.isConstant)) {
    const value = evaluate(NOTHING_BOUND);
    if (value !== undefined) return constantTerm(type, value);
  }
  return { type, isConstant: false, evaluate };
}

/** What is bound to marker `index`. */
export function boundTerm(type: CqlType, index: number): CompiledTerm {
  const isSimple = type.kind === 'native' || type.kind === 'custom';
  return {
    type,
    isConstant: false,
    evaluate: (binding) => {
      const value = binding.values[index];
      if (value === null || value === undefined) return value;
      validate(type, value);
      // Clients may send the elements of sets and maps in any order.
      return isSimple ? value : canonical(type, value);
    },
  };
}

function notInCollection(value: Value): Uint8Array {
  if (value === null) throw invalidRequest('null is not supported inside collections');
  if (value === undefined) throw invalidRequest('unset value is not supported inside collections');
  return value;
}

/** A list of these elements. */
export function listOf(type: CqlType, parts: readonly CompiledTerm[]): CompiledTerm {
  return derived(type, parts, (binding) =>
    packCollection(
      parts.length,
      parts.map((part) => notInCollection(part.evaluate(binding))),
    ),
  );
}

/** A vector of these elements. */
export function vectorOf(type: VectorType, parts: readonly CompiledTerm[]): CompiledTerm {
  return derived(type, parts, (binding) =>
    packVector(
      type,
      parts.map((part) => {
        const value = part.evaluate(binding);
        if (value === null || value === undefined)
          throw invalidRequest('null is not supported inside vectors');
        return value;
      }),
    ),
  );
}

/** A set of these elements: sorted, each once. @param element their type */
export function setOf(
  type: CqlType,
  element: CqlType,
  parts: readonly CompiledTerm[],
): CompiledTerm {
  return derived(type, parts, (binding) => {
    const values = parts.map((part) => notInCollection(part.evaluate(binding)));
    return packSet(element, values);
  });
}

/** Packs the elements of a set in order, each once. @param values sorted in place */
export function packSet(element: CqlType, values: Uint8Array[]): Uint8Array {
  values.sort((a, b) => compareValues(element, a, b));
  const distinct = values.filter(
    (value, i) => i === 0 || compareValues(element, values[i - 1], value) !== 0,
  );
  return packCollection(distinct.length, distinct);
}

/** A map of `keys[i]` to `values[i]`. */
export function mapOf(
  type: MapType,
  keys: readonly CompiledTerm[],
  values: readonly CompiledTerm[],
): CompiledTerm {
  return derived(type, [...keys, ...values], (binding) =>
    packMap(
      type.key,
      keys.map((key, i): [Uint8Array, Uint8Array] => [
        notInCollection(key.evaluate(binding)),
        notInCollection(values[i].evaluate(binding)),
      ]),
    ),
  );
}

/** Packs a map's entries in the order of their keys; of equal keys the last counts. @param pairs sorted in place */
export function packMap(key: CqlType, pairs: [Uint8Array, Uint8Array][]): Uint8Array {
  // sort() is stable.
  pairs.sort((a, b) => compareValues(key, a[0], b[0]));
  const distinct = pairs.filter(
    (pair, i) => i + 1 === pairs.length || compareValues(key, pair[0], pairs[i + 1][0]) !== 0,
  );
  return packCollection(distinct.length, distinct.flat());
}

/** A tuple of these fields. */
export function tupleOf(type: CqlType, parts: readonly CompiledTerm[]): CompiledTerm {
  return derived(type, parts, (binding) =>
    packTuple(
      parts.map((part, i) => {
        const value = part.evaluate(binding);
        if (value === undefined) {
          throw invalidRequest(`Invalid unset value for tuple field number ${i}`);
        }
        return value;
      }),
    ),
  );
}

/** A user type's value; fields that are null here are null. */
export function userValueOf(type: CqlType, parts: readonly (CompiledTerm | null)[]): CompiledTerm {
  const given = parts.filter((part) => part !== null);
  return derived(type, given, (binding) =>
    packTuple(parts.map((part) => part?.evaluate(binding) ?? null)),
  );
}
