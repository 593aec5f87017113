/** What replication costs: a cluster on this machine, its load on one coordinator, CPU by role, beside a lone node. */
import { join } from 'node:path';
import type { LoadResult } from './load-plan.ts';
import { cpuSecondsOf } from './process-facts.ts';
import { median, type Report, ratio } from './report.ts';
import { createTables, KEY_VALUE, runLoad } from './run-load.ts';
import { type BenchOptions, MODES } from './scenarios.ts';
import { type BenchServer, removeDirectory, startServer, temporaryDirectory } from './server.ts';

const LEVELS = [
  ['ONE', 1],
  ['QUORUM', 4],
] as const;
const FLAGS = { workers: '1', shards: '1', 'commitlog-sync': 'periodic' } as const;
const CONTROL_PORT = 7000;
const MICROS = 1e6;

/** Addresses that other clusters of this machine hardly have. */
function addressOf(index: number): string {
  return `127.${200 + (process.pid % 50)}.${(process.pid >> 8) % 250}.${index + 1}`;
}

interface Run {
  readonly load: LoadResult;
  /** CPU seconds of each node. */
  readonly cpu: readonly number[];
}

async function startNodes(directory: string, count: number): Promise<BenchServer[]> {
  const nodes: BenchServer[] = [];
  for (let index = 0; index < count; index++) {
    const host = addressOf(index);
    const cluster = { 'listen-address': host, seeds: `${addressOf(0)}:${CONTROL_PORT}` };
    nodes.push(
      await startServer({
        dataDirectory: join(directory, `n${index + 1}`),
        host,
        flags: count === 1 ? FLAGS : { ...FLAGS, ...cluster },
      }),
    );
  }
  return nodes;
}

async function measure(
  nodes: readonly BenchServer[],
  mode: (typeof MODES)[number],
  consistency: number,
  options: BenchOptions,
): Promise<Run> {
  const { rows, connections, seconds, warmSeconds } = options;
  const load = { rows, connections, consistency };
  await runLoad(nodes[0], mode, KEY_VALUE, { ...load, seconds: warmSeconds });
  const before = nodes.map(({ pid }) => cpuSecondsOf(pid));
  const result = await runLoad(nodes[0], mode, KEY_VALUE, { ...load, seconds });
  return { load: result, cpu: nodes.map(({ pid }, i) => cpuSecondsOf(pid) - before[i]) };
}

/** @param lone CPU microseconds of the same request to a lone node; null: this is it @returns those of all nodes */
function addLine(report: Report, name: string, runs: readonly Run[], lone: number | null): number {
  const of = (pick: (run: Run) => number) => median(runs.map(pick));
  const micros = (pick: (cpu: readonly number[]) => number) =>
    of(({ load, cpu }) => (pick(cpu) * MICROS) / load.operations);
  const all = micros((cpu) => cpu.reduce((sum, one) => sum + one, 0));
  const copies = runs[0].cpu.length;
  report.add({
    name,
    figures: {
      'ops/s': of(({ load }) => load.perSecond),
      'p50 ms': of(({ load }) => load.p50Millis),
      'p99 ms': of(({ load }) => load.p99Millis),
      'coord us/op': micros(([coordinator]) => coordinator),
      'replica us/op':
        copies === 1
          ? 0
          : micros(([, ...rest]) => rest.reduce((sum, one) => sum + one, 0) / rest.length),
      'sum us/op': all,
      'per copy : lone': lone === null ? 1 : ratio(all / copies, lone),
    },
  });
  return all;
}

/** @param count nodes, which is also the replication factor */
export async function measureCluster(
  report: Report,
  options: BenchOptions,
  count: number,
): Promise<void> {
  const lone = new Map<string, number>();
  for (const size of [1, count]) {
    const directory = temporaryDirectory(options.directory);
    const nodes = await startNodes(directory, size);
    try {
      await createTables(nodes[0], [KEY_VALUE], size);
      const { rows, connections } = options;
      await runLoad(nodes[0], 'fill', KEY_VALUE, { rows, connections });
      for (const mode of MODES) {
        for (const [level, consistency] of size === 1 ? LEVELS.slice(0, 1) : LEVELS) {
          const runs: Run[] = [];
          for (let i = 0; i < options.repeats; i++) {
            runs.push(await measure(nodes, mode, consistency, options));
          }
          const name = size === 1 ? `${mode}, a lone node` : `${mode}, ${size} nodes, ${level}`;
          const micros = addLine(report, name, runs, lone.get(mode) ?? null);
          if (size === 1) lone.set(mode, micros);
        }
      }
    } finally {
      await Promise.all(nodes.map((node) => node.stop()));
      removeDirectory(directory);
    }
  }
}
