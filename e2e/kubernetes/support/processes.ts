/** Programs that the Kubernetes tests run: to their end, or until they are stopped. */
import { spawn } from 'node:child_process';

const OUTPUT_MAX = 16 << 20;

/** A program ended with another code than 0, or did not end in time. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
  readonly code: number | null;
  /** What it wrote to standard error. */
  readonly problem: string;

  /** @param code null: it was killed when its time was up */
  constructor(command: string, code: number | null, problem: string) {
    const how = code === null ? 'took too long' : `ended with ${code}`;
    super(`${command} ${how}: ${problem.trim()}`);
    this.code = code;
    this.problem = problem;
  }
}

export interface ToolOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** Its standard input. */
  readonly input?: string;
  /** It is killed after these. Not given: a minute. */
  readonly milliseconds?: number;
  /** What it writes to standard error is shown as it comes. */
  readonly isShown?: boolean;
}

/**
 * Runs a program to its end.
 * @returns its standard output
 * @throws ToolError
 */
export function runProgram(
  command: string,
  args: readonly string[],
  { environment = {}, input = '', milliseconds = 60_000, isShown = false }: ToolOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...environment } });
    let output = '';
    let problem = '';
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, milliseconds);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < OUTPUT_MAX) output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (isShown) process.stderr.write(text);
      if (problem.length < OUTPUT_MAX) problem += text;
    });
    // A program that does not read its input to the end is not a failure of ours.
    child.stdin.on('error', () => {}).end(input);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new ToolError(command, -1, String(error)));
    });
    // Not 'close': what it has left running in the background may hold its output open.
    child.once('exit', (code) => {
      clearTimeout(timer);
      setImmediate(() => {
        if (code === 0 && !isLate) resolve(output);
        else reject(new ToolError([command, ...args].join(' '), isLate ? null : code, problem));
      });
    });
  });
}

/** Asks again until it is so. @throws Error with `what` and the last answer, when time is up */
export async function until<T>(
  what: string,
  milliseconds: number,
  ask: () => Promise<T | null | false | undefined>,
): Promise<T> {
  const end = performance.now() + milliseconds;
  let last = '';
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== null && answer !== false && answer !== undefined) return answer;
    } catch (error) {
      last = `: ${String(error)}`;
    }
    if (performance.now() > end) throw new Error(`gave up waiting for ${what}${last}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
