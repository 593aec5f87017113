/** Which partitions a WHERE clause is about: by their keys, or by a range of tokens. */
import { Writer } from '../common/bytes.ts';
import { invalidRequest } from '../common/errors.ts';
import { murmur3Token } from '../common/murmur3.ts';
import type { ColumnDef } from '../schema/schema.ts';
import { serializePartitionKey } from '../storage/keys.ts';
import { isLower } from './ranges.ts';
import type { KeyRestriction, TokenRestriction } from './relations.ts';
import type { Binding } from './term-values.ts';

/** Tokens t with lower <= t <= upper; null: no bound. */
export interface TokenBounds {
  readonly lower: bigint | null;
  readonly upper: bigint | null;
}

export type PartitionChoice =
  /** By key: values of the partition key columns, one array a partition. */
  | {
      readonly kind: 'keys';
      readonly isSingle: boolean;
      /** Token relations may leave out some or all. */
      readonly isBounded: boolean;
      keys(binding: Binding): Uint8Array[][];
    }
  /** By token; `bounds` null: no token qualifies. */
  | { readonly kind: 'tokens'; bounds(binding: Binding): TokenBounds | null };

type KeyedChoice = Extract<PartitionChoice, { kind: 'keys' }>;

/** All combinations of one value of each column. */
function product(choices: readonly Uint8Array[][]): Uint8Array[][] {
  let keys: Uint8Array[][] = [[]];
  for (const values of choices) {
    keys = keys.flatMap((key) => values.map((value) => [...key, value]));
  }
  return keys;
}

function partitionByKeys(
  restrictions: readonly KeyRestriction[],
  keyColumns: readonly ColumnDef[],
): KeyedChoice {
  const byColumn = keyColumns.map((column) => {
    const restriction = restrictions.find((candidate) => candidate.columns.includes(column));
    return restriction as Exclude<KeyRestriction, { kind: 'slice' }>;
  });
  const isSingle = byColumn.every((restriction) => restriction.kind === 'eq');
  const checked = (values: Uint8Array[]): Uint8Array[] => {
    if (values.length === 1 && values[0].length === 0) throw invalidRequest('Key may not be empty');
    return values;
  };
  if (isSingle) {
    const terms = byColumn.map((r) => (r.kind === 'eq' ? r.values : null));
    if (terms.length === 1 && terms[0] !== null) {
      const [only] = terms;
      return {
        kind: 'keys',
        isSingle,
        isBounded: false,
        keys: (binding) => [checked(only(binding))],
      };
    }
    return {
      kind: 'keys',
      isSingle,
      isBounded: false,
      keys: (binding) => [checked(terms.flatMap((term) => term?.(binding) ?? []))],
    };
  }
  return {
    kind: 'keys',
    isSingle,
    isBounded: false,
    keys: (binding) =>
      product(
        byColumn.map((r) =>
          r.kind === 'eq' ? r.values(binding) : r.values(binding).map(([value]) => value),
        ),
      ).map(checked),
  };
}

type TokenBoundsOf = (binding: Binding) => TokenBounds | null;

function tokenBounds(
  restrictions: readonly TokenRestriction[],
  keyColumns: readonly ColumnDef[],
): TokenBoundsOf {
  const names = keyColumns.map((column) => column.name).join(', ');
  for (const lower of [true, false]) {
    const bounds = restrictions.filter((r) => r.operator !== '=' && isLower(r.operator) === lower);
    if (bounds.length > 1) {
      throw invalidRequest(
        `More than one restriction was found for the ${lower ? 'start' : 'end'} bound on ${names}`,
      );
    }
  }
  if (restrictions.length > 1 && restrictions.some((r) => r.operator === '=')) {
    throw invalidRequest(
      restrictions[0].operator === '='
        ? `${names} cannot be restricted by more than one relation if it includes an Equal`
        : `Columns "${names}" cannot be restricted by both an equality and an inequality relation`,
    );
  }
  return (binding) => {
    let lower: bigint | null = null;
    let upper: bigint | null = null;
    for (const { operator, value } of restrictions) {
      const token = value(binding);
      if (operator === '=') lower = upper = token;
      else if (operator === '>') lower = token + 1n;
      else if (operator === '>=') lower = token;
      else if (operator === '<') upper = token - 1n;
      else upper = token;
    }
    // As in Cassandra, the smallest token as an upper bound means the end of the ring.
    if (upper !== null && upper <= -(2n ** 63n)) upper = null;
    return lower !== null && upper !== null && lower > upper ? null : { lower, upper };
  };
}

/** Of the partitions given by key, those whose tokens are within the bounds. */
function withinBounds(choice: KeyedChoice, bounds: TokenBoundsOf): KeyedChoice {
  const isWithin = (values: readonly Uint8Array[], { lower, upper }: TokenBounds) => {
    const out = new Writer(64);
    serializePartitionKey(values, out);
    const token = murmur3Token(out.view());
    return (lower === null || token >= lower) && (upper === null || token <= upper);
  };
  return {
    ...choice,
    isBounded: true,
    keys: (binding) => {
      const within = bounds(binding);
      if (within === null) return [];
      return choice.keys(binding).filter((values) => isWithin(values, within));
    },
  };
}

/** How the partitions are found, and the restrictions that are left for filters. @throws CqlError Invalid */
export function partitionChoice(
  keyRestrictions: readonly KeyRestriction[],
  tokens: readonly TokenRestriction[],
  keyColumns: readonly ColumnDef[],
): { readonly choice: PartitionChoice; readonly left: readonly KeyRestriction[] } {
  const complete = keyColumns.every((column) =>
    keyRestrictions.some((r) => r.kind !== 'slice' && r.columns.includes(column)),
  );
  const bounds = tokens.length === 0 ? null : tokenBounds(tokens, keyColumns);
  if (complete) {
    const choice = partitionByKeys(keyRestrictions, keyColumns);
    return { choice: bounds === null ? choice : withinBounds(choice, bounds), left: [] };
  }
  const everything: TokenBoundsOf = () => ({ lower: null, upper: null });
  return { choice: { kind: 'tokens', bounds: bounds ?? everything }, left: keyRestrictions };
}
