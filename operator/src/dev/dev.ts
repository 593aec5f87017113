/**
 * `ilion dev`: the cluster of a file on this machine. The operator is the one of Kubernetes; in the place of Kubernetes there is an
 * API server in memory, kept on disk, and a kubelet that makes pods into processes.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join, relative, resolve } from 'node:path';
import { createLogger } from '../../../node/src/adapters/logger.ts';
import { operatorSecretName } from '../adapters/certificate-secrets.ts';
import { createCertificates, createOperatorCertificates } from '../adapters/certificates.ts';
import { createDatabaseNodes } from '../adapters/database-nodes.ts';
import { systemClock } from '../adapters/system-clock.ts';
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';
import { MemoryApi, type Stored } from '../memory/memory-api.ts';
import { LABELS } from '../resources/names.ts';
import { liveSource } from '../runtime/cache.ts';
import { startEngine } from '../runtime/engine.ts';
import { Reconciler } from '../runtime/reconcile.ts';
import { type ClusterFile, ClusterFileError, ClusterFileReader } from './cluster-file.ts';
import { Kubelet } from './kubelet.ts';
import { notHere } from './not-here.ts';
import { createReport } from './report.ts';
import { StateFile } from './state-file.ts';

/** What is asked for cannot be; the message is one line. */
export class DevError extends Error {
  readonly code = 'DEV';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DevError';
  }
}

export interface DevOptions {
  readonly file: string;
  /** Null: `data/dev/<name of the cluster>`. */
  readonly directory: string | null;
  /** For nodes, in this order. */
  readonly addresses: readonly string[];
  /** For people. */
  tell(line: string): void;
}

export interface Dev {
  /** Settles when it cannot go on. */
  readonly failed: Promise<Error>;
  /** All nodes end, in order. */
  stop(): Promise<void>;
  /** All nodes end at once. */
  kill(): void;
}

const NAMESPACE = 'default';
const TOOL_SETTINGS = 'ilion.yaml';
const LOOK_MILLIS = 300;
const ENGINE_STOP_MILLIS = 2_000;
const CERTIFICATE_SETTLE_MILLIS = 60_000;
/** On one machine nobody is disturbed by a look. */
const PAUSE_MILLIS = 50;

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new DevError(`${file}: ${isMissing ? 'there is no such file' : String(error)}`, {
      cause: error,
    });
  }
}

/** Held as long as this process lives, whatever ends it. @throws DevError another one has it */
async function lock(directory: string): Promise<Server> {
  const name = createHash('sha256').update(resolve(directory)).digest('hex').slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  const { promise, resolve: done, reject } = Promise.withResolvers<void>();
  server.once('error', (error) =>
    reject(new DevError(`${directory} is in use by another \`ilion dev\``, { cause: error })),
  );
  // A socket without a file.
  server.listen({ path: `\0ilion-dev-${name}` }, done);
  await promise;
  server.unref();
  return server;
}

function applyFile(api: MemoryApi, file: ClusterFile): void {
  const { name, labels, annotations, spec } = file;
  const known = api.find('DatacenterCluster', name, NAMESPACE);
  const metadata = { name, namespace: NAMESPACE, labels, annotations };
  if (known === undefined) {
    const kind = { apiVersion: 'ilion.dev/v1alpha1', kind: 'DatacenterCluster' };
    api.put('DatacenterCluster', { ...kind, metadata, spec });
    return;
  }
  api.edit('DatacenterCluster', known, (one) => {
    Object.assign(one.metadata, { labels, annotations });
    one.spec = structuredClone(spec) as unknown as Record<string, unknown>;
  });
}

/** Settings by which `ilion status` and the like find a node, and are let in. */
function writeToolSettings(directory: string, kubelet: Kubelet, api: MemoryApi): void {
  const [cluster] = api.all('DatacenterCluster').map(clusterOf);
  const [node] = api.all('DatabaseNode').flatMap((one) => addressOf(one) ?? []);
  const lines = [`admin_address: ${node}`, `listen_address: ${node}`];
  const secret = operatorSecretName(cluster.metadata.name);
  if (cluster.spec.tls.mode !== 'None' && kubelet.writeSecret(secret, NAMESPACE)) {
    const folder = kubelet.secret(secret);
    lines.push(
      ...['internode_encryption: all', 'admin_encryption: all'],
      `internode_certificate: ${folder}/tls.crt`,
      `internode_key: ${folder}/tls.key`,
      `internode_authority: ${folder}/ca.crt`,
    );
  }
  writeFileSync(join(directory, TOOL_SETTINGS), `${lines.join('\n')}\n`);
}

/** Where a node is that serves; null: it does not. */
function addressOf(node: Stored): string | null {
  const { phase, address } = (node as unknown as DatabaseNode).status ?? {};
  return phase === 'Ready' ? (address ?? null) : null;
}

const clusterOf = (stored: Stored) => stored as unknown as DatacenterCluster;

/** Looks at a file until it is stopped. Editors replace files, so it is looked for by its name. @returns stops it */
function followFile(file: string, text: string, changed: (text: string) => void): () => void {
  let last = text;
  const timer = setInterval(() => {
    let next: string;
    try {
      next = readFileSync(file, 'utf8');
    } catch {
      // In the middle of being replaced.
      return;
    }
    if (next === last) return;
    last = next;
    changed(next);
  }, LOOK_MILLIS);
  return () => clearInterval(timer);
}

/** @returns it, if it can be done here @throws ClusterFileError */
function possible(read: ClusterFile, file: string): ClusterFile {
  const why = notHere(read.spec);
  if (why !== null) throw new ClusterFileError(`${file}: ${why}`);
  return read;
}

/** @throws ClusterFileError, DevError, StateFileError */
export async function startDev(options: DevOptions): Promise<Dev> {
  const { file, tell, addresses } = options;
  const text = readText(file);
  const reader = new ClusterFileReader(file);
  const first = possible(reader.read(text, null), file);
  const directory = resolve(options.directory ?? join('data/dev', first.name));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const locked = await lock(directory);
  const state = new StateFile(directory);
  const { promise: failed, resolve: fail } = Promise.withResolvers<Error>();
  const api: MemoryApi = new MemoryApi({
    nowMillis: systemClock.nowMillis,
    newUid: () => randomUUID(),
    deliver: (run) => setImmediate(run),
    onGone: (kind, { metadata }) => {
      if (kind === 'PersistentVolumeClaim') kubelet.dropVolume(metadata.name);
    },
    onChange: (kind) =>
      state.follow(api, kind, (error) => fail(new DevError(String(error), { cause: error }))),
  });
  const kept = state.load();
  if (kept !== null) api.restore(kept);
  const [old] = api.all('DatacenterCluster');
  if (old !== undefined && old.metadata.name !== first.name) {
    const name = old.metadata.name;
    throw new DevError(`${directory} has the cluster ${name}, not ${first.name}: choose another`);
  }
  const isNew = old === undefined;
  applyFile(api, isNew ? first : reader.read(text, clusterOf(old).spec));

  const logger = createLogger({
    ...{ level: 'info', format: 'json', source: 'operator' },
    file: join(directory, 'operator.log'),
  });
  const kubelet = new Kubelet({ api, clock: systemClock, directory, addresses, tell });
  const certificateOf = createOperatorCertificates(api, systemClock.nowMillis);
  const database = createDatabaseNodes({
    certificateOf: ({ namespace, cluster }) => certificateOf(namespace, cluster),
  });
  const certificates = createCertificates(api, {
    nowMillis: systemClock.nowMillis,
    settleMillis: CERTIFICATE_SETTLE_MILLIS,
  });
  const report = createReport({
    clock: systemClock,
    tell,
    addresses: () => api.all('DatabaseNode').flatMap((node) => addressOf(node) ?? []),
    ready: () => {
      writeToolSettings(directory, kubelet, api);
      const settings = relative(process.cwd(), join(directory, TOOL_SETTINGS));
      return `npm run -s ilion -- status --config ${settings}`;
    },
    keptAt: (name) => {
      const claim = api.find('PersistentVolumeClaim', name, NAMESPACE);
      const labels = claim?.metadata['labels'] as Readonly<Record<string, string>> | undefined;
      return labels?.[LABELS.released] === 'true' ? kubelet.volume(name) : null;
    },
  });
  const stopReport = [
    api.watch('DatacenterCluster', null, {
      // What was, before this process.
      replaced: () => {},
      changed: report.cluster,
      deleted: () => {},
    }),
    api.watch('DatabaseNode', null, {
      replaced: report.known,
      changed: report.node,
      deleted: report.gone,
    }),
  ];
  tell(
    isNew
      ? `${first.name} is new: its data is in ${directory}`
      : `${first.name} is started again with its data in ${directory}`,
  );
  kubelet.start();
  const engine = startEngine({
    ...{ kube: api, clock: systemClock, log: logger, namespaces: [] },
    queue: { pauseMillis: PAUSE_MILLIS },
    reconciled: () => {},
    reconciler: (cache) =>
      new Reconciler({
        ...{ kube: api, database, certificates, cache, clock: systemClock, log: logger },
        live: liveSource(api, cache),
        defaults: { image: 'this-tree' },
        random: Math.random,
      }),
  });
  const stopFile = followFile(file, text, (next) => {
    const known = api.find('DatacenterCluster', first.name, NAMESPACE);
    if (known === undefined) return;
    try {
      const read = possible(reader.read(next, clusterOf(known).spec), file);
      if (read.name !== first.name) {
        throw new ClusterFileError(`${file}: metadata.name cannot change while the cluster runs`);
      }
      const { generation } = clusterOf(known).metadata;
      applyFile(api, read);
      if (clusterOf(known).metadata.generation !== generation) tell(`${file} has changed`);
    } catch (error) {
      if (!(error instanceof ClusterFileError)) throw error;
      tell(`${error.message}. Nothing is changed`);
    }
  });
  return {
    failed,
    kill: () => kubelet.kill(),
    stop: async () => {
      stopFile();
      for (const stop of stopReport) stop();
      // It may wait for nodes: they stop in any case.
      const { promise: late, resolve: isLate } = Promise.withResolvers<void>();
      const forget = systemClock.after(ENGINE_STOP_MILLIS, isLate);
      await Promise.race([engine.stop(), late]);
      forget();
      await kubelet.stop();
      database.close();
      locked.close();
    },
  };
}
