/**
 * `npm run simulate -- --seeds N [--from SEED] [--dcs dc1:3,dc2:3]`: whole clusters on virtual time, one for each seed. A
 * seed that fails is printed with what is wrong; `--from SEED --seeds 1 --trace` replays it with the nodes' logs.
 */
import { parseArgs } from 'node:util';
import { runSeed, type SimulationOptions } from '../src/simulation/run.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    dcs: { type: 'string', default: 'dc1:3' },
    seconds: { type: 'string', default: '20' },
    trace: { type: 'boolean', default: false },
  },
});

function datacenters(text: string): Record<string, number> {
  const parts = text.split(',').map((part) => part.split(':'));
  return Object.fromEntries(parts.map(([name, count]) => [name, Number(count)]));
}

const dcs = datacenters(values.dcs);
const options: Partial<SimulationOptions> = {
  datacenters: dcs,
  replication: `{'class': 'NetworkTopologyStrategy', ${Object.entries(dcs)
    .map(([name, count]) => `'${name}': ${count}`)
    .join(', ')}}`,
  faultMillis: Number(values.seconds) * 1000,
};
const first = Number(values.from);
const count = Number(values.seeds);
const failed: number[] = [];
const totals = new Map<string, number>();
let undecided = 0;
for (let seed = first; seed < first + count; seed++) {
  const result = await runSeed(seed, options);
  undecided += result.undecided.length;
  for (const [kind, outcomes] of Object.entries(result.operations)) {
    for (const [outcome, n] of Object.entries(outcomes)) {
      const name = `${kind} ${outcome}`;
      totals.set(name, (totals.get(name) ?? 0) + n);
    }
  }
  if (values.trace) console.log(result.trace.join('\n'));
  if (result.problems.length === 0) continue;
  failed.push(seed);
  console.log(`seed ${seed} (${result.fingerprint}):\n  ${result.problems.join('\n  ')}`);
}
const cpu = process.cpuUsage();
console.log([...totals].map(([name, n]) => `${name} ${n}`).join(', '));
console.log(
  `${count} seeds from ${first}: ${failed.length} failed${failed.length === 0 ? '' : ` (${failed.join(', ')})`}, ` +
    `${undecided} keys undecided, ${((cpu.user + cpu.system) / 1e6 / count).toFixed(2)} CPU seconds a seed`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
