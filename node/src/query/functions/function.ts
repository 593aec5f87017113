/** What a built-in function is, for those who call it. Values are CQL bytes; null is null. */
import type { CqlType } from '../../types/cql-type.ts';

/** The world as an evaluation sees it; the same for all of one statement. */
export interface EvaluationContext {
  /** Milliseconds since 1970 at which the statement started. */
  readonly nowMillis: number;
  /** A new version 1 UUID each time. */
  timeUuid(): Uint8Array;
  /** A new version 4 UUID each time. */
  randomUuid(): Uint8Array;
  /** 0 <= x < 1. */
  random(): number;
}

export interface ScalarFunction {
  readonly kind: 'scalar';
  readonly name: string;
  readonly args: readonly CqlType[];
  readonly returns: CqlType;
  /** The same arguments always give the same result: constant calls are computed once. */
  readonly isPure: boolean;
  /** @throws CqlError (FunctionFailure, Invalid) */
  call(args: readonly (Uint8Array | null)[], context: EvaluationContext): Uint8Array | null;
}

/** Collects one group's rows. */
export interface Accumulator {
  add(args: readonly (Uint8Array | null)[]): void;
  result(): Uint8Array | null;
}

export interface AggregateFunction {
  readonly kind: 'aggregate';
  readonly name: string;
  readonly args: readonly CqlType[];
  readonly returns: CqlType;
  start(): Accumulator;
}

export type BuiltinFunction = ScalarFunction | AggregateFunction;

export type Fit = 'exact' | 'weak' | 'no';

/** An argument as far as it is known before the function is chosen. */
export interface ArgumentProbe {
  /** Null: a bind marker, null or a literal of several possible types. */
  readonly type: CqlType | null;
  /** What a literal is taken for if nothing else decides; null: nothing. */
  readonly preferred: CqlType | null;
  fit(type: CqlType): Fit;
  /** The argument in CQL, for messages. */
  readonly text: string;
}
