/** Programs of other languages that the tests run, installed once outside the tree. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const CQLSH = 'cqlsh==6.2.2';
const PYTHON_DRIVER = 'cassandra-driver==3.30.1';

export function cacheDirectory(): string {
  const base =
    process.env['ILION_CACHE'] ??
    join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'ilion');
  mkdirSync(base, { recursive: true });
  return base;
}

export interface ToolResult {
  readonly code: number | null;
  /** Standard output and standard error. */
  readonly output: string;
}

/** Runs a program to its end, or kills it when its time is up. */
export function runTool(
  command: string,
  args: readonly string[],
  milliseconds: number,
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<ToolResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), milliseconds);
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', (error) => {
      output += String(error);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}

function has(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** `missing`: false, or why tests that need it are skipped. */
export interface PythonEnvironment {
  readonly bin: string;
  readonly missing: string | false;
}

/** A Python with cqlsh and the driver. */
export async function pythonEnvironment(): Promise<PythonEnvironment> {
  const directory = join(cacheDirectory(), 'python-cqlsh-6.2.2-driver-3.30.1');
  const bin = join(directory, 'bin');
  if (existsSync(join(bin, 'cqlsh'))) return { bin, missing: false };
  if (!has('python3', ['-m', 'venv', '--help']))
    return { bin, missing: 'python3 with venv is not installed' };
  const made = await runTool('python3', ['-m', 'venv', directory], 120_000);
  const installed =
    made.code === 0
      ? await runTool(join(bin, 'pip'), ['install', '--quiet', CQLSH, PYTHON_DRIVER], 300_000)
      : made;
  if (installed.code === 0) return { bin, missing: false };
  rmSync(directory, { recursive: true, force: true });
  return {
    bin,
    missing: `cqlsh cannot be installed: ${installed.output.trim().split('\n').at(-1) ?? ''}`,
  };
}

/** @returns false if the program is there, else why tests that need it are skipped */
export function missing(command: string, args: readonly string[] = ['--version']): string | false {
  return has(command, args) ? false : `${command} is not installed`;
}
