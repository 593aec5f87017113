/** Ilion beside a Cassandra that runs already: the same load for both, in turns. */
import type { LoadMode, LoadResult } from './load-plan.ts';
import { cpuSecondsOf, residentMib } from './process-facts.ts';
import { capabilityLine, median, type Report, ratio } from './report.ts';
import type { Target } from './run-load.ts';
import {
  type BenchOptions,
  FIXED_RATE,
  MODES,
  prepareTable,
  runOne,
  withServer,
} from './scenarios.ts';

interface Both {
  readonly ours: Target;
  readonly theirs: Target;
}

/** Memory of both at one moment. */
function addMemory(report: Report, name: string, { ours, theirs }: Both): void {
  const [own, other] = [residentMib(ours.pid), residentMib(theirs.pid)];
  report.add({
    name: `memory, ${name}`,
    figures: {
      'Cassandra MiB': other.now,
      'Ilion MiB': own.now,
      ratio: ratio(own.now, other.now),
      'Cassandra peak': other.peak,
      'Ilion peak': own.peak,
    },
  });
}

/**
 * Writes, reads, both, and both at a fixed rate, after the same warm-up; ratios are of Ilion to Cassandra, pair by pair.
 * Both in mode periodic, which is Cassandra's default.
 */
export async function measureBeside(
  report: Report,
  options: BenchOptions,
  theirs: Target,
): Promise<void> {
  const spent = cpuSecondsOf(theirs.pid);
  await withServer(options, { 'commitlog-sync': 'periodic' }, async (ours) => {
    report.add({
      name: 'start, Ilion',
      figures: { 'ms to answer': ours.startMillis, 'cpu s': ours.startCpuSeconds },
    });
    report.add({ name: 'start, Cassandra', figures: { 'cpu s until now': spent } });
    const both = { ours, theirs };
    addMemory(report, 'before load', both);
    for (const target of [theirs, ours]) await prepareTable(target, options);
    const warmUp = { ...options, warmSeconds: 0, seconds: options.warmUpSeconds };
    for (const target of [theirs, ours]) await runOne(target, 'mixed', warmUp);
    for (const mode of MODES) await measurePair(report, options, { ...both, mode, rate: 0 });
    await measurePair(report, options, { ...both, mode: 'mixed', rate: FIXED_RATE });
    addMemory(report, 'after load', both);
  });
}

async function measurePair(
  report: Report,
  options: BenchOptions,
  what: Both & { readonly mode: LoadMode; readonly rate: number },
): Promise<void> {
  const pairs: [LoadResult, LoadResult][] = [];
  for (let i = 0; i < options.repeats; i++) {
    const theirs = await runOne(what.theirs, what.mode, options, what.rate);
    pairs.push([theirs, await runOne(what.ours, what.mode, options, what.rate)]);
  }
  const name = `${what.mode}${what.rate === 0 ? '' : ` ${what.rate} op/s`}`;
  for (const [index, server] of ['Cassandra', 'Ilion'].entries()) {
    report.add(
      capabilityLine(
        `${name}, ${server}`,
        pairs.map((pair) => pair[index]),
      ),
    );
  }
  const of = (pick: (run: LoadResult) => number) =>
    median(pairs.map(([theirs, ours]) => ratio(pick(ours), pick(theirs))));
  report.add({
    name: `${name}, Ilion : Cassandra`,
    figures: {
      'ops/cpu-s': of((run) => run.perCpuSecond),
      'ops/s': of((run) => run.perSecond),
      p50: of((run) => run.p50Millis),
      p99: of((run) => run.p99Millis),
      'p99.9': of((run) => run.p999Millis),
      rss: of((run) => run.residentMib),
    },
  });
}
