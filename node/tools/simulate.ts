/**
 * `npm run simulate -- --seeds N [--from SEED] [--dcs dc1:5] [--replication dc1:3] [--faults crash,partition]`: whole
 * clusters on virtual time, one for each seed. A seed that fails is printed with what is wrong; `--from SEED --seeds 1
 * --trace` replays it with the nodes' logs, `--history l5` with what clients did to a key. `--bugs` lists the bugs that can be planted; `--bug NAME` (or `all`) plants one
 * and succeeds only if it is found. `--topology`: the ring changes, each `--interval` milliseconds; `--clients N`.
 */
import { parseArgs } from 'node:util';
import { huntBug } from '../src/simulation/bug-hunt.ts';
import { ALL_FAULTS } from '../src/simulation/nemesis.ts';
import { PLANTED_BUGS } from '../src/simulation/planted-bugs.ts';
import { RING_BUGS } from '../src/simulation/ring-bugs.ts';
import { runSeed, type SimulationOptions } from '../src/simulation/run.ts';
import { Tallies } from '../src/simulation/tallies.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    dcs: { type: 'string', default: 'dc1:3' },
    seconds: { type: 'string', default: '20' },
    replication: { type: 'string' },
    faults: { type: 'string' },
    topology: { type: 'boolean', default: false },
    clients: { type: 'string' },
    interval: { type: 'string' },
    trace: { type: 'boolean', default: false },
    history: { type: 'string' },
    bug: { type: 'string' },
    bugs: { type: 'boolean', default: false },
  },
});

const BUGS = { ...PLANTED_BUGS, ...RING_BUGS };

function datacenters(text: string): Record<string, number> {
  const parts = text.split(',').map((part) => part.split(':'));
  return Object.fromEntries(parts.map(([name, count]) => [name, Number(count)]));
}

/** @returns whether each of them was found */
async function hunt(name: string, from: number): Promise<boolean> {
  const names = name === 'all' ? Object.keys(BUGS) : [name];
  let isFound = true;
  for (const one of names) {
    const bug = BUGS[one];
    if (bug === undefined) {
      console.error(`there is no bug ${one}; --bugs lists them`);
      return false;
    }
    const found = await huntBug(bug, from);
    isFound &&= found !== null;
    if (found === null) console.log(`${one}: not found within ${bug.seeds} seeds`);
    else console.log(`${one}: seed ${found.seed}, ${found.problems[0]?.slice(0, 200)}`);
  }
  return isFound;
}

async function simulate(first: number, count: number): Promise<boolean> {
  const dcs = datacenters(values.dcs);
  const replicas = datacenters(values.replication ?? values.dcs);
  const options: Partial<SimulationOptions> = {
    datacenters: dcs,
    replication: `{'class': 'NetworkTopologyStrategy', ${Object.entries(replicas)
      .map(([name, count]) => `'${name}': ${count}`)
      .join(', ')}}`,
    faultMillis: Number(values.seconds) * 1000,
    ring: values.topology,
    tables: values.topology,
    ...(values.clients === undefined ? {} : { clients: Number(values.clients) }),
    ...(values.interval === undefined ? {} : { ringMillis: Number(values.interval) }),
    ...(values.faults === undefined ? {} : { faults: faultsOf(values.faults) }),
  };
  const failed: number[] = [];
  const totals = new Tallies();
  let undecided = 0;
  for (let seed = first; seed < first + count; seed++) {
    const result = await runSeed(seed, options);
    undecided += result.undecided.length;
    for (const [kind, outcomes] of Object.entries(result.operations)) {
      for (const [outcome, n] of Object.entries(outcomes)) {
        totals.add(`all of ${kind}`, outcome, n);
      }
    }
    totals.addAll(result.tallies);
    if (values.trace) console.log(result.trace.join('\n'));
    if (values.history !== undefined) console.log(result.history.lines(values.history).join('\n'));
    if (result.problems.length === 0) continue;
    failed.push(seed);
    console.log(`seed ${seed} (${result.fingerprint}):\n  ${result.problems.join('\n  ')}`);
  }
  const cpu = process.cpuUsage();
  console.log(totals.lines().join('\n'));
  console.log(
    `${count} seeds from ${first}: ${failed.length} failed${failed.length === 0 ? '' : ` (${failed.join(', ')})`}, ` +
      `${undecided} keys undecided, ${((cpu.user + cpu.system) / 1e6 / count).toFixed(2)} CPU seconds a seed`,
  );
  return failed.length === 0;
}

function faultsOf(text: string): SimulationOptions['faults'] {
  const names = text.split(',');
  const unknown = names.find((name) => !ALL_FAULTS.some((fault) => fault === name));
  if (unknown !== undefined) throw new TypeError(`there is no fault ${unknown}`);
  return ALL_FAULTS.filter((fault) => names.includes(fault));
}

if (values.bugs) {
  for (const [name, { breaks, seeds }] of Object.entries(BUGS)) {
    console.log(`${name}: ${breaks} (within ${seeds} seeds)`);
  }
} else {
  const from = Number(values.from);
  const { bug } = values;
  const isFine = await (bug === undefined ? simulate(from, Number(values.seeds)) : hunt(bug, from));
  process.exitCode = isFine ? 0 : 1;
}
