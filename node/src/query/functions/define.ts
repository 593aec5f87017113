/** Short ways to define scalar functions over decoded values. */
import { type CqlValue, decode, encode } from '../../types/codec.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { typeName } from '../../types/type-names.ts';
import type { BuiltinFunction, EvaluationContext, ScalarFunction } from './function.ts';

/** A function of values that are neither null nor empty; with any such argument its result is null. */
export function strict(
  name: string,
  args: readonly CqlType[],
  returns: CqlType,
  compute: (values: readonly Exclude<CqlValue, null>[]) => CqlValue,
): ScalarFunction {
  return {
    kind: 'scalar',
    name,
    args,
    returns,
    isPure: true,
    call(bytes) {
      const values: Exclude<CqlValue, null>[] = [];
      for (let i = 0; i < args.length; i++) {
        const value = decode(args[i], bytes[i]);
        if (value === null) return null;
        values.push(value);
      }
      return encode(returns, compute(values));
    },
  };
}

/** A function without arguments whose result depends on the time or on chance. */
export function volatile(
  name: string,
  returns: CqlType,
  call: (context: EvaluationContext) => Uint8Array,
): ScalarFunction {
  return {
    kind: 'scalar',
    name,
    args: [],
    returns,
    isPure: false,
    call: (_args, context) => call(context),
  };
}

/** A function of the bytes of one argument, null for null. */
export function ofBytes(
  name: string,
  arg: CqlType,
  returns: CqlType,
  call: (bytes: Uint8Array) => Uint8Array | null,
): ScalarFunction {
  return {
    kind: 'scalar',
    name,
    args: [arg],
    returns,
    isPure: true,
    call: ([bytes]) => (bytes === null ? null : call(bytes)),
  };
}

/** As messages show a function: `system.now : () -> timeuuid`. */
export function signature(fn: BuiltinFunction): string {
  return `system.${fn.name} : (${fn.args.map(typeName).join(', ')}) -> ${typeName(fn.returns)}`;
}
