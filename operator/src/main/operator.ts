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
import type { KubeApi } from '../ports/kube.ts';
import { liveSource } from '../runtime/cache.ts';
import { type Engine, startEngine } from '../runtime/engine.ts';
import { Reconciler } from '../runtime/reconcile.ts';
import { serveHealth } from './health-server.ts';
import { createMetrics } from './metrics.ts';
import { type OperatorOptions, OptionError } from './options.ts';

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
      ...{ clock: systemClock, log: logger },
      reconciled: (outcome, writes, seconds) => metrics.reconciled(outcome, writes, seconds),
      reconciler: (cache) =>
        new Reconciler({
          isLeader: () => lease?.isLeader ?? true,
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
