/** `ilion cluster`: a cluster of node processes on the loopback addresses of this machine, until Ctrl-C. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Command } from './cli-arguments.ts';
import { encryptionFlags, nodeCertificate } from './cluster-certificates.ts';
import { type PlannedNode, planCluster } from './cluster-plan.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const DEFAULT_DATA_DIRECTORY = 'data/cluster';
/** Flags of the command itself; all others go to every node. */
const OWN_FLAGS: ReadonlySet<string> = new Set(['nodes', 'dcs', 'racks', 'tls', 'data-directory']);
/** Any two of the nodes may be gone at the next start, and the rest still finds each other. */
const SEEDS_MAX = 3;

/** @param contacts of the cluster; none: the node starts it */
function flagsOf(node: PlannedNode, contacts: readonly PlannedNode[], command: Command): string[] {
  const seeds = contacts.length === 0 ? [node] : contacts.slice(0, SEEDS_MAX);
  const flags = new Map([
    // Each node would take all cores for itself.
    ['workers', '1'],
    ['shards', '1'],
    ['log-format', 'json'],
    ...[...command.flags].filter(([name]) => !OWN_FLAGS.has(name)),
    ['data-directory', node.dataDirectory],
    ['data-center', node.datacenter],
    ['rack', node.rack],
    ['rpc-address', node.address],
    ['listen-address', node.address],
    ['metrics-address', node.address],
    ['admin-address', node.address],
    ['seeds', seeds.map(({ address }) => address).join(',')],
    ...Object.entries(encryptionOf(node, command)),
  ]);
  return [...flags].map(([name, value]) => `--${name}=${value}`);
}

/** With --tls: certificates beside the nodes' data, made when they are first needed. */
function encryptionOf({ name, address, dataDirectory }: PlannedNode, { flags }: Command) {
  if (!flags.has('tls')) return {};
  return encryptionFlags(nodeCertificate(join(dirname(dataDirectory), 'tls'), name, address));
}

/** A line of a node's log, for people. */
function show(name: string, line: string): string {
  try {
    const { timestamp, level, message, source, ...fields } = JSON.parse(line);
    const details = Object.entries(fields).map(
      ([field, value]) => `${field}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    );
    return [name.padEnd(4), level, message, ...details].join(' ');
  } catch {
    return `${name.padEnd(4)} ${line}`;
  }
}

class ClusterProcess {
  readonly name: string;
  readonly ready: Promise<boolean>;
  /** Resolves with its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  private readonly child: ChildProcess;

  constructor(name: string, flags: readonly string[]) {
    this.name = name;
    // A group of its own: Ctrl-C reaches only the parent, which stops the nodes in order.
    this.child = spawn(
      process.execPath,
      [...process.execArgv, '--disable-warning=ExperimentalWarning', MAIN, 'start', ...flags],
      { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
    );
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve(code ?? signal ?? 1));
    });
    this.ready = new Promise((resolve) => {
      for (const stream of [this.child.stdout, this.child.stderr]) {
        if (stream === null) continue;
        createInterface({ input: stream }).on('line', (line) => {
          console.log(show(name, line));
          if (line.includes('"message":"ready"')) resolve(true);
        });
      }
      this.ended.then(() => resolve(false));
    });
  }

  stop(): void {
    this.child.kill('SIGTERM');
  }
}

/** @returns the exit code @throws UsageError */
export async function runCluster(command: Command): Promise<number> {
  const nodes = planCluster({
    nodes: command.flags.get('nodes') ?? null,
    datacenters: command.flags.get('dcs') ?? null,
    racks: command.flags.get('racks') ?? null,
    dataDirectory: command.flags.get('data-directory') ?? DEFAULT_DATA_DIRECTORY,
  });
  const running: ClusterProcess[] = [];
  let stopping = false;
  const stop = () => {
    stopping = true;
    for (const one of running) one.stop();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // The terminal was closed: nodes that nobody sees must not stay.
  process.on('SIGHUP', stop);
  // Nodes that know each other start together; new ones join one after another.
  const areNew = !nodes.some((node) => existsSync(node.dataDirectory));
  for (const [i, node] of nodes.entries()) {
    if (stopping) break;
    console.log(`starting ${node.name} at ${node.address} (${i + 1} of ${nodes.length})`);
    const one = new ClusterProcess(
      node.name,
      flagsOf(node, areNew ? nodes.slice(0, i) : nodes, command),
    );
    running.push(one);
    one.ended.then((end) => {
      if (!stopping) console.log(`${node.name} ended with ${end}; the others go on`);
    });
    if (areNew && !(await one.ready)) {
      if (!stopping) console.log(`${node.name} did not start: see its log above`);
      stop();
    }
  }
  const ready = await Promise.all(running.map((one) => one.ready));
  if (!stopping) {
    const contacts = nodes.filter((_, i) => ready[i]).map(({ address }) => address);
    console.log(
      `${contacts.length} of ${nodes.length} nodes are ready: ${contacts.join(', ')}. Ctrl-C stops them.`,
    );
  }
  const codes = await Promise.all(running.map((one) => one.ended));
  return codes.every((code) => code === 0) ? 0 : 1;
}
