/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';
import { BenchError } from './client.ts';
import type { Target } from './run-load.ts';
import type { BenchOptions } from './scenarios.ts';

export const SCENARIOS = [
  'start',
  'capability',
  'group',
  'cores',
  'scan',
  'large',
  'streaming',
] as const;
/** Not part of a run that names none. */
const BY_NAME: ReadonlySet<Scenario> = new Set(['streaming']);
export type Scenario = (typeof SCENARIOS)[number];

export const USAGE = `npm run bench -- [options]
  --quick                  short runs, fewer rows, no table larger than memory
  --only NAME,NAME         some of: ${SCENARIOS.join(', ')}
  --seconds N              of each measured run
  --warm N                 seconds of each run that are not measured
  --repeats N              runs of each kind; the median and the best are printed
  --rows N                 distinct keys
  --scan-rows N            rows of the tables that are scanned
  --connections N          connections of the load generator
  --large GIB              size of the table larger than memory
  --streaming GIB          size of the table of which half moves to a second node
  --nodes N                what replication costs in a cluster of N nodes on this machine, and nothing else
  --cassandra HOST:PORT    measures a running Cassandra and Ilion in turns, and nothing else
  --pid N                  process of that Cassandra, for its CPU time
  --warm-up N              seconds of mixed load that each of the two gets before anything is measured
  --directory PATH         where temporary data goes
  --out FILE               where the figures go as JSON`;

export interface BenchArguments {
  readonly scenarios: ReadonlySet<Scenario>;
  readonly options: BenchOptions;
  readonly largeGib: number;
  readonly streamingGib: number;
  /** Null: no cluster is measured. */
  readonly nodes: number | null;
  readonly cassandra: Target | null;
  readonly out: string | null;
  readonly wantsHelp: boolean;
}

const FLAGS = {
  quick: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
  only: { type: 'string' },
  seconds: { type: 'string' },
  warm: { type: 'string' },
  'warm-up': { type: 'string' },
  repeats: { type: 'string' },
  rows: { type: 'string' },
  'scan-rows': { type: 'string' },
  connections: { type: 'string' },
  large: { type: 'string' },
  streaming: { type: 'string' },
  nodes: { type: 'string' },
  cassandra: { type: 'string' },
  pid: { type: 'string' },
  directory: { type: 'string', default: '' },
  out: { type: 'string' },
} as const;

function toNumber(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value > 0)) throw new BenchError(`--${name} needs a number above 0, not '${text}'`);
  return value;
}

function toScenarios(only: string | undefined, quick: boolean): ReadonlySet<Scenario> {
  if (only === undefined) {
    return new Set(SCENARIOS.filter((name) => !BY_NAME.has(name) && !(quick && name === 'large')));
  }
  return new Set(
    only.split(',').map((wanted) => {
      const found = SCENARIOS.find((name) => name === wanted);
      if (found === undefined) throw new BenchError(`--only: there is no '${wanted}'`);
      return found;
    }),
  );
}

function toNodes(text: string | undefined): number | null {
  if (text === undefined) return null;
  const nodes = Number(text);
  if (!Number.isInteger(nodes) || nodes < 2 || nodes > 9) {
    throw new BenchError(`--nodes needs a number from 2 to 9, not '${text}'`);
  }
  return nodes;
}

function toTarget(cassandra: string | undefined, pid: string | undefined): Target | null {
  if (cassandra === undefined) return null;
  const [, host, port] = /^(.+):(\d+)$/.exec(cassandra) ?? [];
  if (host === undefined || pid === undefined) {
    throw new BenchError('--cassandra HOST:PORT needs --pid N too');
  }
  return { host, port: Number(port), pid: toNumber('pid', pid, 0) };
}

/** @throws BenchError, TypeError of an unknown flag */
export function parseBenchArguments(args: readonly string[]): BenchArguments {
  const { values } = parseArgs({ args: [...args], options: FLAGS, strict: true });
  const { quick } = values;
  const number = (
    name:
      | 'seconds'
      | 'warm'
      | 'warm-up'
      | 'repeats'
      | 'rows'
      | 'scan-rows'
      | 'connections'
      | 'large'
      | 'streaming',
    short: number,
    long: number,
  ) => toNumber(name, values[name], quick ? short : long);
  return {
    scenarios: toScenarios(values.only, quick),
    options: {
      seconds: number('seconds', 1, 8),
      warmSeconds: number('warm', 0.5, 3),
      warmUpSeconds: number('warm-up', 1, 60),
      repeats: number('repeats', 1, 3),
      rows: number('rows', 20_000, 1_000_000),
      scanRows: number('scan-rows', 20_000, 1_000_000),
      connections: number('connections', 8, 8),
      startRepeats: quick ? 1 : 5,
      directory: values.directory,
    },
    largeGib: number('large', 4, 4),
    streamingGib: number('streaming', 0.25, 4),
    nodes: toNodes(values.nodes),
    cassandra: toTarget(values.cassandra, values.pid),
    out: values.out ?? null,
    wantsHelp: values.help,
  };
}
