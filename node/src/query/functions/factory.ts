/**
 * Functions made for the types they are called with. Source: FunctionFactory and FunctionParameter of
 * org.apache.cassandra.cql3.functions.
 */
import { invalidRequest } from '../../common/errors.ts';
import type { CqlType, NativeTypeName } from '../../types/cql-type.ts';
import { isCollection, nativeType } from '../../types/type-facts.ts';
import { typeName } from '../../types/type-names.ts';
import type { ArgumentProbe, BuiltinFunction } from './function.ts';
import { isNumeric } from './numbers.ts';
import { resultFits } from './overloads.ts';

/** A parameter that takes arguments of several types. */
export interface Parameter {
  /** As messages show it. */
  readonly label: string;
  readonly isOptional: boolean;
  infer(
    arg: ArgumentProbe,
    receiver: CqlType | null,
    previous: readonly (CqlType | null)[] | null,
  ): CqlType | null;
  /** What is wanted, if `type` is not; else null. */
  refuse(type: CqlType): string | null;
}

function known(arg: ArgumentProbe): CqlType | null {
  return arg.type ?? arg.preferred;
}

function parameter(label: string, refuse: Parameter['refuse']): Parameter {
  return { label, isOptional: false, infer: known, refuse };
}

/** Takes the named types; an argument of unknown type is of the first. */
export function fixed(...names: readonly NativeTypeName[]): Parameter {
  const label = names.length === 1 ? names[0] : `[${names.join('|')}]`;
  const types = names.map(nativeType);
  return {
    label,
    isOptional: false,
    infer: (arg) => known(arg) ?? types[0],
    refuse: (type) =>
      types.some((wanted) => resultFits(type, wanted)) ? null : `an argument of type ${label}`,
  };
}

/** Takes every type; one that is not known is the receiver's if `fromReceiver`. */
export function anyType(fromReceiver: boolean): Parameter {
  return {
    label: 'any',
    isOptional: false,
    infer: (arg, receiver) => known(arg) ?? (fromReceiver ? receiver : null),
    refuse: () => null,
  };
}

/** Takes values of the first argument's type. */
export const SAME_AS_FIRST: Parameter = {
  label: 'same',
  isOptional: false,
  infer: (_arg, _receiver, previous) => previous?.[0] ?? null,
  refuse: () => null,
};

export const ANY_COLLECTION = parameter('collection', (type) =>
  isCollection(type) ? null : 'a collection argument',
);

export const SET_OR_LIST = parameter('numeric_set_or_list', (type) =>
  type.kind === 'set' || type.kind === 'list' ? null : 'a set or list argument',
);

export const NUMERIC_SET_OR_LIST = parameter('numeric_set_or_list', (type) =>
  (type.kind === 'set' || type.kind === 'list') && isNumeric(type.element)
    ? null
    : 'a numeric set/list argument',
);

export const ANY_MAP = parameter('map', (type) =>
  type.kind === 'map' || type.kind === 'udt' ? null : 'a map argument',
);

/** The same parameter, which calls may leave out. */
export function optional(of: Parameter): Parameter {
  return { ...of, label: `[${of.label}]`, isOptional: true };
}

export interface FunctionFactory {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  make(types: readonly CqlType[], receiver: CqlType | null): BuiltinFunction;
}

/** The factory's function for a call. @throws CqlError Invalid */
export function makeFunction(
  factory: FunctionFactory,
  args: readonly ArgumentProbe[],
  receiver: CqlType | null,
): BuiltinFunction {
  const { name, parameters } = factory;
  const shown = `system.${name}(${parameters.map((one) => one.label).join(', ')})`;
  const required = parameters.filter((one) => !one.isOptional).length;
  if (args.length < required || args.length > parameters.length) {
    throw invalidRequest(`Invalid number of arguments for function ${shown}`);
  }
  // A parameter may depend on what is only known of a later one: hence two passes.
  const first = args.map((arg, i) => parameters[i].infer(arg, receiver, null));
  const types = args.map((arg, i) => {
    const type = parameters[i].infer(arg, receiver, first);
    if (type === null) {
      throw invalidRequest(
        `Cannot infer type of argument ${arg.text} in call to function ${shown}: use type casts to disambiguate`,
      );
    }
    const wanted = parameters[i].refuse(type);
    if (wanted !== null) {
      throw invalidRequest(
        `Function system.${name} requires ${wanted}, but found argument ${arg.text} of type ${typeName(type)}`,
      );
    }
    return type;
  });
  return factory.make(types, receiver);
}
