/** Rules in CEL, with what Kubernetes adds to it as far as our rules use it: `quantity`, `compareTo`, `sum`. */
import { Environment } from '@marcbachmann/cel-js';
import { bytesOf } from '../resources/values.ts';
import type { Evaluate } from './schema-check.ts';

class Quantity {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

function environment(): Environment {
  return new Environment({ unlistedVariablesAreDyn: true })
    .registerType('Quantity', Quantity)
    .registerFunction('quantity(dyn): Quantity', (text) => new Quantity(bytesOf(String(text))))
    .registerFunction('Quantity.compareTo(Quantity): int', (a: Quantity, b: Quantity) =>
      BigInt(Math.sign(a.value - b.value)),
    )
    .registerFunction('list.sum(): int', (list: readonly bigint[]) =>
      list.reduce((sum, one) => sum + one, 0n),
    );
}

/** Integers of CEL are not its doubles. */
function typed(value: unknown): unknown {
  if (Number.isInteger(value)) return BigInt(value as number);
  if (Array.isArray(value)) return value.map(typed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, typed(one)]));
}

export function createRules(): Evaluate {
  const cel = environment();
  return (rule, self, oldSelf) =>
    cel.evaluate(rule, { self: typed(self), oldSelf: typed(oldSelf) }) === true;
}
