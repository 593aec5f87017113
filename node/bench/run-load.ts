/** Runs load generators against a server. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BenchError, Client, type Endpoint } from './client.ts';
import type { LoadMode, LoadPlan, LoadResult } from './load-plan.ts';

const LOAD = fileURLToPath(new URL('./load.ts', import.meta.url));

export interface Target extends Endpoint {
  readonly pid: number;
}

/** A table that load generators can use. */
export interface BenchTable {
  readonly create: string;
  readonly insert: string;
  readonly select: string;
  readonly valueBytes: number;
}

const KEYSPACE = 'blast';
const ONE = 1;

/** One row of 100 bytes by its key. */
export const KEY_VALUE: BenchTable = {
  create: `CREATE TABLE IF NOT EXISTS ${KEYSPACE}.kv (k bigint PRIMARY KEY, v blob)`,
  insert: `INSERT INTO ${KEYSPACE}.kv (k, v) VALUES (?, ?)`,
  select: `SELECT v FROM ${KEYSPACE}.kv WHERE k = ?`,
  valueBytes: 100,
};

/** The same with rows of 1 KiB. */
export const LARGE_ROWS: BenchTable = {
  create: `CREATE TABLE IF NOT EXISTS ${KEYSPACE}.large (k bigint PRIMARY KEY, v blob)`,
  insert: `INSERT INTO ${KEYSPACE}.large (k, v) VALUES (?, ?)`,
  select: `SELECT v FROM ${KEYSPACE}.large WHERE k = ?`,
  valueBytes: 1024,
};

/** Small rows, each a partition. */
export const SMALL_PARTITIONS: BenchTable = {
  create: `CREATE TABLE IF NOT EXISTS ${KEYSPACE}.small (k bigint PRIMARY KEY, v int)`,
  insert: `INSERT INTO ${KEYSPACE}.small (k, v) VALUES (?, ?)`,
  select: `SELECT k, v FROM ${KEYSPACE}.small`,
  valueBytes: 4,
};

/** Small rows, all in one partition. */
export const WIDE_PARTITION: BenchTable = {
  create: `CREATE TABLE IF NOT EXISTS ${KEYSPACE}.wide (p int, c bigint, v int, PRIMARY KEY (p, c))`,
  insert: `INSERT INTO ${KEYSPACE}.wide (p, c, v) VALUES (1, ?, ?)`,
  select: `SELECT c, v FROM ${KEYSPACE}.wide WHERE p = 1`,
  valueBytes: 4,
};

/** @throws BenchError */
export async function createTables(
  at: Endpoint,
  tables: readonly BenchTable[],
  replicas = 1,
): Promise<void> {
  const client = await Client.connect(at);
  await client.query(
    `CREATE KEYSPACE IF NOT EXISTS ${KEYSPACE} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': ${replicas}}`,
  );
  for (const table of tables) await client.query(table.create);
  client.close();
}

export interface LoadOptions {
  readonly rows: number;
  readonly inFlight?: number;
  readonly connections?: number;
  readonly warmSeconds?: number;
  readonly seconds?: number;
  readonly rate?: number;
  readonly pageRows?: number;
  /** By its number in the protocol; not given: ONE. */
  readonly consistency?: number;
}

/** @throws BenchError if the load generator fails, or any request in it other than by Overloaded */
export async function runLoad(
  target: Target,
  mode: LoadMode,
  table: BenchTable,
  options: LoadOptions,
): Promise<LoadResult> {
  const plan: LoadPlan = {
    host: target.host,
    port: target.port,
    pid: target.pid,
    mode,
    insert: table.insert,
    select: table.select,
    valueBytes: table.valueBytes,
    rows: options.rows,
    inFlight: options.inFlight ?? 256,
    connections: options.connections ?? 8,
    warmSeconds: options.warmSeconds ?? 0,
    seconds: options.seconds ?? 0,
    rate: options.rate ?? 0,
    pageRows: options.pageRows ?? 5000,
    consistency: options.consistency ?? ONE,
  };
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', LOAD, JSON.stringify(plan)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (code !== 0) throw new BenchError(`the load generator ended with ${code}`);
  const result = JSON.parse(text) as LoadResult;
  if (result.errors > result.overloaded) throw new BenchError(`${mode}: ${result.firstError}`);
  return result;
}
