/** What must hold of a history or of the nodes afterwards. Each checker gives what is wrong, in words; nothing: all is well. */
import type { Operation } from './history.ts';

/** Of a register with client timestamps: the write that wins is the one with the greatest, as in Cassandra. */
export type RegisterInput =
  | { readonly kind: 'read' }
  /** `value` null: a delete. Timestamps are unique for a key. */
  | { readonly kind: 'write'; readonly value: string | null; readonly timestamp: number };
/** Of a read: the value and its WRITETIME; null: nothing there. */
export interface RegisterOutput {
  readonly read?: { readonly value: string; readonly timestamp: number } | null;
}
type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

interface KnownWrite {
  readonly value: string | null;
  readonly timestamp: number;
  readonly call: number;
  readonly end: number;
}

const NEVER = Number.NEGATIVE_INFINITY;

function writesOf(operations: readonly RegisterOperation[]): KnownWrite[] {
  return operations.flatMap(({ input, outcome, call, end }) =>
    input.kind === 'write' && outcome !== 'failed'
      ? [{ value: input.value, timestamp: input.timestamp, call, end }]
      : [],
  );
}

/**
 * Reads and writes of one key at QUORUM: no acknowledged write is lost, nothing is read that was not written, and no read
 * goes back behind one that ended before it began.
 * @param isMonotonic false: a write that was not acknowledged may be seen and then not be seen
 */
export function checkRegister(
  key: string,
  operations: readonly RegisterOperation[],
  isMonotonic = true,
): string[] {
  const problems: string[] = [];
  const writes = writesOf(operations);
  const reads = operations
    .filter(({ input, outcome }) => input.kind === 'read' && outcome === 'ok')
    .sort((a, b) => a.end - b.end);
  const seen: { end: number; timestamp: number }[] = [];
  for (const { call, end, output } of reads) {
    const read = output?.read ?? null;
    const acknowledged = writes
      .filter((write) => write.end < call)
      .reduce((latest, { timestamp }) => Math.max(latest, timestamp), NEVER);
    const before = seen
      .filter((other) => other.end < call)
      .reduce((latest, { timestamp }) => Math.max(latest, timestamp), NEVER);
    const least = Math.max(acknowledged, before);
    const timestamp = read?.timestamp ?? deletionAt(writes, least, end);
    const what = `${key}: a read (${call}..${end}) of ${JSON.stringify(read)}`;
    if (read !== null && !wasWritten(writes, read, end)) problems.push(`${what} was never written`);
    if (timestamp < acknowledged) problems.push(`${what} lost the write of ${acknowledged}`);
    else if (timestamp < before) problems.push(`${what} came after one of ${before}`);
    if (isMonotonic) seen.push({ end, timestamp });
  }
  return problems;
}

function wasWritten(
  writes: readonly KnownWrite[],
  read: { readonly value: string; readonly timestamp: number },
  end: number,
): boolean {
  return writes.some(
    ({ value, timestamp, call }) =>
      value === read.value && timestamp === read.timestamp && call < end,
  );
}

/** The timestamp that finding nothing may stand for: any deletion that was called explains it. */
function deletionAt(writes: readonly KnownWrite[], least: number, end: number): number {
  const deleted = writes.some(
    ({ value, timestamp, call }) => value === null && timestamp >= least && call < end,
  );
  return deleted ? least : NEVER;
}

export type CounterInput =
  | { readonly kind: 'read' }
  | { readonly kind: 'add'; readonly delta: number };
/** Of a read: the counter. */
export interface CounterOutput {
  readonly value?: number;
}

/**
 * One counter, reads at QUORUM or after everything has come to rest: each read is the sum of all increments acknowledged
 * before it and of some of those that were going on or whose outcome is not known. None counts twice.
 */
export function checkCounter(
  key: string,
  operations: readonly Operation<CounterInput, CounterOutput>[],
): string[] {
  const adds = operations.flatMap(({ input, outcome, call, end }) =>
    input.kind === 'add' && outcome !== 'failed' ? [{ delta: input.delta, call, end }] : [],
  );
  const problems: string[] = [];
  for (const { input, outcome, output, call, end } of operations) {
    if (input.kind !== 'read' || outcome !== 'ok') continue;
    const certain = adds.filter((add) => add.end < call);
    const possible = adds.filter((add) => add.end >= call && add.call < end);
    const sum = certain.reduce((total, { delta }) => total + delta, 0);
    const extra = (output?.value ?? 0) - sum;
    if (!isSumOfSome(possible, extra)) {
      problems.push(
        `${key}: a read (${call}..${end}) of ${output?.value ?? 0}; ${sum} were acknowledged, ` +
          `${possible.map(({ delta }) => delta).join(', ') || 'none'} may have been added`,
      );
    }
  }
  return problems;
}

function isSumOfSome(possible: readonly { readonly delta: number }[], wanted: number): boolean {
  let sums = new Set([0]);
  for (const { delta } of possible) {
    const next = new Set(sums);
    for (const sum of sums) next.add(sum + delta);
    sums = next;
  }
  return sums.has(wanted);
}

/** What one replica holds: canonical bytes, as any text, by key. */
export interface ReplicaContents {
  readonly name: string;
  readonly entries: ReadonlyMap<string, string>;
}

/** @param ownersOf names of the replicas that must hold a key, all the same */
export function checkConvergence(
  replicas: readonly ReplicaContents[],
  ownersOf: (key: string) => readonly string[],
): string[] {
  const problems: string[] = [];
  const keys = new Set(replicas.flatMap(({ entries }) => [...entries.keys()]));
  for (const key of [...keys].sort()) {
    const owners = new Set(ownersOf(key));
    const held = replicas
      .filter(({ name }) => owners.has(name))
      .map(({ name, entries }) => ({ name, value: entries.get(key) ?? 'nothing' }));
    if (new Set(held.map(({ value }) => value)).size <= 1) continue;
    problems.push(`${key}: ${held.map(({ name, value }) => `${name} has ${value}`).join(', ')}`);
  }
  return problems;
}

/** A logged batch, and which of its parts were found in the end. */
export interface BatchOutcome {
  readonly name: string;
  readonly acknowledged: boolean;
  readonly parts: readonly boolean[];
}

/** All or nothing, and all if it was acknowledged. */
export function checkBatches(batches: readonly BatchOutcome[]): string[] {
  return batches.flatMap(({ name, acknowledged, parts }) => {
    const found = parts.filter((part) => part).length;
    if (found === parts.length || (found === 0 && !acknowledged)) return [];
    const what = acknowledged ? 'an acknowledged batch' : 'a batch';
    return [`${name}: ${what} with ${found} of ${parts.length} parts`];
  });
}

/** The logs of nodes, entries as any text by index: no two differ in what both have. */
export function checkLogs(logs: ReadonlyMap<string, ReadonlyMap<number, string>>): string[] {
  const problems: string[] = [];
  const first = new Map<number, { name: string; entry: string }>();
  for (const [name, log] of logs) {
    for (const [index, entry] of log) {
      const known = first.get(index);
      if (known === undefined) first.set(index, { name, entry });
      else if (known.entry !== entry) {
        problems.push(
          `entry ${index}: ${known.name} has ${known.entry}, ${name} has ${entry}: the log forked`,
        );
      }
    }
  }
  return problems;
}

/** All nodes say the same, such as the schema's version. */
export function checkAgreement(what: string, values: ReadonlyMap<string, string>): string[] {
  if (new Set(values.values()).size <= 1) return [];
  return [`${what}: ${[...values].map(([name, value]) => `${name} has ${value}`).join(', ')}`];
}
