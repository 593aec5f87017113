/** What clients asked for and were told, in the order in which it happened: what the checkers judge. */

/**
 * ok: done, with an output. failed: certainly not done. unknown: a timeout, or a lost connection: it may happen at any
 * time after the call, or never.
 */
export type Outcome = 'ok' | 'failed' | 'unknown';

export interface Operation<Input = unknown, Output = unknown> {
  readonly client: number;
  readonly key: string;
  readonly input: Input;
  /** Undefined unless `ok`. */
  readonly output: Output | undefined;
  readonly outcome: Outcome;
  /** Places in the order of all calls and returns of the history. */
  readonly call: number;
  /** Infinity: never returned. */
  readonly end: number;
}

/** An operation that was called. Only the first of `ok`, `failed` and `unknown` counts; without one it is unknown. */
export interface OpenOperation<Output> {
  ok(output: Output): void;
  failed(): void;
  unknown(): void;
}

interface Entry {
  readonly client: number;
  readonly key: string;
  readonly input: unknown;
  readonly call: number;
  end: number;
  output: unknown;
  outcome: Outcome;
}

export class History {
  private readonly entries = new Map<string, Entry[]>();
  private clock = 0;

  /** @param kind what sort of operation: each is judged on its own */
  begin<Output>(kind: string, client: number, key: string, input: unknown): OpenOperation<Output> {
    const entry: Entry = {
      client,
      key,
      input,
      call: this.clock++,
      end: Number.POSITIVE_INFINITY,
      output: undefined,
      outcome: 'unknown',
    };
    const known = this.entries.get(kind);
    if (known === undefined) this.entries.set(kind, [entry]);
    else known.push(entry);
    let open = true;
    const end = (outcome: Outcome, output: unknown): void => {
      if (!open) return;
      open = false;
      entry.outcome = outcome;
      entry.output = output;
      const time = this.clock++;
      // What is unknown may still happen later.
      if (outcome !== 'unknown') entry.end = time;
    };
    return {
      ok: (output) => end('ok', output),
      failed: () => end('failed', undefined),
      unknown: () => end('unknown', undefined),
    };
  }

  /** Of one kind, by key. The types are those that were given to `begin`. */
  byKey<Input, Output>(kind: string): Map<string, Operation<Input, Output>[]> {
    const keys = new Map<string, Operation<Input, Output>[]>();
    for (const entry of this.entries.get(kind) ?? []) {
      const operation = entry as Operation<Input, Output>;
      const known = keys.get(entry.key);
      if (known === undefined) keys.set(entry.key, [operation]);
      else known.push(operation);
    }
    return keys;
  }

  /** One line for each operation on a key, in the order of the calls, of whatever kind. */
  lines(key: string): string[] {
    return [...this.entries.values()]
      .flat()
      .filter((entry) => entry.key === key)
      .sort((a, b) => a.call - b.call)
      .map(
        ({ client, input, call, end, outcome, output }) =>
          `${call}..${end} client ${client} ${JSON.stringify(input)} ${outcome} ${JSON.stringify(output) ?? ''}`,
      );
  }

  /** How many of one kind ended in each way. */
  outcomes(kind: string): Readonly<Record<Outcome, number>> {
    const counts = { ok: 0, failed: 0, unknown: 0 };
    for (const { outcome } of this.entries.get(kind) ?? []) counts[outcome]++;
    return counts;
  }
}
