/** The operator put together: it leads or waits, reconciles what changes, and tells how it is. */

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from '../../../node/src/adapters/logger.ts';
import { createCertificates, createOperatorCertificates } from '../adapters/certificates.ts';
import { createDatabaseNodes } from '../adapters/database-nodes.ts';
import {
  accessByKubeconfig,
  accessInCluster,
  isInCluster,
  type KubeAccess,
  KubeAccessError,
} from '../adapters/kube-access.ts';
import { createKubeClient } from '../adapters/kube-client.ts';
import { createTransport } from '../adapters/kube-transport.ts';
import { createLeaderLease, type LeaderLease } from '../adapters/leader-lease.ts';
import { systemClock } from '../adapters/system-clock.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import { Cache, liveSource } from '../runtime/cache.ts';
import { Reconciler } from '../runtime/reconcile.ts';
import { WorkQueue } from '../runtime/work-queue.ts';
import { serveHealth } from './health-server.ts';
import { createMetrics } from './metrics.ts';
import { type OperatorOptions, OptionError } from './options.ts';

/** Events may be lost for good, by a bug of ours or of others: every cluster is looked at now and then. */
const RESYNC_MILLIS = 5 * 60_000;
/** Before the first reconciliation, everything must have been seen once. */
const FILL_CHECK_MILLIS = 50;
/** Kubernetes kills a pod 30 s after SIGTERM. */
const STOP_MILLIS = 20_000;

export interface Operator {
  /** On which /healthz and the like are. */
  readonly httpPort: number;
  /** Settles when another operator leads: nothing may be done any more. */
  readonly lost: Promise<void>;
  /** Ends what is under way, gives the Lease back, and closes everything. */
  stop(): Promise<void>;
}

async function accessBy({ kubeconfig }: OperatorOptions): Promise<KubeAccess> {
  if (kubeconfig !== null) return accessByKubeconfig(kubeconfig);
  if (isInCluster(process.env)) return accessInCluster(process.env);
  throw new KubeAccessError(
    'this is no pod with a service account: give --kubeconfig FILE, or set automountServiceAccountToken: true',
  );
}

/** What leads: watches, the queue and the reconciler. */
interface Engine {
  isFilled(): boolean;
  clusters(): number;
  queued(): number;
  stop(): Promise<void>;
}

interface EngineParts {
  readonly kube: KubeApi;
  readonly reconciler: (cache: Cache) => Reconciler;
  readonly reconciled: (outcome: 'ok' | 'failed', writes: number, seconds: number) => void;
  readonly namespaces: readonly string[];
  readonly logger: Logger;
}

function startEngine({ kube, reconciler, reconciled, namespaces, logger }: EngineParts): Engine {
  const keyOf = (name: { readonly namespace: string; readonly name: string }) =>
    `${name.namespace}/${name.name}`;
  let isWorking = false;
  const cache = new Cache(kube, (cluster) => {
    if (isWorking) queue.add(keyOf(cluster));
  });
  const work = reconciler(cache);
  const queue = new WorkQueue(systemClock, async (key) => {
    const [namespace = '', name = ''] = key.split('/');
    const begun = performance.now();
    const seconds = () => (performance.now() - begun) / 1000;
    try {
      const { writes, failures, again } = await work.reconcile({ namespace, name });
      reconciled(failures === 0 ? 'ok' : 'failed', writes, seconds());
      if (failures > 0) throw new KubeError('UNAVAILABLE', `${failures} actions came to nothing`);
      return again === null ? null : again * 1000;
    } catch (error) {
      if (!(error instanceof KubeError)) {
        reconciled('failed', 0, seconds());
        logger.error('a reconciliation failed', { cluster: key, error });
      } else {
        logger.warn('a reconciliation is tried again', { cluster: key, why: error.message });
      }
      throw error;
    }
  });
  const addAll = () => {
    for (const cluster of cache.clusters()) queue.add(keyOf(cluster));
  };
  cache.start(namespaces);
  const filling = setInterval(() => {
    if (!cache.isFilled) return;
    clearInterval(filling);
    isWorking = true;
    addAll();
  }, FILL_CHECK_MILLIS);
  const resync = setInterval(addAll, RESYNC_MILLIS);
  return {
    isFilled: () => cache.isFilled,
    clusters: () => cache.clusters().length,
    queued: () => queue.size,
    stop: async () => {
      clearInterval(filling);
      clearInterval(resync);
      cache.stop();
      await queue.stop();
    },
  };
}

function leaseFor(
  options: OperatorOptions,
  access: KubeAccess,
  kube: KubeApi,
  identity: string,
  log: Logger,
): LeaderLease | null {
  if (!options.leaderElection) return null;
  const namespace = options.leaseNamespace ?? access.namespace;
  if (namespace === null) {
    throw new OptionError(
      '--lease-namespace is needed: the own namespace is not known (or --leader-election false)',
    );
  }
  const place = { namespace, name: options.leaseName, identity };
  return createLeaderLease({ kube, clock: systemClock, log, ...place });
}

/** @throws OptionError, KubeAccessError, or what listening fails with */
export async function startOperator(options: OperatorOptions, logger: Logger): Promise<Operator> {
  const access = await accessBy(options);
  const identity = `${hostname()}_${randomUUID()}`;
  let engine: Engine | null = null;
  const transport = createTransport(access);
  const kube = createKubeClient(transport, {
    instance: hostname(),
    onCall: (call) => {
      metrics.kubeCall(call);
      const { verb, kind, outcome } = call;
      if (verb === 'watch') logger.debug('a watch begins again', { kind, why: outcome });
      if (outcome === 'FORBIDDEN') {
        logger.error('the operator may not do what it has to: check its roles', { verb, kind });
      }
    },
  });
  const certificateOf = createOperatorCertificates(kube, systemClock.nowMillis);
  const database = createDatabaseNodes({
    certificateOf: ({ namespace, cluster }) => certificateOf(namespace, cluster),
    onCall: (name, outcome, seconds) => metrics.nodeCall(name, outcome, seconds),
  });
  const lease = leaseFor(options, access, kube, identity, logger);
  const metrics = createMetrics({
    clusters: () => engine?.clusters() ?? 0,
    queued: () => engine?.queued() ?? 0,
    leads: () => lease?.isLeader ?? true,
    connections: () => database.size(),
  });
  const certificates = createCertificates(kube, {
    nowMillis: systemClock.nowMillis,
    settleMillis: options.certificateSettleMillis,
  });
  const health = await serveHealth(options.httpAddress, options.httpPort, {
    metrics,
    // One that waits for its turn is as ready as it can be.
    notReady: () =>
      engine === null || engine.isFilled() ? null : 'watches have not brought everything yet',
  });
  const lead = () => {
    engine = startEngine({
      kube,
      namespaces: options.namespaces,
      logger,
      reconciled: (outcome, writes, seconds) => metrics.reconciled(outcome, writes, seconds),
      reconciler: (cache) =>
        new Reconciler({
          ...{ kube, database, certificates, cache, clock: systemClock, log: logger },
          live: liveSource(kube, cache),
          defaults: { image: options.image },
          random: Math.random,
        }),
    });
  };
  const { promise: lost, resolve: lose } = Promise.withResolvers<void>();
  if (lease === null) lead();
  else lease.start({ acquired: lead, lost: lose });
  logger.info('the operator runs', {
    namespaces: options.namespaces.length === 0 ? 'all' : options.namespaces,
    server: access.server.href,
    identity,
  });
  return {
    httpPort: health.port,
    lost,
    stop: async () => {
      const ended = (async () => {
        await engine?.stop();
        // Only now: another one may begin at once.
        await lease?.release();
      })();
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, STOP_MILLIS);
      await Promise.race([ended, late]);
      clearTimeout(timer);
      database.close();
      await health.close();
      transport.close();
    },
  };
}
