/** A table larger than memory under load while it is compacted: are event loops held up, are clients refused. */
import { statfsSync } from 'node:fs';
import { BenchError } from './client.ts';
import type { LoadResult } from './load-plan.ts';
import {
  delayQuantile,
  fetchMetrics,
  type LoopDelays,
  loopDelays,
  type MetricSample,
  sumOf,
} from './metrics.ts';
import { residentMib } from './process-facts.ts';
import type { Report } from './report.ts';
import { createTables, LARGE_ROWS, runLoad } from './run-load.ts';
import { type BenchOptions, withServer } from './scenarios.ts';
import type { BenchServer } from './server.ts';

const GIB = 1 << 30;
const CACHE_MIB = 256;
// Obsolete files stay until compactions are done.
const SPACE_FACTOR = 3;

interface LargeRun {
  readonly name: string;
  readonly load: LoadResult;
  readonly before: readonly MetricSample[];
  readonly after: readonly MetricSample[];
}

async function observe(
  server: BenchServer,
  name: string,
  run: () => Promise<LoadResult>,
): Promise<LargeRun> {
  const before = await fetchMetrics(server.metricsUrl);
  const load = await run();
  return { name, load, before, after: await fetchMetrics(server.metricsUrl) };
}

function formatDelays(delays: LoopDelays): string {
  const total = [...delays.values()].reduce((sum, count) => sum + count, 0);
  return [...delays]
    .filter(([, count]) => count > 0)
    .map(([bound, count]) => {
      const share = (count / total) * 100;
      const upTo = Number.isFinite(bound) ? `<= ${bound * 1000} ms` : 'more';
      const bar = '#'.repeat(Math.ceil(share / 2));
      return `  ${upTo.padStart(10)} ${String(count).padStart(8)} ${share.toFixed(2).padStart(7)} % ${bar}`;
    })
    .join('\n');
}

function addRun(report: Report, server: BenchServer, run: LargeRun): void {
  const delays = loopDelays(run.before, run.after);
  const grown = (name: string) => sumOf(run.after, name) - sumOf(run.before, name);
  const stalls = grown('ilion_storage_stalls_total');
  const { load } = run;
  report.add({
    name: run.name,
    figures: {
      'ops/s': load.perSecond,
      'ops/cpu-s': load.perCpuSecond,
      'p50 ms': load.p50Millis,
      'p99 ms': load.p99Millis,
      'p99.9 ms': load.p999Millis,
      overloaded: load.overloaded,
      'loop p99 ms': delayQuantile(delays, 0.99) * 1000,
      stalls,
      'stall ms': Math.round(grown('ilion_storage_stall_micros_total') / 1000),
      'compacted MiB': Math.round(
        grown('ilion_storage_compaction_written_bytes_total') / (1 << 20),
      ),
      'rss MiB': residentMib(server.pid).now,
    },
  });
  report.note(`delay of event loops, samples every 20 ms:\n${formatDelays(delays)}`);
}

/** @param gib of the table @throws BenchError if the disk has no room for it */
export async function measureLarge(
  report: Report,
  options: BenchOptions,
  gib: number,
): Promise<void> {
  const rows = Math.ceil((gib * GIB) / LARGE_ROWS.valueBytes);
  const flags = { 'commitlog-sync': 'periodic', 'cache-size': `${CACHE_MIB}MiB` };
  await withServer(options, flags, async (server) => {
    const { bavail, bsize } = statfsSync(server.dataDirectory);
    if (bavail * bsize < gib * GIB * SPACE_FACTOR) {
      throw new BenchError(`--large ${gib} needs ${gib * SPACE_FACTOR} GiB of disk`);
    }
    await createTables(server, [LARGE_ROWS]);
    const load = { rows, connections: options.connections };
    const fill = () => runLoad(server, 'fill', LARGE_ROWS, load);
    addRun(report, server, await observe(server, `fill of ${gib} GiB`, fill));
    const timed = { ...load, warmSeconds: options.warmSeconds, seconds: options.seconds * 3 };
    const mixed = () => runLoad(server, 'mixed', LARGE_ROWS, timed);
    addRun(report, server, await observe(server, 'mixed, 256 in flight', mixed));
    const paced = () =>
      runLoad(server, 'mixed', LARGE_ROWS, { ...timed, rate: 5000, inFlight: 2048 });
    addRun(report, server, await observe(server, 'mixed, 5000 op/s', paced));
    const reads = () => runLoad(server, 'read', LARGE_ROWS, timed);
    addRun(report, server, await observe(server, 'read, 256 in flight', reads));
  });
}
