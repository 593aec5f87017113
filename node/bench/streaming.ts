/**
 * A second node joins one that has a table: how fast its half of it moves and what that costs both, as whole files, over
 * TLS, and row by row; beside what the kernel does with the same files.
 */
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createNativeEngine, receiveFile, sendFile } from '../native/index.ts';
import { type AdminClient, connectAdmin } from '../src/main/admin-client.ts';
import type { OperationGainer } from '../src/main/admin-messages.ts';
import { encryptionFlags, nodeCertificate } from '../tools/node-certificates.ts';
import { BenchError } from './client.ts';
import { cpuSecondsOf, residentMib } from './process-facts.ts';
import { type Report, ratio } from './report.ts';
import { createTables, LARGE_ROWS, runLoad } from './run-load.ts';
import type { BenchOptions } from './scenarios.ts';
import { type BenchServer, removeDirectory, startServer, temporaryDirectory } from './server.ts';

const GIB = 1 << 30;
const MIB = 1 << 20;
const CONTROL_PORT = 7000;
const LOOK_MILLIS = 20;
const LANES = 2;
const STALLED_MILLIS = 30_000;

/** The calls that move files belong to one. */
const ENGINE = {
  cacheBytes: MIB,
  memtableBytes: MIB,
  backgroundBytesPerSecond: 0,
  backgroundThreads: 1,
  readThreads: 1,
};

const MODES = [
  { name: 'whole files', isEncrypted: false, flags: {} },
  { name: 'whole files, TLS', isEncrypted: true, flags: {} },
  { name: 'row by row', isEncrypted: false, flags: { 'stream-entire-sstables': 'false' } },
] as const;

function addressOf(index: number): string {
  return `127.${200 + (process.pid % 50)}.${(process.pid >> 8) % 250}.${index + 1}`;
}

interface Moved {
  readonly bytes: number;
  readonly wholeBytes: number;
  readonly seconds: number;
  readonly sourceCpu: number;
  readonly targetCpu: number;
  /** MiB. */
  readonly sourceGrowth: number;
  readonly targetGrowth: number;
}

async function gainerOf(admin: AdminClient): Promise<OperationGainer | null> {
  const { operations } = await admin.operations();
  return operations[0]?.gainers[0] ?? null;
}

/** Looks at the transfer until it is over. */
async function watch(
  admin: AdminClient,
  source: BenchServer,
  targetPid: () => number | null,
): Promise<Moved> {
  let began: { at: number; source: number; target: number; rss: [number, number] } | null = null;
  let last: OperationGainer | null = null;
  let peak: [number, number] = [0, 0];
  for (;;) {
    const gainer = await gainerOf(admin);
    const target = targetPid();
    if (gainer !== null && target !== null) {
      const rss: [number, number] = [residentMib(source.pid).now, residentMib(target).now];
      began ??= {
        at: performance.now(),
        source: cpuSecondsOf(source.pid),
        target: cpuSecondsOf(target),
        rss,
      };
      peak = [Math.max(peak[0], rss[0]), Math.max(peak[1], rss[1])];
      if (gainer.bytesTotal > 0) last = gainer;
      if (gainer.done) {
        if (last === null) throw new BenchError('nothing was streamed');
        return {
          bytes: last.bytesTotal,
          wholeBytes: last.wholeBytes,
          seconds: (performance.now() - began.at) / 1000,
          sourceCpu: cpuSecondsOf(source.pid) - began.source,
          targetCpu: cpuSecondsOf(target) - began.target,
          sourceGrowth: peak[0] - began.rss[0],
          targetGrowth: peak[1] - began.rss[1],
        };
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MILLIS));
  }
}

/** The process of the node with this data directory, once there is one. */
function pidOf(directory: string): number | null {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      if (command.includes(directory) && command.includes('main.ts')) return Number(name);
    } catch {
      // Gone meanwhile.
    }
  }
  return null;
}

/** @returns what moved, and the same files moved by the kernel alone right before and after it */
async function bootstrap(
  options: BenchOptions,
  mode: (typeof MODES)[number],
  gib: number,
): Promise<{ readonly moved: Moved; readonly kernel: Moved }> {
  const directory = temporaryDirectory(options.directory);
  const nodes: BenchServer[] = [];
  const start = async (index: number) => {
    const host = addressOf(index);
    const tls = mode.isEncrypted
      ? encryptionFlags(nodeCertificate(directory, `n${index + 1}`, host))
      : {};
    const node = await startServer({
      dataDirectory: join(directory, `n${index + 1}`),
      host,
      flags: {
        'commitlog-sync': 'periodic',
        workers: '1',
        shards: '2',
        'admin-port': '9043',
        'memory-limit': '512MiB',
        'listen-address': host,
        seeds: `${addressOf(0)}:${CONTROL_PORT}`,
        ...mode.flags,
        ...tls,
      },
    });
    nodes.push(node);
    return node;
  };
  try {
    const source = await start(0);
    await createTables(source, [LARGE_ROWS]);
    const rows = Math.ceil((gib * GIB) / LARGE_ROWS.valueBytes);
    await runLoad(source, 'fill', LARGE_ROWS, { rows, connections: options.connections });
    const admin = connectAdmin(`${addressOf(0)}:9043`);
    await admin.compact({ keyspace: '', table: '' });
    const files = halfOf(join(directory, 'n1'));
    const copies = join(directory, 'raw');
    const before = await raw(files, copies);
    let pid: number | null = null;
    const second = join(directory, 'n2');
    const watched = watch(admin, source, () => (pid ??= pidOf(second)));
    const [moved] = await Promise.all([watched, start(1)]);
    admin.close();
    return { moved, kernel: together(before, await raw(files, copies)) };
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    removeDirectory(directory);
  }
}

/** Both ends; libuv does not read the second. */
async function connection(server: Server, port: number): Promise<readonly [Socket, Socket]> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect(port, '127.0.0.1');
  const [peer] = await accepted;
  if (client.connecting) await once(client, 'connect');
  return [client, peer];
}

/** Node has no public way to the descriptor. */
function fdOf(socket: Socket): number {
  return Number(Reflect.get(Reflect.get(socket, '_handle'), 'fd'));
}

/** Half of what a node has on its disk: as much as moves. */
function halfOf(dataDirectory: string): readonly string[] {
  const files = readdirSync(dataDirectory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.sst'))
    .map((name) => join(dataDirectory, name));
  return files.slice(0, Math.ceil(files.length / 2));
}

/** Files sent as they are by sendfile over loopback into files that are synced. */
async function raw(files: readonly string[], directory: string): Promise<Moved> {
  mkdirSync(directory);
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sizes = files.map((path) => statSync(path).size);
  const before = process.cpuUsage();
  const began = performance.now();
  const lane = async (first: number, [client, peer]: readonly [Socket, Socket]) => {
    for (let i = first; i < files.length; i += LANES) {
      const shared = { length: sizes[i], timeoutMs: STALLED_MILLIS };
      await Promise.all([
        sendFile({ ...shared, socketFd: fdOf(client), path: files[i], offset: 0 }),
        receiveFile({
          ...shared,
          socketFd: fdOf(peer),
          path: join(directory, String(i)),
          fsync: true,
        }),
      ]);
    }
    client.destroy();
    peer.destroy();
  };
  // One after another: connections are told apart by their order.
  const lanes: Promise<void>[] = [];
  for (let first = 0; first < LANES; first++) {
    const ends = await connection(server, port);
    lanes.push(lane(first, ends));
  }
  await Promise.all(lanes);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(before);
  server.close();
  removeDirectory(directory);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  return {
    bytes,
    wholeBytes: bytes,
    seconds,
    sourceCpu: (user + system) / 1e6,
    targetCpu: 0,
    sourceGrowth: 0,
    targetGrowth: 0,
  };
}

/** What two runs of the same together come to. */
function together(a: Moved, b: Moved): Moved {
  return {
    ...a,
    bytes: a.bytes + b.bytes,
    wholeBytes: a.wholeBytes + b.wholeBytes,
    seconds: a.seconds + b.seconds,
    sourceCpu: a.sourceCpu + b.sourceCpu,
  };
}

/** @param gib of the table, of which half moves */
export async function measureStreaming(
  report: Report,
  options: BenchOptions,
  gib: number,
): Promise<void> {
  createNativeEngine(ENGINE);
  const runs = new Map<string, Awaited<ReturnType<typeof bootstrap>>>();
  for (const mode of MODES) runs.set(mode.name, await bootstrap(options, mode, gib));
  const rateOf = (one: Moved) => one.bytes / MIB / one.seconds;
  const perCpu = (one: Moved) => one.bytes / MIB / (one.sourceCpu + one.targetCpu);
  const rows = runs.get('row by row')?.moved as Moved;
  const all = [...runs].flatMap(([name, { moved, kernel }]) => [
    { name, one: moved, kernel },
    { name: `sendfile and fsync beside ${name}`, one: kernel, kernel },
  ]);
  for (const { name, one, kernel } of all) {
    report.add({
      name,
      figures: {
        MiB: Math.round(one.bytes / MIB),
        seconds: one.seconds,
        'MiB/s': rateOf(one),
        'of raw': ratio(rateOf(one), rateOf(kernel)),
        'source cpu-s/GiB': (one.sourceCpu * GIB) / one.bytes,
        'target cpu-s/GiB': (one.targetCpu * GIB) / one.bytes,
        'MiB/cpu-s': perCpu(one),
        'x row by row': ratio(perCpu(one), perCpu(rows)),
        'whole %': (one.wholeBytes / one.bytes) * 100,
        'source rss +': one.sourceGrowth,
        'target rss +': one.targetGrowth,
      },
    });
  }
}
