/** `npm run bench`: what a node can do on this machine, and what it costs. */
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { type BenchArguments, parseBenchArguments, type Scenario, USAGE } from './arguments.ts';
import { measureBeside } from './beside.ts';
import { BenchError } from './client.ts';
import { measureCluster } from './cluster.ts';
import { measureCores } from './cores.ts';
import { measureLarge } from './large.ts';
import { Report } from './report.ts';
import { measureCapability, measureGroup, measureScans, measureStart } from './scenarios.ts';
import { measureStreaming } from './streaming.ts';

const RUNS: Readonly<Record<Scenario, (report: Report, args: BenchArguments) => Promise<void>>> = {
  start: (report, { options }) => measureStart(report, options),
  capability: (report, { options }) => measureCapability(report, options),
  group: (report, { options }) => measureGroup(report, options),
  cores: (report, { options }) => measureCores(report, options),
  scan: (report, { options }) => measureScans(report, options),
  large: (report, { options, largeGib }) => measureLarge(report, options, largeGib),
  streaming: (report, { options, streamingGib }) => measureStreaming(report, options, streamingGib),
};

async function run(args: BenchArguments): Promise<void> {
  const report = new Report();
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores`;
  report.note(`${machine}, Node ${process.versions.node}; medians of ${args.options.repeats} runs`);
  try {
    if (args.nodes !== null) await measureCluster(report, args.options, args.nodes);
    else if (args.cassandra !== null) await measureBeside(report, args.options, args.cassandra);
    else for (const name of args.scenarios) await RUNS[name](report, args);
  } finally {
    if (args.out !== null) {
      const result = { machine, node: process.versions.node, results: report.toJson() };
      writeFileSync(args.out, `${JSON.stringify(result, null, 2)}\n`);
    }
  }
}

try {
  const args = parseBenchArguments(process.argv.slice(2));
  if (args.wantsHelp) console.log(USAGE);
  else await run(args);
} catch (error) {
  console.error(error instanceof BenchError ? error.message : error);
  process.exitCode = 1;
}
