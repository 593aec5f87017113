/** The command `ilion dev`. */

import { DEFAULT_ADDRESS, followersOf } from './addresses.ts';
import { ClusterFileError } from './cluster-file.ts';
import { DevError, type DevOptions, startDev } from './dev.ts';
import { StateFileError } from './state-file.ts';

const HELP = `ilion dev FILE [--data-directory DIR] [--address 127.0.0.1]

Runs the DatacenterCluster of FILE on this machine, as the Kubernetes operator would: each node is a process, at an address of its own
from --address on, port 9042. Edit the file and save it: nodes join, leave, restart. Ctrl-C stops all; the data stays in DIR
(data/dev/NAME), and is found again.`;

/** @throws DevError */
function readArguments(args: readonly string[]): Omit<DevOptions, 'tell'> {
  let file: string | null = null;
  const flags = new Map([
    ['data-directory', ''],
    ['address', DEFAULT_ADDRESS],
  ]);
  for (let i = 0; i < args.length; i++) {
    const [, name, given] = /^--([a-z-]+)(?:=(.*))?$/s.exec(args[i]) ?? [];
    if (name === undefined && file === null && !args[i].startsWith('-')) {
      file = args[i];
      continue;
    }
    if (name === undefined || !flags.has(name)) {
      throw new DevError(`'${args[i]}' is not understood: \`ilion dev --help\``);
    }
    const value = given ?? args[++i];
    if (value === undefined) throw new DevError(`--${name} needs a value`);
    flags.set(name, value);
  }
  if (file === null) throw new DevError('which file? Such as `ilion dev examples/demo.yaml`');
  const address = flags.get('address') ?? '';
  const addresses = followersOf(address);
  if (addresses === null) {
    throw new DevError(
      `--address is '${address}', but must be one of 127.0.0.1 to 127.255.255.254`,
    );
  }
  return { file, directory: flags.get('data-directory') || null, addresses };
}

function tell(line: string): void {
  console.log(`${new Date().toTimeString().slice(0, 8)} ${line}`);
}

async function run(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(HELP);
    return 0;
  }
  const { promise: asked, resolve } = Promise.withResolvers<null>();
  let onSignal: () => void = () => resolve(null);
  // SIGHUP: the terminal was closed.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => onSignal());
  }
  const dev = await startDev({ ...readArguments(args), tell });
  const failure = await Promise.race([asked, dev.failed]);
  onSignal = () => {
    dev.kill();
    process.exit(1);
  };
  tell(
    failure === null ? 'stopping all nodes; once more Ctrl-C ends them at once' : String(failure),
  );
  await dev.stop();
  tell('all nodes have stopped; their data is kept');
  return failure === null ? 0 : 1;
}

try {
  process.exit(await run(process.argv.slice(2)));
} catch (error) {
  const isExpected =
    error instanceof DevError ||
    error instanceof ClusterFileError ||
    error instanceof StateFileError;
  console.error(`ilion dev: ${isExpected ? error.message : (error as Error).stack}`);
  process.exit(isExpected ? 2 : 1);
}
