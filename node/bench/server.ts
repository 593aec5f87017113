/** A node of ours as a process of its own, started as `npm start` does it, in a temporary directory on free ports. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BenchError, Client, type Endpoint } from './client.ts';
import { cpuSecondsOf } from './process-facts.ts';

const MAIN = fileURLToPath(new URL('../src/main/main.ts', import.meta.url));
const HOST = '127.0.0.1';
const ANSWER_TIMEOUT_MILLIS = 60_000;
const LOOK_MILLIS = 4;

export interface BenchServer extends Endpoint {
  readonly pid: number;
  readonly metricsUrl: string;
  readonly dataDirectory: string;
  /** From its launch to the answer to a first query. */
  readonly startMillis: number;
  readonly startCpuSeconds: number;
  /** SIGTERM, and SIGKILL if that takes long. */
  stop(): Promise<void>;
}

const children = new Set<ChildProcess>();
const directories = new Set<string>();

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

/** @param base where; empty: where temporary files belong @returns an empty directory, removed when this process ends */
export function temporaryDirectory(base = ''): string {
  const directory = mkdtempSync(join(base === '' ? tmpdir() : base, 'ilion-bench-'));
  directories.add(directory);
  return directory;
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
}

async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  for (let i = 0; i < count; i++) {
    const server = createServer().listen(0, HOST);
    await once(server, 'listening');
    servers.push(server);
  }
  return servers.map((server) => {
    const address = server.address();
    server.close();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
}

/** What node/tools/with-node.sh sets, for who runs this without it. */
function environment(compileCache: string | undefined): NodeJS.ProcessEnv {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const own = join(process.env['ILION_CACHE'] ?? join(cache, 'ilion'), 'compiled');
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('ILION_') || name === 'ILION_NATIVE',
  );
  return {
    ...Object.fromEntries(kept),
    NODE_COMPILE_CACHE: compileCache ?? process.env['NODE_COMPILE_CACHE'] ?? own,
    MALLOC_ARENA_MAX: '2',
  };
}

async function firstAnswer(at: Endpoint, ended: () => boolean): Promise<void> {
  const end = performance.now() + ANSWER_TIMEOUT_MILLIS;
  for (;;) {
    try {
      const client = await Client.connect(at);
      await client.query('SELECT release_version FROM system.local');
      client.close();
      return;
    } catch (error) {
      if (ended() || performance.now() > end) {
        throw new BenchError(`the node did not start: ${String(error)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MILLIS));
    }
  }
}

export interface ServerOptions {
  /** Options of `ilion start` without their dashes. */
  readonly flags?: Readonly<Record<string, string>>;
  readonly dataDirectory: string;
  /** Address of all of its ports; not given: 127.0.0.1. */
  readonly host?: string;
  /** Where compiled code is kept; not given: where a user's node keeps it. */
  readonly compileCache?: string;
  /** More arguments of Node, such as those for profiles. */
  readonly nodeArguments?: readonly string[];
}

/** @returns a node that has answered a query @throws BenchError */
export async function startServer(options: ServerOptions): Promise<BenchServer> {
  const host = options.host ?? HOST;
  const [port, adminPort, metricsPort] = await freePorts(3);
  const flags: Readonly<Record<string, string>> = {
    'data-directory': options.dataDirectory,
    'native-transport-port': String(port),
    'admin-port': String(adminPort),
    'metrics-port': String(metricsPort),
    'log-level': 'warn',
    'rpc-address': host,
    'admin-address': host,
    'metrics-address': host,
    ...options.flags,
  };
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--max-semi-space-size=8',
      ...(options.nodeArguments ?? []),
      MAIN,
      'start',
      ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    ],
    { env: environment(options.compileCache), stdio: ['ignore', 'ignore', 'inherit'] },
  );
  children.add(child);
  let hasEnded = false;
  const exit = new Promise<void>((resolve) => {
    child.once('exit', () => {
      hasEnded = true;
      children.delete(child);
      resolve();
    });
  });
  const at = { host, port };
  await firstAnswer(at, () => hasEnded);
  const startMillis = Math.round(performance.now() - began);
  const pid = child.pid ?? 0;
  return {
    ...at,
    pid,
    metricsUrl: `http://${host}:${metricsPort}/metrics`,
    dataDirectory: options.dataDirectory,
    startMillis,
    startCpuSeconds: cpuSecondsOf(pid),
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await exit;
      clearTimeout(timer);
    },
  };
}
