/**
 * `npm run simulate:join -- --nodes 50,200,1000 [--seed 1]`: so many nodes join one cluster at once in the simulation; prints
 * what each says to the others, joining and idle, as a table. A thousand take up to two minutes.
 */
import { parseArgs } from 'node:util';
import { runJoin, type Traffic } from '../src/simulation/thousand.ts';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '50,200,1000' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '300' },
    progress: { type: 'boolean', default: false },
  },
});

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function shown({ requests, packets, bytes, packetsMax }: Traffic): string[] {
  const { gossip, raft, other } = requests;
  const rates = [gossip, raft, other, packets].map((rate) => rate.toFixed(2));
  return [...rates, (bytes / 1024).toFixed(1), packetsMax.toFixed(0)];
}

const COLUMNS = ['gossip', 'raft', 'other', 'packets', 'KiB', 'packets of the busiest'];
const HEAD = ['nodes', 'phase', 'seconds', ...COLUMNS, 'CPU s', 'heap MiB'];
console.log(`| ${HEAD.join(' | ')} |\n|${'---|'.repeat(HEAD.length)}`);
for (const nodes of values.nodes.split(',').map(Number)) {
  const start = cpuSeconds();
  const run = await runJoin({
    ...{ nodes, seed: Number(values.seed), millisMax: Number(values.seconds) * 1000 },
    progress: (seconds, started, converged) => {
      if (!values.progress) return;
      const cpu = (cpuSeconds() - start).toFixed(1);
      console.error(`${seconds} s: ${started} started, ${converged} agree, CPU ${cpu} s`);
    },
  });
  const print = (phase: string, seconds: string, traffic: Traffic, ...more: string[]) =>
    console.log(`| ${[nodes, phase, seconds, ...shown(traffic), ...more].join(' | ')} |`);
  const { convergedSeconds, joining, idle } = run;
  const cpu = (cpuSeconds() - start).toFixed(1);
  const memory = (process.memoryUsage().rss / 2 ** 20).toFixed(0);
  print('joining', convergedSeconds?.toFixed(0) ?? 'not converged', joining, cpu, memory);
  if (idle !== null) print('idle', '', idle, '', '');
  else process.exitCode = 1;
}
