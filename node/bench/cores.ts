/** What a second core is worth: writes of nodes of 1 and of 2 workers and shards, in turns. */
import { spawnSync } from 'node:child_process';
import { BenchError } from './client.ts';
import type { LoadResult } from './load-plan.ts';
import { capabilityLine, median, type Report, ratio } from './report.ts';
import type { Target } from './run-load.ts';
import { type BenchOptions, prepareTable, runOne, withServer } from './scenarios.ts';

/** With few connections the kernel may give all of them to one of the workers. */
const CONNECTIONS = 32;

/** Keeps a process to the first core. Threads that it starts later inherit that. @throws BenchError */
function keepToOneCore(pid: number): void {
  const { status } = spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', '0', String(pid)]);
  if (status !== 0) throw new BenchError('cores: a process cannot be kept to one core by taskset');
}

const flags = (count: string) => ({ 'commitlog-sync': 'periodic', workers: count, shards: count });

/**
 * Three nodes: one worker and shard kept to one core, the same on all cores (its writer and background threads may use
 * another one), two workers and shards on all cores. The load generator is on any core and takes its part of them.
 */
export async function measureCores(report: Report, given: BenchOptions): Promise<void> {
  const options = { ...given, connections: CONNECTIONS };
  await withServer(options, flags('1'), (kept) =>
    withServer(options, flags('1'), (one) =>
      withServer(options, flags('2'), async (two) => {
        keepToOneCore(kept.pid);
        await measure(report, options, [
          { name: '1 worker, kept to 1 core', target: kept },
          { name: '1 worker', target: one },
          { name: '2 workers', target: two },
        ]);
      }),
    ),
  );
}

interface Contender {
  readonly name: string;
  readonly target: Target;
}

/** @param contenders the last one is what ratios are of */
async function measure(
  report: Report,
  options: BenchOptions,
  contenders: readonly Contender[],
): Promise<void> {
  for (const { target } of contenders) await prepareTable(target, options);
  const turns: LoadResult[][] = [];
  for (let i = 0; i < options.repeats; i++) {
    const turn: LoadResult[] = [];
    for (const { target } of contenders) turn.push(await runOne(target, 'write', options));
    turns.push(turn);
  }
  for (const [i, { name }] of contenders.entries()) {
    report.add(
      capabilityLine(
        `write, ${name}`,
        turns.map((turn) => turn[i]),
      ),
    );
  }
  const last = contenders.length - 1;
  for (const [i, { name }] of contenders.slice(0, last).entries()) {
    const of = (pick: (run: LoadResult) => number) =>
      median(turns.map((turn) => ratio(pick(turn[last]), pick(turn[i]))));
    report.add({
      name: `write, ${contenders[last].name} : ${name}`,
      figures: {
        'ops/s': of((run) => run.perSecond),
        'ops/cpu-s': of((run) => run.perCpuSecond),
        'server cpu': of((run) => run.serverCpuSeconds / run.seconds),
        p99: of((run) => run.p99Millis),
      },
    });
  }
}
