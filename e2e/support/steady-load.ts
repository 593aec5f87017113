/** Reads and writes at QUORUM that go on while a test does something to the cluster, and what they saw. */
import assert from 'node:assert/strict';
import cassandra from 'cassandra-driver';

const { consistencies } = cassandra.types;

export interface LoadReport {
  /** Keys and their last acknowledged values. */
  readonly written: ReadonlyMap<number, number>;
  /** And the last that were tried. */
  readonly tried: ReadonlyMap<number, number>;
  readonly requests: number;
  readonly failures: readonly string[];
}

/** Of the requests since the lap before. */
export interface Lap {
  readonly requests: number;
  readonly seconds: number;
  /** Milliseconds of one request. */
  readonly p50: number;
  readonly p99: number;
}

export interface SteadyLoad {
  lap(): Lap;
  /** Of all that has been. */
  soFar(): { readonly requests: number; readonly failures: readonly string[] };
  stop(): Promise<LoadReport>;
}

export interface LoadOptions {
  readonly client: cassandra.Client;
  /** `k int PRIMARY KEY, v int, filler blob`. */
  readonly table: string;
  readonly writers: number;
  /** Keys of each writer, written again and again. */
  readonly keys: number;
  /** Each writer waits so long between two requests. */
  readonly pauseMillis: number;
  /** Whether requests may fail now, such as while two of three replicas are down. Not given: never. */
  isExcused?(): boolean;
}

function lapOf(millis: readonly number[], seconds: number): Lap {
  const sorted = Float64Array.from(millis).sort();
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
  return { requests: millis.length, seconds, p50: at(0.5), p99: at(0.99) };
}

/**
 * Each writer has keys of its own, so it knows what each must be: at least what was acknowledged last, at most what was
 * tried last.
 */
export function startLoad(load: LoadOptions): SteadyLoad {
  const { client, table, writers, keys, pauseMillis } = load;
  const written = new Map<number, number>();
  const tried = new Map<number, number>();
  const failures: string[] = [];
  let millis: number[] = [];
  let lapBegan = performance.now();
  let requests = 0;
  let going = true;
  const options = { prepare: true, isIdempotent: true, consistency: consistencies.quorum };
  const filler = Buffer.alloc(200, 7);
  const timed = async <T>(run: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    try {
      return await run();
    } finally {
      requests++;
      millis.push(performance.now() - began);
    }
  };
  const writer = async (number: number) => {
    for (let round = 1; going; round++) {
      const k = number * keys + (round % keys);
      const before = written.get(k) ?? null;
      tried.set(k, round);
      await new Promise((resolve) => setTimeout(resolve, pauseMillis));
      try {
        const insert = `INSERT INTO ${table} (k, v, filler) VALUES (?, ?, ?)`;
        await timed(() => client.execute(insert, [k, round, filler], options));
        written.set(k, round);
        const select = `SELECT v FROM ${table} WHERE k = ?`;
        const row = (await timed(() => client.execute(select, [k], options))).first();
        if (row?.['v'] !== round) failures.push(`key ${k} reads ${row?.['v']}, not ${round}`);
      } catch (error) {
        if (load.isExcused?.() === true) continue;
        const reason = error instanceof Error ? error.message : String(error);
        failures.push(`${new Date().toISOString()} key ${k} (${before}): ${reason}`);
      }
    }
  };
  const all = Array.from({ length: writers }, (_, i) => writer(i));
  const lap = () => {
    const now = performance.now();
    const result = lapOf(millis, (now - lapBegan) / 1000);
    millis = [];
    lapBegan = now;
    return result;
  };
  return {
    lap,
    soFar: () => ({ requests, failures: [...failures] }),
    stop: async () => {
      going = false;
      await Promise.all(all);
      return { written, tried, requests, failures };
    },
  };
}

/** Every acknowledged write is read, by a quorum. */
export async function requireWritten(
  client: cassandra.Client,
  table: string,
  written: ReadonlyMap<number, number>,
  consistency: number = consistencies.quorum,
): Promise<void> {
  for (const [k, v] of written) {
    const options = { prepare: true, consistency };
    const row = (await client.execute(`SELECT v FROM ${table} WHERE k = ?`, [k], options)).first();
    assert.equal(row?.['v'], v, `key ${k}`);
  }
}
