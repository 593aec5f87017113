/**
 * Terms: values in a statement (literals, bind markers, function calls …) compiled for the type they are wanted in.
 */

import { invalidRequest } from '../common/errors.ts';
import type { FunctionCall, Literal, QualifiedName, Term } from '../cql/ast.ts';
import { printTerm, printType } from '../cql/print.ts';
import { packCollection } from '../types/collections.ts';
import { constantFits, constantValue, preferredType } from '../types/constants.ts';
import type { CqlType, UserType } from '../types/cql-type.ts';
import { freeze, nativeType, sameType } from '../types/type-facts.ts';
import { typeName } from '../types/type-names.ts';
import type { ArgumentProbe, BuiltinFunction, Fit, ScalarFunction } from './functions/function.ts';
import { resultFits } from './functions/overloads.ts';
import { resolveCast, resolveFunction, resolveOperator } from './functions/registry.ts';
import { resolveType } from './resolve-type.ts';
import {
  type Binding,
  boundTerm,
  type CompiledTerm,
  constantTerm,
  derived,
  listOf,
  mapOf,
  type Receiver,
  setOf,
  type TermScope,
  tupleOf,
  userValueOf,
  vectorOf,
} from './term-values.ts';

function markerTerm(index: number, receiver: Receiver, scope: TermScope): CompiledTerm {
  const { type, name } = receiver;
  scope.markers[index] = { name, type, column: receiver };
  return boundTerm(type, index);
}

function literalTerm(literal: Literal, receiver: Receiver, scope: TermScope): CompiledTerm {
  const { type, name } = receiver;
  if (constantFits(literal.sort, literal.text, type) === 'no') {
    throw invalidRequest(
      `Invalid ${literal.sort.toUpperCase()} constant (${literal.text}) for "${name}" of type ${typeName(type)}`,
    );
  }
  return constantTerm(type, constantValue(literal.sort, literal.text, type, scope.nowMillis));
}

function elementReceiver(receiver: Receiver, part: string, type: CqlType): Receiver {
  return { name: `${part}(${receiver.name})`, type };
}

function compileAll(terms: readonly Term[], receiver: Receiver, scope: TermScope): CompiledTerm[] {
  return terms.map((term) => compileTerm(term, receiver, scope));
}

/** Refuses the parts of a literal that are not of the type that its place wants. */
function checkPart(
  part: Term,
  type: CqlType,
  literal: string,
  place: string,
  scope: TermScope,
): void {
  if (probe(part, scope).fit(type) === 'no') {
    throw invalidRequest(`Invalid ${literal}: ${place} is not of type ${typeName(type)}`);
  }
}

function checkNoMarkers(parts: readonly Term[], literal: string): void {
  if (parts.some(hasMarker)) {
    throw invalidRequest(
      `Invalid ${literal}: bind variables are not supported inside collection literals`,
    );
  }
}

function hasMarker(term: Term): boolean {
  switch (term.kind) {
    case 'marker':
      return true;
    case 'literal':
    case 'null':
      return false;
    case 'list':
    case 'set':
    case 'tuple':
      return term.elements.some(hasMarker);
    case 'map':
      return term.entries.some(({ key, value }) => hasMarker(key) || hasMarker(value));
    case 'udt':
      return term.fields.some(({ value }) => hasMarker(value));
    case 'function':
      return term.args.some(hasMarker);
    case 'cast':
    case 'typeHint':
    case 'negation':
      return hasMarker(term.value);
    case 'arithmetic':
      return hasMarker(term.left) || hasMarker(term.right);
  }
}

function listTerm(elements: readonly Term[], receiver: Receiver, scope: TermScope): CompiledTerm {
  const { type } = receiver;
  if (type.kind === 'list' || type.kind === 'vector') {
    const literal = `${type.kind} literal for ${receiver.name}`;
    for (const element of elements) {
      checkPart(element, type.element, literal, `value ${printTerm(element)}`, scope);
    }
    if (type.kind === 'list') checkNoMarkers(elements, literal);
  }
  if (type.kind === 'vector') {
    if (elements.length !== type.dimension) {
      throw invalidRequest(
        `Invalid vector literal for ${receiver.name} of type ${typeName(type)}; expected ${type.dimension} elements, but given ${elements.length}`,
      );
    }
    const parts = compileAll(elements, elementReceiver(receiver, 'value', type.element), scope);
    return vectorOf(type, parts);
  }
  if (type.kind !== 'list') {
    throw invalidRequest(
      `Unexpected receiver type '${typeName(type)}'; only list and vector are expected`,
    );
  }
  const parts = compileAll(elements, elementReceiver(receiver, 'value', type.element), scope);
  return listOf(type, parts);
}

function setTerm(elements: readonly Term[], receiver: Receiver, scope: TermScope): CompiledTerm {
  const { type } = receiver;
  if (type.kind === 'map' && elements.length === 0)
    return constantTerm(type, packCollection(0, []));
  if (type.kind !== 'set') {
    throw invalidRequest(`Invalid set literal for ${receiver.name} of type ${typeName(type)}`);
  }
  const literal = `set literal for ${receiver.name}`;
  for (const element of elements) {
    checkPart(element, type.element, literal, `value ${printTerm(element)}`, scope);
  }
  checkNoMarkers(elements, literal);
  const parts = compileAll(elements, elementReceiver(receiver, 'value', type.element), scope);
  return setOf(type, type.element, parts);
}

function mapTerm(
  entries: readonly { readonly key: Term; readonly value: Term }[],
  receiver: Receiver,
  scope: TermScope,
): CompiledTerm {
  const { type } = receiver;
  if (type.kind !== 'map') {
    throw invalidRequest(`Invalid map literal for ${receiver.name} of type ${typeName(type)}`);
  }
  const literal = `map literal for ${receiver.name}`;
  for (const { key, value } of entries) {
    checkPart(key, type.key, literal, `key ${printTerm(key)}`, scope);
    checkPart(value, type.value, literal, `value ${printTerm(value)}`, scope);
    checkNoMarkers([key, value], literal);
  }
  const keys = compileAll(
    entries.map((entry) => entry.key),
    elementReceiver(receiver, 'key', type.key),
    scope,
  );
  const values = compileAll(
    entries.map((entry) => entry.value),
    elementReceiver(receiver, 'value', type.value),
    scope,
  );
  return mapOf(type, keys, values);
}

function tupleTerm(elements: readonly Term[], receiver: Receiver, scope: TermScope): CompiledTerm {
  const { type } = receiver;
  if (type.kind !== 'tuple') {
    throw invalidRequest(
      `Invalid tuple type literal for ${receiver.name} of type ${typeName(type)}`,
    );
  }
  if (elements.length > type.fields.length) {
    throw invalidRequest(
      `Invalid tuple literal for ${receiver.name}: too many elements. Type ${typeName(type)} expects ${type.fields.length} but got ${elements.length}`,
    );
  }
  const parts = elements.map((element, i) => {
    const field = type.fields[i];
    checkPart(element, field, `tuple literal for ${receiver.name}`, `component ${i}`, scope);
    return compileTerm(element, { name: `${receiver.name}[${i}]`, type: field }, scope);
  });
  return tupleOf(type, parts);
}

function udtTerm(
  fields: readonly { readonly name: string; readonly value: Term }[],
  receiver: Receiver,
  scope: TermScope,
): CompiledTerm {
  const { type } = receiver;
  if (type.kind !== 'udt') {
    throw invalidRequest(
      `Invalid user type literal for ${receiver.name} of type ${typeName(type)}`,
    );
  }
  const parts: (CompiledTerm | null)[] = type.fieldNames.map(() => null);
  for (const field of fields) {
    const index = type.fieldNames.indexOf(field.name);
    if (index < 0) {
      throw invalidRequest(
        `Unknown field '${field.name}' in value of user defined type ${type.name}`,
      );
    }
    const literal = `user type literal for ${receiver.name}`;
    checkPart(field.value, type.fieldTypes[index], literal, `field ${field.name}`, scope);
    parts[index] = compileTerm(field.value, fieldReceiver(receiver, type, index), scope);
  }
  return userValueOf(type, parts);
}

function fieldReceiver(receiver: Receiver, type: UserType, index: number): Receiver {
  return { name: `${receiver.name}.${type.fieldNames[index]}`, type: type.fieldTypes[index] };
}

function callTerm(
  fn: ScalarFunction,
  args: readonly Term[],
  receiver: Receiver | null,
  scope: TermScope,
): CompiledTerm {
  if (receiver !== null && assignability(fn.returns, receiver.type) === 'no') {
    throw invalidRequest(
      `Type error: cannot assign result of function ${qualified(fn.name)} (type ${typeName(fn.returns)}) to ${receiver.name} (type ${typeName(receiver.type)})`,
    );
  }
  const parts = args.map((arg, i) =>
    compileTerm(arg, { name: `arg${i}(${qualified(fn.name)})`, type: fn.args[i] }, scope),
  );
  const evaluate = (binding: Binding) => {
    const values = parts.map((part) => {
      const value = part.evaluate(binding);
      if (value === undefined) {
        throw invalidRequest(`Invalid unset value for argument in call to function ${fn.name}`);
      }
      return value;
    });
    return fn.call(values, binding.context);
  };
  return derived(receiver?.type ?? fn.returns, parts, evaluate, fn.isPure);
}

/** A function's name as written, for messages. */
export function functionText({ keyspace, name }: QualifiedName): string {
  return keyspace === undefined ? name : `${keyspace}.${name}`;
}

function qualified(name: string): string {
  return `system.${name}`;
}

function scalar(term: FunctionCall<Term>, fn: BuiltinFunction | null): ScalarFunction {
  if (fn === null) throw invalidRequest(`Unknown function ${functionText(term.name)} called`);
  if (fn.kind === 'aggregate') {
    throw invalidRequest('Aggregation function are not supported in the where clause');
  }
  return fn;
}

/**
 * Compiles a term for a receiver of known type. Bind markers in it get their type from it.
 * @throws CqlError Invalid, with Cassandra's message, if it cannot be of that type
 */
export function compileTerm(term: Term, receiver: Receiver, scope: TermScope): CompiledTerm {
  switch (term.kind) {
    case 'literal':
      return literalTerm(term, receiver, scope);
    case 'null':
      if (receiver.type.kind === 'native' && receiver.type.name === 'counter') {
        throw invalidRequest('Invalid null value for counter increment/decrement');
      }
      return constantTerm(receiver.type, null);
    case 'marker':
      return markerTerm(term.index, receiver, scope);
    case 'list':
      return listTerm(term.elements, receiver, scope);
    case 'set':
      return setTerm(term.elements, receiver, scope);
    case 'map':
      return mapTerm(term.entries, receiver, scope);
    case 'tuple':
      if (receiver.type.kind !== 'tuple' && term.elements.length === 1) {
        return compileTerm(term.elements[0], receiver, scope);
      }
      return tupleTerm(term.elements, receiver, scope);
    case 'udt':
      return udtTerm(term.fields, receiver, scope);
    case 'function': {
      const fn = resolveFunction(term.name, probes(term.args, scope), receiver.type);
      return callTerm(scalar(term, fn), term.args, receiver, scope);
    }
    case 'cast': {
      const to = resolveType(term.type, scope.schema, scope.keyspace);
      const fn = resolveCast(probe(term.value, scope), to, receiver.type);
      return callTerm(fn, [term.value], receiver, scope);
    }
    case 'typeHint': {
      const type = resolveType(term.type, scope.schema, scope.keyspace);
      if (probe(term.value, scope).fit(type) === 'no') {
        throw invalidRequest(
          `Cannot cast value ${printTerm(term.value)} to type ${printType(term.type)}`,
        );
      }
      if (assignability(type, receiver.type) === 'no') {
        throw invalidRequest(
          `Cannot assign value ${printTerm(term)} to ${receiver.name} of type ${typeName(receiver.type)}`,
        );
      }
      return compileTerm(term.value, { name: receiver.name, type }, scope);
    }
    case 'arithmetic': {
      const fn = resolveOperator(
        term.operator,
        probe(term.left, scope),
        probe(term.right, scope),
        receiver.type,
      );
      return callTerm(fn, [term.left, term.right], receiver, scope);
    }
    case 'negation': {
      const fn = resolveOperator('negate', probe(term.value, scope), null, receiver.type);
      return callTerm(fn, [term.value], receiver, scope);
    }
  }
}

/** How well a value of type `from` serves where `to` is wanted. */
export function assignability(from: CqlType, to: CqlType): Fit {
  if (sameType(freeze(from), freeze(to))) return 'exact';
  return resultFits(from, to) ? 'weak' : 'no';
}

export function typedProbe(type: CqlType, text: string): ArgumentProbe {
  return { type, preferred: type, text, fit: (wanted) => assignability(type, wanted) };
}

function probes(terms: readonly Term[], scope: TermScope): ArgumentProbe[] {
  return terms.map((term) => probe(term, scope));
}

const ANY_TYPE = (): Fit => 'weak';

/** What is known of a term's type before it is compiled. */
export function probe(term: Term, scope: TermScope): ArgumentProbe {
  const text = printTerm(term);
  switch (term.kind) {
    case 'literal':
      return {
        type: null,
        preferred: nativeType(preferredType(term.sort, term.text)),
        text,
        fit: (type) => constantFits(term.sort, term.text, type),
      };
    case 'null':
    case 'marker':
      return { type: null, preferred: null, text, fit: ANY_TYPE };
    case 'typeHint': {
      const type = resolveType(term.type, scope.schema, scope.keyspace);
      return typedProbe(type, text);
    }
    case 'cast':
      return typedProbe(resolveType(term.type, scope.schema, scope.keyspace), text);
    case 'function': {
      const fn = resolveFunction(term.name, probes(term.args, scope), null);
      return typedProbe(scalar(term, fn).returns, text);
    }
    case 'arithmetic': {
      const fn = resolveOperator(
        term.operator,
        probe(term.left, scope),
        probe(term.right, scope),
        null,
      );
      return typedProbe(fn.returns, text);
    }
    case 'negation':
      return typedProbe(
        resolveOperator('negate', probe(term.value, scope), null, null).returns,
        text,
      );
    case 'tuple':
      if (term.elements.length === 1) return probe(term.elements[0], scope);
      return compositeProbe(term, scope, text);
    default:
      return compositeProbe(term, scope, text);
  }
}

/** Collections, tuples and user types: they fit what they compile for. */
function compositeProbe(term: Term, scope: TermScope, text: string): ArgumentProbe {
  const trial: TermScope = { ...scope, markers: [] };
  return {
    type: null,
    preferred: compositePreference(term, scope),
    text,
    fit: (type) => {
      try {
        compileTerm(term, { name: text, type }, trial);
        return 'weak';
      } catch {
        return 'no';
      }
    },
  };
}

function commonPreference(terms: readonly Term[], scope: TermScope): CqlType | null {
  for (const term of terms) {
    const { type, preferred } = probe(term, scope);
    const guess = type ?? preferred;
    if (guess !== null) return guess;
  }
  return null;
}

function compositePreference(term: Term, scope: TermScope): CqlType | null {
  switch (term.kind) {
    case 'list': {
      const element = commonPreference(term.elements, scope);
      return element && { kind: 'list', element, frozen: false };
    }
    case 'set': {
      const element = commonPreference(term.elements, scope);
      return element && { kind: 'set', element, frozen: false };
    }
    case 'map': {
      const key = commonPreference(
        term.entries.map((entry) => entry.key),
        scope,
      );
      const value = commonPreference(
        term.entries.map((entry) => entry.value),
        scope,
      );
      return key && value && { kind: 'map', key, value, frozen: false };
    }
    case 'tuple': {
      const fields = term.elements.map((element) => commonPreference([element], scope));
      return fields.includes(null) ? null : { kind: 'tuple', fields: fields as CqlType[] };
    }
    default:
      return null;
  }
}
