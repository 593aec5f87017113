/** CAST. Source: org.apache.cassandra.cql3.functions.CastFcts. */
import { asBuffer } from '../../common/bytes.ts';
import { functionFailure, invalidRequest } from '../../common/errors.ts';
import { formatDate, formatTime, formatTimestamp } from '../../types/calendar.ts';
import { type CqlValue, decode, encode } from '../../types/codec.ts';
import type { CqlType, NativeTypeName } from '../../types/cql-type.ts';
import { Decimal, parseDecimal } from '../../types/decimal.ts';
import { formatInet } from '../../types/inet.ts';
import { formatDouble, formatFloat } from '../../types/java-numbers.ts';
import { nativeType, sameType } from '../../types/type-facts.ts';
import { typeName } from '../../types/type-names.ts';
import { formatUuid } from '../../types/uuid.ts';
import type { ArgumentProbe, ScalarFunction } from './function.ts';
import {
  isNumericName,
  NUMERIC_NAMES,
  type NumberValue,
  type NumericName,
  narrow,
  toDouble,
  toInt,
  toLong,
} from './numbers.ts';
import { pickOverload } from './overloads.ts';
import { toDate, toInstant } from './time.ts';

type Convert = (value: Exclude<CqlValue, null>) => CqlValue;

function convertNumber(to: NumericName): (value: NumberValue) => NumberValue {
  switch (to) {
    case 'tinyint':
      return (value) => narrow(toInt(value), 8);
    case 'smallint':
      return (value) => narrow(toInt(value), 16);
    case 'int':
      return toInt;
    case 'bigint':
    case 'counter':
      return toLong;
    case 'varint':
      return toLong;
    case 'float':
      return (value) => Math.fround(toDouble(value));
    case 'double':
      return toDouble;
    case 'decimal':
      return toDecimal;
  }
}

function toDecimal(value: NumberValue): Decimal {
  if (value instanceof Decimal) return value;
  if (typeof value === 'bigint') return new Decimal(value, 0);
  return decimalOfText(String(value));
}

function decimalOfText(text: string): Decimal {
  const decimal = parseDecimal(text);
  if (decimal === null) throw new RangeError('An infinite number or NaN is no decimal');
  return decimal;
}

/** The text of a value as Cassandra's serializers write it in CQL, without quotes. */
function textOf(type: NativeTypeName): Convert | null {
  switch (type) {
    case 'float':
      return (value) => formatFloat(value as number);
    case 'double':
      return (value) => formatDouble(value as number);
    case 'decimal':
      return (value) => (value as Decimal).toString();
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'counter':
    case 'varint':
    case 'boolean':
      return String;
    case 'inet':
      return (value) => formatInet(value as Uint8Array);
    case 'uuid':
    case 'timeuuid':
      return (value) => formatUuid(value as Uint8Array);
    case 'timestamp':
      return (value) => formatTimestamp(value as bigint, 'T');
    case 'date':
      return (value) => formatDate(value as number);
    case 'time':
      return (value) => formatTime(value as bigint);
    default:
      return null;
  }
}

function conversion(from: NativeTypeName, to: NativeTypeName): Convert | null {
  if (to === 'text' || to === 'ascii') {
    return from === 'ascii' ? (value) => value : textOf(from);
  }
  if (isNumericName(from) && isNumericName(to) && to !== 'counter') {
    if (from === 'float' && to === 'decimal') {
      return (value) => decimalOfText(formatFloat(value as number));
    }
    if (from === 'double' && to === 'decimal') {
      return (value) => decimalOfText(formatDouble(value as number));
    }
    const convert = convertNumber(to);
    return (value) => convert(value as NumberValue);
  }
  return null;
}

function castName(type: CqlType): string {
  return `cast_as_${typeName(type)}`;
}

function temporal(from: NativeTypeName, to: NativeTypeName, name: string): ScalarFunction | null {
  if (to === 'date' && (from === 'timeuuid' || from === 'timestamp')) return toDate(name, from);
  if (to === 'timestamp' && (from === 'timeuuid' || from === 'date')) {
    return toInstant(name, from, 'timestamp');
  }
  return null;
}

/**
 * The function of CAST(arg AS to).
 * @param receiver type wanted of the result; null: any
 * @throws CqlError Invalid if there is none
 */
export function resolveCast(
  arg: ArgumentProbe,
  to: CqlType,
  receiver: CqlType | null,
): ScalarFunction {
  const name = castName(to);
  if (arg.type !== null && sameType(arg.type, to)) {
    const call = ([bytes]: readonly (Uint8Array | null)[]) => bytes;
    return { kind: 'scalar', name, args: [to], returns: to, isPure: true, call };
  }
  const candidates = to.kind === 'native' ? castsTo(to.name, name) : [];
  if (candidates.length === 0) {
    throw invalidRequest(`${arg.text} cannot be cast to ${typeName(to)}`);
  }
  return pickOverload(`system.${name}`, candidates, [arg], receiver);
}

const CASTABLE: readonly NativeTypeName[] = [
  ...NUMERIC_NAMES,
  'ascii',
  'boolean',
  'date',
  'inet',
  'text',
  'time',
  'timestamp',
  'timeuuid',
  'uuid',
];

function castsTo(to: NativeTypeName, name: string): ScalarFunction[] {
  return CASTABLE.flatMap((from) => {
    const cast = from === to ? null : nativeCast(from, to, name);
    return cast === null ? [] : [cast];
  });
}

function nativeCast(from: NativeTypeName, to: NativeTypeName, name: string): ScalarFunction | null {
  const wrapped = temporal(from, to, name);
  if (wrapped !== null) return wrapped;
  const convert = conversion(from, to);
  if (convert === null) return null;
  const args = [nativeType(from)];
  const returns = nativeType(to);
  return {
    kind: 'scalar',
    name,
    args,
    returns,
    isPure: true,
    call([bytes]) {
      const value = decode(args[0], bytes);
      if (value === null) return null;
      try {
        return asBuffer(encode(returns, convert(value)) ?? new Uint8Array(0));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw functionFailure('system', name, [from], error.message);
      }
    },
  };
}
