/** to_json() and from_json(). Source: org.apache.cassandra.cql3.functions.ToJsonFct, FromJsonFct. */
import { CqlError, functionFailure, invalidRequest } from '../../common/errors.ts';
import type { CqlType } from '../../types/cql-type.ts';
import { fromJson, toJson } from '../../types/json.ts';
import { parseJson } from '../../types/json-parse.ts';
import { nativeType } from '../../types/type-facts.ts';
import { anyType, type FunctionFactory, fixed } from './factory.ts';

function toJsonFactory(name: string): FunctionFactory {
  return {
    name,
    parameters: [anyType(false)],
    make: ([type]) => ({
      kind: 'scalar',
      name,
      args: [type],
      returns: nativeType('text'),
      isPure: true,
      call: ([bytes]) => Buffer.from(toJson(type, bytes)),
    }),
  };
}

function readJson(type: CqlType, name: string, bytes: Uint8Array, nowMillis: number) {
  const text = Buffer.from(bytes).toString('utf8');
  try {
    return fromJson(type, parseJson(text), BigInt(Math.floor(nowMillis)));
  } catch (error) {
    if (!(error instanceof CqlError)) throw error;
    throw functionFailure('system', name, ['text'], error.message);
  }
}

function fromJsonFactory(name: string): FunctionFactory {
  return {
    name,
    parameters: [fixed('text')],
    make: (_types, receiver) => {
      if (receiver === null) {
        throw invalidRequest(
          `${name}() cannot be used in the selection clause of a SELECT statement`,
        );
      }
      return {
        kind: 'scalar',
        name,
        args: [nativeType('text')],
        returns: receiver,
        // 'now' in JSON depends on the time.
        isPure: false,
        call: ([bytes], context) =>
          bytes === null ? null : readJson(receiver, name, bytes, context.nowMillis),
      };
    },
  };
}

export const JSON_FACTORIES: readonly FunctionFactory[] = [
  toJsonFactory('to_json'),
  toJsonFactory('tojson'),
  fromJsonFactory('from_json'),
  fromJsonFactory('fromjson'),
];
