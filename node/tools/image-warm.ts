/**
 * Node's compile cache for an image: stripped and compiled code, so that a container's start takes half the CPU time. It
 * is filled by running the program as it was laid out, and found by its place relative to the sources.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Node keeps a cache for each user; the image's is this one. */
const USER = 65_532;
/** The first run compiles what is called at once, the second one gets to the rest. */
const RUNS = 2;
const RUN_MILLIS = 60_000;

/** Of 127.0.0.1, that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** A start of a node that disturbs nobody. */
async function startArguments(dataDirectory: string): Promise<string[]> {
  const flags = ['start', '--log-format', 'json', '--data-directory', dataDirectory];
  for (const name of ['native-transport-port', 'admin-port', 'metrics-port']) {
    flags.push(`--${name}`, String(await freePort()));
  }
  return flags;
}

async function runOnce(
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'] ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: RUN_MILLIS,
  });
  child.stdout.on('data', (chunk) => {
    if (String(chunk).includes('"message":"ready"')) child.kill('SIGTERM');
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`);
}

/**
 * @param root the image's root folder
 * @param flags of Node, and the program's main file, relative to `root`/ilion
 * @param isNode it is a database node, which is started until it is ready; others only say how they are used
 * @throws Error if it does not end with 0
 */
export async function fillCompileCache(
  root: string,
  { flags, main, isNode }: { flags: readonly string[]; main: string; isNode: boolean },
): Promise<void> {
  const cache = join(root, 'ilion/compiled');
  const data = mkdtempSync(join(tmpdir(), 'ilion-warm-'));
  const command = [join(root, 'ilion/bin/node'), ...flags, join(root, 'ilion', main)];
  const environment = { NODE_COMPILE_CACHE: cache, NODE_COMPILE_CACHE_PORTABLE: '1' };
  try {
    for (let run = 0; run < RUNS; run++) {
      const args = isNode ? await startArguments(join(data, String(run))) : ['--help'];
      await runOnce([...command, ...args], environment);
    }
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
  const own = new RegExp(`-${process.getuid?.()}$`);
  for (const name of readdirSync(cache)) {
    const folder = join(cache, name.replace(own, `-${USER}`));
    renameSync(join(cache, name), folder);
    // Its user reads them, and must not write them.
    for (const file of readdirSync(folder)) chmodSync(join(folder, file), 0o644);
  }
}
