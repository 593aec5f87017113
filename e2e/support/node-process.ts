/** A node of Ilion as a process of its own, on free ports. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../node/src/main/main.ts', import.meta.url));
const READY_TIMEOUT_MS = 60_000;
const OUTPUT_MAX = 1 << 20;

export interface NodeOptions {
  /** Not given: a new one, which is removed in the end. */
  readonly dataDirectory?: string;
  /** Options of `ilion start` without their dashes, such as `{ workers: '1' }`. They win over what is chosen here. */
  readonly flags?: Readonly<Record<string, string>>;
  /** More variables. Those of Ilion that the test itself was given are not passed on. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What the command begins with, such as `['ip', 'netns', 'exec', 'host1']`. */
  readonly prefix?: readonly string[];
  /** Text of the log to wait for; not given: that it is ready. */
  readonly until?: string;
}

export interface Exit {
  /** Null: ended by `signal`. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running node. Killed at the end of its `await using`, and at the latest when this process ends. */
export interface NodeProcess extends AsyncDisposable {
  readonly dataDirectory: string;
  readonly cqlPort: number;
  readonly adminPort: number;
  readonly metricsPort: number;
  readonly pid: number;
  /** What it has written so far, the last MiB: JSON lines, if no flag says otherwise. */
  output(): string;
  /** SIGTERM. */
  stop(): Promise<Exit>;
  kill9(): Promise<Exit>;
  waitExit(): Promise<Exit>;
}

const alive = new Set<ChildProcess>();
const temporary = new Set<string>();

process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
  for (const directory of temporary) rmSync(directory, { recursive: true, force: true });
});

/** An empty directory, removed when this process ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ilion-'));
  temporary.add(directory);
  return directory;
}

/** Ports of 127.0.0.1 that nobody listens on. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  for (let i = 0; i < count; i++) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
  }
  return servers.map((server) => {
    const address = server.address();
    server.close();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
}

function environmentOf(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('ILION_') || name === 'ILION_NATIVE',
  );
  return { ...Object.fromEntries(own), ...more };
}

/** A process of `ilion` and what it writes. */
class IlionProcess {
  readonly child: ChildProcess;
  readonly exit: Promise<Exit>;
  stdout = '';
  stderr = '';
  private readonly watchers = new Set<() => void>();

  constructor(
    args: readonly string[],
    environment: NodeJS.ProcessEnv,
    prefix: readonly string[] = [],
  ) {
    const [command, ...rest] = [...prefix, process.execPath];
    const node = ['--disable-warning=ExperimentalWarning', MAIN];
    this.child = spawn(command, [...rest, ...node, ...args], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    alive.add(this.child);
    for (const name of ['stdout', 'stderr'] as const) {
      this.child[name]?.setEncoding('utf8').on('data', (text: string) => {
        this[name] = (this[name] + text).slice(-OUTPUT_MAX);
        for (const watcher of this.watchers) watcher();
      });
    }
    this.exit = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        alive.delete(this.child);
        resolve({ code, signal });
      });
    });
  }

  get output(): string {
    return this.stdout + this.stderr;
  }

  /** While nobody waits for it, it does not hold this process. */
  hold(held: boolean): void {
    const handles = [this.child, this.child.stdout as Socket, this.child.stderr as Socket];
    for (const handle of handles) {
      if (held) handle.ref();
      else handle.unref();
    }
  }

  waitExit(): Promise<Exit> {
    this.hold(true);
    return this.exit;
  }

  /** @throws TypeError if it ends, or the time is over, before a line of its output holds `text` */
  async waitFor(text: string, milliseconds: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const seen = new Promise<'seen'>((resolve) => {
      const look = () => {
        if (this.output.includes(text)) resolve('seen');
      };
      this.watchers.add(look);
      look();
    });
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), milliseconds);
    });
    const outcome = await Promise.race([seen, late, this.exit]);
    clearTimeout(timer);
    this.watchers.clear();
    if (outcome === 'seen') return;
    const what =
      outcome === 'late' ? `not ready after ${milliseconds} ms` : `ended with ${outcome.code}`;
    throw new TypeError(`the node ${what}:\n${this.output}`);
  }
}

/**
 * Starts a node and waits until it is ready, or has said what `until` asks for.
 * @throws TypeError with its output, if it ends before
 */
export async function startNode(options: NodeOptions = {}): Promise<NodeProcess> {
  const [cqlPort, adminPort, metricsPort] = await freePorts(3);
  const dataDirectory = options.dataDirectory ?? temporaryDirectory();
  const flags = {
    'data-directory': dataDirectory,
    'native-transport-port': String(cqlPort),
    'admin-port': String(adminPort),
    'metrics-port': String(metricsPort),
    ...options.flags,
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const ilion = new IlionProcess(
    ['start', ...args],
    environmentOf(options.environment),
    options.prefix,
  );
  try {
    await ilion.waitFor(options.until ?? '"message":"ready"', READY_TIMEOUT_MS);
  } catch (error) {
    ilion.child.kill('SIGKILL');
    await ilion.waitExit();
    throw error;
  }
  ilion.hold(false);
  const end = (signal: NodeJS.Signals) => {
    ilion.child.kill(signal);
    return ilion.waitExit();
  };
  return {
    dataDirectory,
    cqlPort: Number(flags['native-transport-port']),
    adminPort: Number(flags['admin-port']),
    metricsPort: Number(flags['metrics-port']),
    pid: ilion.child.pid ?? -1,
    output: () => ilion.output,
    stop: () => end('SIGTERM'),
    kill9: () => end('SIGKILL'),
    waitExit: () => ilion.waitExit(),
    [Symbol.asyncDispose]: async () => {
      await end('SIGKILL');
      if (options.dataDirectory === undefined) {
        rmSync(dataDirectory, { recursive: true, force: true });
        temporary.delete(dataDirectory);
      }
    },
  };
}

export interface Ran extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs an `ilion` command to its end; killed after 60 s. */
export async function runIlion(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const ilion = new IlionProcess(args, environmentOf(environment));
  const timer = setTimeout(() => ilion.child.kill('SIGKILL'), READY_TIMEOUT_MS);
  const exit = await ilion.exit;
  clearTimeout(timer);
  return { ...exit, stdout: ilion.stdout, stderr: ilion.stderr };
}
