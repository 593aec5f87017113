/** A container as a process of this machine: started, asked whether it is ready, stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../node/src/main/main.ts', import.meta.url));
/** Until it is ready, and afterwards. */
const ASK_MILLIS = 200;
const ASK_READY_MILLIS = 1_000;
const ASK_TIMEOUT_MILLIS = 3_000;
/** Answers that fail in a row before it counts as not ready. */
const FAILURES_MAX = 2;

export interface NodeProcessOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly address: string;
  readonly port: number;
  /** Everything it says is added there. */
  readonly logFile: string;
  onReady(isReady: boolean): void;
  /** @param how `exit code 1`, or the signal that ended it */
  onEnd(how: string): void;
}

function ask(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const request = get({ host, port, path: '/readyz', timeout: ASK_TIMEOUT_MILLIS }, (response) => {
    response.resume();
    resolve(response.statusCode === 200);
  });
  request.on('timeout', () => request.destroy());
  request.on('error', () => resolve(false));
  return promise;
}

/** Variables of Ilion that this process was given are not for its nodes. */
function inherited(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('ILION_') || name === 'ILION_CACHE' || name === 'ILION_NATIVE',
  );
  return Object.fromEntries(entries);
}

export class NodeProcess {
  readonly startedMillis = Date.now();
  private readonly options: NodeProcessOptions;
  private readonly child: ChildProcess;
  private readonly ended: Promise<void>;
  private isReady = false;
  private failures = 0;
  private timer: NodeJS.Timeout | null = null;
  private isOver = false;

  constructor(options: NodeProcessOptions) {
    this.options = options;
    const log = openSync(options.logFile, 'a');
    // A group of its own: Ctrl-C of a terminal is not for it. The channel ends with this process, whatever ends it, and then the node stops.
    this.child = spawn(process.execPath, [...process.execArgv, MAIN, 'start'], {
      env: { ...inherited(), ...options.environment, ILION_PARENT: 'channel' },
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
    });
    closeSync(log);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    const end = (how: string) => {
      if (this.isOver) return;
      this.isOver = true;
      if (this.timer !== null) clearTimeout(this.timer);
      resolve();
      options.onEnd(how);
    };
    this.child.once('error', (error) => end(error.message));
    this.child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`));
    this.askLater(ASK_MILLIS);
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** @returns resolves when it has ended, by SIGKILL if it takes longer than the grace time */
  async stop(graceMillis: number): Promise<void> {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), graceMillis);
    await this.ended;
    clearTimeout(timer);
  }

  private askLater(millis: number): void {
    this.timer = setTimeout(() => void this.askNow(), millis);
  }

  private async askNow(): Promise<void> {
    const { address, port, onReady } = this.options;
    const answer = await ask(address, port);
    if (this.isOver) return;
    this.failures = answer ? 0 : this.failures + 1;
    const isReady = answer || (this.isReady && this.failures < FAILURES_MAX);
    if (isReady !== this.isReady) {
      this.isReady = isReady;
      onReady(isReady);
    }
    this.askLater(isReady ? ASK_READY_MILLIS : ASK_MILLIS);
  }
}

/** The last line of a log that says what went wrong; empty: none does. */
export function lastProblem(logFile: string): string {
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-40);
  for (const line of lines.reverse()) {
    const [, reason] = /"level":"error".*"reason":"((?:[^"\\]|\\.)*)"/.exec(line) ?? [];
    if (reason !== undefined) return JSON.parse(`"${reason}"`) as string;
    if (line.startsWith('ilion: ')) return line.slice('ilion: '.length);
  }
  return '';
}
