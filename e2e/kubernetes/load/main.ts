/**
 * An application in a pod: an unmodified driver that finds the cluster by the name of its Service, makes a keyspace and a
 * table, reads and writes at QUORUM for as long as it lives, and answers over HTTP:
 *
 *     GET /phase    what has been since the last time, as PhaseReport
 *     GET /end      ends the load, reads all that was acknowledged, and answers with an EndReport
 *
 * Environment: LOAD_CONTACT, LOAD_DATACENTER, LOAD_REPLICAS, LOAD_PORT, LOAD_PAUSE_MILLIS.
 */
import { createServer } from 'node:http';
import cassandra from 'cassandra-driver';
import { type LoadReport, type SteadyLoad, startLoad } from '../../support/steady-load.ts';

const WRITERS = 4;
const KEYS = 300;
const READS_AT_ONCE = 16;
const CONNECT_MILLIS = 60_000;
const TABLE = 'load.rows';
const { consistencies } = cassandra.types;

export interface PhaseReport {
  readonly requests: number;
  /** One of each kind, the first, and how many there were until when. */
  readonly failures: readonly string[];
  readonly failureCount: number;
  /** Milliseconds of one request. */
  readonly p99: number;
}

export interface EndReport {
  readonly requests: number;
  readonly failureCount: number;
  /** Keys that were read, by a quorum. */
  readonly verified: number;
  /** What is neither what was acknowledged last nor what was tried after it. */
  readonly lost: readonly string[];
}

const KINDS_SHOWN = 10;
/** Of a failure's time. */
const TIME_CHARACTERS = 24;

function setting(name: string): string {
  const value = process.env[`LOAD_${name}`];
  if (value === undefined) throw new Error(`LOAD_${name} is not set`);
  return value;
}

/** Its Service has no address before the first node is ready. */
async function connect(): Promise<cassandra.Client> {
  for (const end = performance.now() + CONNECT_MILLIS; ; ) {
    const client = new cassandra.Client({
      contactPoints: [setting('CONTACT')],
      localDataCenter: setting('DATACENTER'),
    });
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client.shutdown();
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

async function makeTable(client: cassandra.Client): Promise<void> {
  const copies = `'${setting('DATACENTER')}': ${setting('REPLICAS')}`;
  await client.execute(
    `CREATE KEYSPACE load WITH replication = {'class': 'NetworkTopologyStrategy', ${copies}}`,
  );
  await client.execute(`CREATE TABLE ${TABLE} (k int PRIMARY KEY, v int, filler blob)`);
}

async function verify(
  client: cassandra.Client,
  { written, tried }: LoadReport,
): Promise<readonly string[]> {
  const left = [...written];
  const lost: string[] = [];
  const options = { prepare: true, isIdempotent: true, consistency: consistencies.quorum };
  const reader = async () => {
    for (let one = left.pop(); one !== undefined; one = left.pop()) {
      const [k, v] = one;
      const found = await client.execute(`SELECT v FROM ${TABLE} WHERE k = ?`, [k], options);
      const is = found.first()?.['v'];
      const last = tried.get(k) ?? v;
      if (!(is >= v && is <= last)) lost.push(`key ${k} is ${is}, not from ${v} to ${last}`);
    }
  };
  await Promise.all(Array.from({ length: READS_AT_ONCE }, reader));
  return lost;
}

/** Failures that differ in their numbers alone are of one kind. */
function kindsOf(failures: readonly string[]): readonly string[] {
  const kinds = new Map<string, { readonly first: string; last: string; count: number }>();
  for (const failure of failures) {
    const name = failure.replace(/\d+/g, '#');
    const kind = kinds.get(name) ?? { first: failure, last: failure, count: 0 };
    kind.last = failure;
    kind.count++;
    kinds.set(name, kind);
  }
  const shown = [...kinds.values()].slice(0, KINDS_SHOWN);
  return shown.map(({ first, last, count }) =>
    count === 1 ? first : `${first}; ${count} of them until ${last.slice(0, TIME_CHARACTERS)}`,
  );
}

function phases(load: SteadyLoad): () => PhaseReport {
  let before = { requests: 0, failures: 0 };
  return () => {
    const { requests, failures } = load.soFar();
    const fresh = failures.slice(before.failures);
    const report = {
      requests: requests - before.requests,
      failures: kindsOf(fresh),
      failureCount: fresh.length,
      p99: load.lap().p99,
    };
    before = { requests, failures: failures.length };
    return report;
  };
}

const client = await connect();
await makeTable(client);
const load = startLoad({
  client,
  table: TABLE,
  writers: WRITERS,
  keys: KEYS,
  pauseMillis: Number(setting('PAUSE_MILLIS')),
});
const phase = phases(load);

async function end(): Promise<EndReport> {
  const report = await load.stop();
  const { written, requests, failures } = report;
  const lost = await verify(client, report);
  return { requests, failureCount: failures.length, verified: written.size, lost };
}

const answers: Readonly<Record<string, () => PhaseReport | Promise<EndReport>>> = {
  '/phase': phase,
  '/end': end,
};
createServer(async (request, response) => {
  try {
    const answer = answers[request.url ?? ''];
    response.statusCode = answer === undefined ? 404 : 200;
    response.end(JSON.stringify((await answer?.()) ?? null));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error));
  }
}).listen(Number(setting('PORT')));
