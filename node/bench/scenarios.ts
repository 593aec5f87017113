/** What is measured, each as a function that starts what it needs and adds its lines to the report. */
import type { LoadMode, LoadResult } from './load-plan.ts';
import { cpuSecondsOf, residentMib } from './process-facts.ts';
import { capabilityLine, median, type Report, ratio } from './report.ts';
import {
  type BenchTable,
  createTables,
  KEY_VALUE,
  runLoad,
  SMALL_PARTITIONS,
  type Target,
  WIDE_PARTITION,
} from './run-load.ts';
import { type BenchServer, removeDirectory, startServer, temporaryDirectory } from './server.ts';

export interface BenchOptions {
  /** Of each measured run. */
  readonly seconds: number;
  /** Of load before each measured run. */
  readonly warmSeconds: number;
  /** Of load before all runs, where a server is measured that needs long until it is at its best. */
  readonly warmUpSeconds: number;
  /** Runs of each kind, of which the median counts. */
  readonly repeats: number;
  readonly rows: number;
  readonly scanRows: number;
  readonly connections: number;
  readonly startRepeats: number;
  /** Where temporary data goes; empty: where temporary files belong. */
  readonly directory: string;
}

export const MODES = ['write', 'read', 'mixed'] as const satisfies readonly LoadMode[];
/** Requests a second of the runs at a fixed rate. */
export const FIXED_RATE = 10_000;
const IDLE_SECONDS = 2;

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Runs a node of ours for as long as `run` takes, in a directory that is removed then. */
export async function withServer<T>(
  options: BenchOptions,
  flags: Readonly<Record<string, string>>,
  run: (server: BenchServer) => Promise<T>,
): Promise<T> {
  const dataDirectory = temporaryDirectory(options.directory);
  const server = await startServer({ dataDirectory, flags });
  try {
    return await run(server);
  } finally {
    await server.stop();
    removeDirectory(dataDirectory);
  }
}

export function runOne(
  target: Target,
  mode: LoadMode,
  options: BenchOptions,
  rate = 0,
): Promise<LoadResult> {
  return runLoad(target, mode, KEY_VALUE, {
    rows: options.rows,
    connections: options.connections,
    warmSeconds: options.warmSeconds,
    seconds: options.seconds,
    rate,
    // Enough that a pause of 200 ms does not hold the sender back.
    inFlight: rate === 0 ? 256 : 2048,
  });
}

/** Creates the table and writes each key once. */
export async function prepareTable(target: Target, options: BenchOptions): Promise<void> {
  await createTables(target, [KEY_VALUE]);
  await runLoad(target, 'fill', KEY_VALUE, {
    rows: options.rows,
    connections: options.connections,
  });
}

async function repeat(count: number, run: () => Promise<LoadResult>): Promise<LoadResult[]> {
  const results: LoadResult[] = [];
  for (let i = 0; i < count; i++) results.push(await run());
  return results;
}

/** Writes, reads, both; both at a fixed rate; memory. Mode periodic. */
export async function measureCapability(report: Report, options: BenchOptions): Promise<void> {
  await withServer(options, { 'commitlog-sync': 'periodic' }, async (server) => {
    await sleep(IDLE_SECONDS);
    const idle = residentMib(server.pid).now;
    const cpu = cpuSecondsOf(server.pid);
    await sleep(IDLE_SECONDS);
    const idleCpu = ratio(cpuSecondsOf(server.pid) - cpu, IDLE_SECONDS);
    await prepareTable(server, options);
    for (const mode of MODES) {
      const runs = await repeat(options.repeats, () => runOne(server, mode, options));
      report.add(capabilityLine(`${mode}, 256 in flight, periodic`, runs));
    }
    const paced = await repeat(options.repeats, () => runOne(server, 'mixed', options, FIXED_RATE));
    report.add(capabilityLine(`mixed, ${FIXED_RATE} op/s, periodic`, paced));
    const loaded = residentMib(server.pid);
    report.add({
      name: 'memory',
      figures: {
        'idle MiB': idle,
        'loaded MiB': loaded.now,
        'peak MiB': loaded.peak,
        'idle cpu': idleCpu,
      },
    });
  });
}

/** The same load in mode periodic and in mode group, in turns. */
export async function measureGroup(report: Report, options: BenchOptions): Promise<void> {
  await withServer(options, { 'commitlog-sync': 'periodic' }, (periodic) =>
    withServer(options, { 'commitlog-sync': 'group' }, async (group) => {
      for (const server of [periodic, group]) await prepareTable(server, options);
      for (const mode of ['write', 'mixed'] as const) {
        const pairs: [LoadResult, LoadResult][] = [];
        for (let i = 0; i < options.repeats; i++) {
          pairs.push([await runOne(periodic, mode, options), await runOne(group, mode, options)]);
        }
        report.add(
          capabilityLine(
            `${mode}, 256 in flight, group`,
            pairs.map(([, one]) => one),
          ),
        );
        report.add({
          name: `${mode}, group : periodic`,
          figures: {
            'ops/s': median(pairs.map(([p, g]) => ratio(g.perSecond, p.perSecond))),
            'ops/cpu-s': median(pairs.map(([p, g]) => ratio(g.perCpuSecond, p.perCpuSecond))),
          },
        });
      }
    }),
  );
}

/** All rows of a table, page by page, over one connection. */
export async function measureScans(report: Report, options: BenchOptions): Promise<void> {
  const tables: readonly (readonly [string, BenchTable])[] = [
    ['of small partitions', SMALL_PARTITIONS],
    ['of a wide partition', WIDE_PARTITION],
  ];
  await withServer(options, { 'commitlog-sync': 'periodic' }, async (server) => {
    await createTables(
      server,
      tables.map(([, table]) => table),
    );
    for (const [name, table] of tables) {
      await runLoad(server, 'fill', table, { rows: options.scanRows });
      const runs = await repeat(options.repeats, () =>
        runLoad(server, 'scan', table, { rows: options.scanRows }),
      );
      report.add({
        name: `scan ${name}`,
        figures: {
          rows: runs[0].operations,
          'rows/cpu-s': median(runs.map((run) => run.perCpuSecond)),
          best: Math.max(...runs.map((run) => run.perCpuSecond)),
          'rows/s': median(runs.map((run) => run.perSecond)),
          'page p50 ms': median(runs.map((run) => run.p50Millis)),
          'page p99 ms': median(runs.map((run) => run.p99Millis)),
        },
      });
    }
  });
}

/** From launch to the first answer: with nothing there, then again. */
export async function measureStart(report: Report, options: BenchOptions): Promise<void> {
  const dataDirectory = temporaryDirectory(options.directory);
  const compileCache = temporaryDirectory(options.directory);
  const starts: BenchServer[] = [];
  for (let i = 0; i < 1 + options.startRepeats; i++) {
    const server = await startServer({ dataDirectory, compileCache });
    starts.push(server);
    await server.stop();
  }
  const [first, ...later] = starts;
  report.add({
    name: 'first start: nothing compiled',
    figures: { 'ms to answer': first.startMillis, 'cpu s': first.startCpuSeconds },
  });
  report.add({
    name: 'later starts',
    figures: {
      'ms to answer': median(later.map((one) => one.startMillis)),
      'cpu s': median(later.map((one) => one.startCpuSeconds)),
    },
  });
  removeDirectory(dataDirectory);
  removeDirectory(compileCache);
}
