/**
 * The `ilion` command. What a command needs is loaded when it runs: `ilion --help` must not load a database, nor
 * `ilion start` a gRPC client.
 */
import type { LinkTls } from '../adapters/grpc-links-tls.ts';
import { ConfigError } from '../config/load.ts';
import { documentedYaml } from '../config/options.ts';
import type { InternodeEncryption } from '../config/settings.ts';
import type { AdminClient } from './admin-client.ts';
import { type Command, parseArguments, UsageError } from './cli-arguments.ts';
import { showOperations } from './cli-operations.ts';
import { showBytes, showChanges, showSettings, showSnapshots, showStatus } from './cli-report.ts';
import { VERSION } from './version.ts';

const HELP = `ilion ${VERSION}, a database that Cassandra's drivers use

  ilion start [--config FILE] [--OPTION VALUE ...]   run a node; \`ilion config\` lists the options
  ilion dev FILE                                     run a cluster of processes on this machine, as FILE says (\`npm run dev -- FILE\`, in a
                                                     clone of the repository only)
  ilion status                                       what the node is and does
  ilion flush [KEYSPACE [TABLE]]                     write what is in memory to SST files
  ilion compact [KEYSPACE [TABLE]]                   rewrite SST files without what is deleted
  ilion snapshot [--name NAME]                       keep the data as it is now
  ilion snapshots                                    list what was kept
  ilion drop-snapshot NAME                           keep it no longer
  ilion operations [--watch]                         what moves in the ring, and how far it is
  ilion decommission [--no-wait]                     take the node out of the ring; its data goes to the others
  ilion removenode HOST_ID [--no-wait]               take a dead node out of the ring
  ilion cancel OPERATION_ID                          undo a change of the ring of which nothing is read yet
  ilion rebuild --from DC [KEYSPACE]                 get what the node owns from another datacenter
  ilion rebalance [--datacenter DC] [--dry-run]      move tokens until its nodes have equally many bytes, about
  ilion settings                                     what counts now, where it is from, and what can change without a restart
  ilion reload [NAME=VALUE ...]                      read the configuration file again; let these count, too, until the node stops
                                                     (NAME=default: the default, NAME=: what file, environment and flags say)
  ilion config                                       print a configuration file with every option
  ilion --version

All but start and config speak to the running node: at --admin HOST:PORT, or where --config FILE, $ILION_CONFIG and
$ILION_ADMIN_PORT say, or at 127.0.0.1:9043. They print JSON with --json.

Options of start are read from the configuration file, then from the environment (ILION_DATA_DIRECTORY=...), then from
flags (--data-directory ...); what is read later counts.`;

const WATCH_MILLIS = 500;

/** Something that the user can put right: one line, no stack. */
function problemOf(error: unknown): { readonly line: string; readonly exitCode: number } | null {
  if (error instanceof UsageError || error instanceof ConfigError) {
    return { line: error.message, exitCode: 2 };
  }
  if (error instanceof Error && 'code' in error) return { line: error.message, exitCode: 1 };
  return null;
}

/** @param args as typed after `ilion` @returns the exit code: 1 it failed, 2 it was not understood */
export async function runCli(args: string[]): Promise<number> {
  try {
    const command = parseArguments(args);
    switch (command.name) {
      case 'help':
        console.log(HELP);
        return 0;
      case 'version':
        console.log(`ilion ${VERSION}`);
        return 0;
      case 'config':
        console.log(documentedYaml());
        return 0;
      case 'start':
        return await runNode(command);
      default:
        return await runTool(command);
    }
  } catch (error) {
    const problem = problemOf(error);
    if (problem === null) throw error;
    console.error(`ilion: ${problem.line}`);
    return problem.exitCode;
  }
}

async function loadSettings(command: Command, flags: ReadonlyMap<string, string>) {
  const file = command.flags.get('config') ?? null;
  const { loadFromProcess } = await import('./process-settings.ts');
  return loadFromProcess(file, flags);
}

async function runNode(command: Command): Promise<number> {
  const options = new Map(command.flags);
  options.delete('config');
  const file = command.flags.get('config') ?? null;
  const { loadFromProcess } = await import('./process-settings.ts');
  // What is wrong with them is said before a database is loaded.
  loadFromProcess(file, options);
  const { start } = await import('./start.ts');
  const exitCode = await start({ load: (told) => loadFromProcess(file, options, told) });
  // Threads of a node that failed may still run, and hold the process.
  if (exitCode !== 0) process.exit(exitCode);
  return exitCode;
}

interface AdminPlace {
  readonly address: string;
  readonly encryption: InternodeEncryption | null;
}

async function adminOf(command: Command): Promise<AdminPlace> {
  const given = command.flags.get('admin');
  if (given !== undefined && !/^[^\s:]+:\d+$/.test(given)) {
    throw new UsageError(`--admin is '${given}', but must be HOST:PORT, such as 127.0.0.1:9043`);
  }
  // The certificates, too, are those of the node's own settings.
  const { settings } = await loadSettings(command, new Map());
  const host = settings.adminAddress === '0.0.0.0' ? '127.0.0.1' : settings.adminAddress;
  return {
    address: given ?? `${host}:${settings.adminPort}`,
    encryption: settings.adminEncryption,
  };
}

async function tlsOf(encryption: InternodeEncryption): Promise<LinkTls> {
  const { openLinkCertificates } = await import('../adapters/certificate-files.ts');
  const certificates = openLinkCertificates(encryption, null);
  certificates.close();
  return certificates.current();
}

async function runTool(command: Command): Promise<number> {
  const { address, encryption } = await adminOf(command);
  const { connectAdmin } = await import('./admin-client.ts');
  const admin = connectAdmin(address, encryption === null ? null : await tlsOf(encryption));
  try {
    const { value, text } = await ask(admin, command);
    console.log(command.flags.has('json') ? JSON.stringify(value, null, 2) : text);
    return 0;
  } finally {
    admin.close();
  }
}

interface Answer {
  readonly value: unknown;
  readonly text: string;
}

async function ask(admin: AdminClient, { name, flags, operands }: Command): Promise<Answer> {
  const [keyspace = '', table = ''] = operands;
  switch (name) {
    case 'status': {
      const value = await admin.status();
      return { value, text: showStatus(value) };
    }
    case 'flush': {
      const value = await admin.flush({ keyspace, table });
      return { value, text: `Flushed ${countTables(value.tables)}.` };
    }
    case 'compact': {
      const value = await admin.compact({ keyspace, table });
      const sizes = `${showBytes(value.bytesBefore)} before, ${showBytes(value.bytesAfter)} now`;
      return { value, text: `Compacted ${countTables(value.tables)}: the node had ${sizes}.` };
    }
    case 'snapshot': {
      const value = await admin.snapshot(flags.get('name') ?? '');
      const { directory, bytes } = value;
      return { value, text: `Snapshot ${value.name} (${showBytes(bytes)}) is in ${directory}.` };
    }
    case 'snapshots': {
      const value = await admin.snapshots();
      return { value, text: showSnapshots(value) };
    }
    case 'operations': {
      if (flags.has('watch')) await watchOperations(admin);
      const value = await admin.operations();
      return { value, text: showOperations(value) };
    }
    case 'decommission':
    case 'removenode': {
      const hostId = name === 'removenode' ? operands[0] : '';
      const id = await admin.removeNode({ hostId, dead: name === 'removenode' });
      if (id === '') {
        return { value: { id }, text: 'It was joining and had nothing yet: it has left.' };
      }
      if (!flags.has('no-wait')) await watchOperations(admin, id);
      const done = flags.has('no-wait') ? 'has begun' : 'is over';
      return { value: { id }, text: `Operation ${id} ${done}: \`ilion status\` shows the ring.` };
    }
    case 'rebuild': {
      const datacenter = flags.get('from');
      if (datacenter === undefined) {
        throw new UsageError('ilion rebuild: --from says which datacenter has the data');
      }
      const bytes = await admin.rebuild({ datacenter, keyspace });
      return { value: { bytes }, text: `Rebuilt: ${showBytes(bytes)} came from ${datacenter}.` };
    }
    case 'rebalance': {
      const { rebalance, showRebalanced } = await import('./cli-rebalance.ts');
      const isDryRun = flags.has('dry-run');
      const datacenter = flags.get('datacenter') ?? null;
      const tell = (line: string) => console.error(line);
      const value = await rebalance(admin, { datacenter, isDryRun, tell });
      return { value, text: showRebalanced(value, isDryRun) };
    }
    case 'cancel': {
      const [id] = operands;
      await admin.cancelOperation(id);
      return { value: { id }, text: `Operation ${id} is being undone.` };
    }
    case 'settings': {
      const value = await admin.settings();
      return { value, text: showSettings(value) };
    }
    case 'reload': {
      const value = await admin.reloadSettings(readSettings(operands));
      return { value, text: showChanges(value) };
    }
    default: {
      const [dropped] = operands;
      await admin.dropSnapshot(dropped);
      return { value: { dropped }, text: `Dropped snapshot ${dropped}.` };
    }
  }
}

/** @throws UsageError */
function readSettings(operands: readonly string[]): Readonly<Record<string, string>> {
  const pairs = operands.map((operand) => {
    const [, name, value] = /^([A-Za-z0-9_-]+)=(.*)$/s.exec(operand) ?? [];
    if (name === undefined) {
      throw new UsageError(`ilion reload: '${operand}' must be like log_level=debug`);
    }
    return [name.replaceAll('-', '_'), value];
  });
  return Object.fromEntries(pairs);
}

/** Prints how far they are, until there are none, or until this one is over. */
async function watchOperations(admin: AdminClient, id: string | null = null): Promise<void> {
  const { stdout } = process;
  let lines = 0;
  for (;;) {
    const list = await admin.operations();
    const operations = list.operations.filter((one) => id === null || one.id === id);
    if (operations.length === 0) return;
    const text = showOperations({ ...list, operations });
    if (stdout.isTTY) {
      if (lines > 0) stdout.write(`\x1b[${lines}A\x1b[J`);
      stdout.write(`${text}\n`);
      lines = text.split('\n').length;
    }
    await new Promise((resolve) => setTimeout(resolve, WATCH_MILLIS));
  }
}

const countTables = (count: number) => (count === 1 ? '1 table' : `${count} tables`);
