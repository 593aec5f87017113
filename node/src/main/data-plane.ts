/** The part of a worker that serves the ring: links to peers on the data port, and the coordinator on them. */

import { openLinkCertificates } from '../adapters/certificate-files.ts';
import { createGrpcCarrier, GRPC_LINK_DEFAULTS } from '../adapters/grpc-links.ts';
import { createGrpcLinkServer } from '../adapters/grpc-links-server.ts';
import type { ClusterSettings, Settings } from '../config/settings.ts';
import { type Coordinator, createCoordinator } from '../coordinator/coordinator.ts';
import {
  type CoordinatorDeps,
  type CoordinatorTuning,
  DEFAULT_COORDINATOR_OPTIONS,
} from '../coordinator/ports.ts';
import type { LinkLogger } from '../internode/carrier.ts';
import type { LinkCounters } from '../internode/context.ts';
import { LinkHub } from '../internode/link-hub.ts';
import type { ClusterView } from './cluster-view.ts';

export interface DataPlaneDeps
  extends Pick<CoordinatorDeps, 'store' | 'locks' | 'clock' | 'timeUuid' | 'serialMicros'> {
  readonly settings: Settings;
  readonly cluster: ClusterSettings;
  /** Which of the node's workers. */
  readonly worker: number;
  readonly view: ClusterView;
  readonly logger: LinkLogger;
  /** Peers go by a later topology. */
  behind(epoch: number): void;
}

export interface DataPlane {
  readonly coordinator: Coordinator;
  readonly counters: Readonly<LinkCounters>;
  /** The members, or who of them is up, have changed. */
  follow(view: ClusterView): void;
  /** Other limits from now on. */
  configure(settings: Settings, cluster: ClusterSettings): void;
  stop(): Promise<void>;
}

/** Of requests, as the settings have them. */
function tuningOf({ timeouts, workers }: Settings, cluster: ClusterSettings): CoordinatorTuning {
  return {
    readTimeoutMillis: timeouts.readMs,
    rangeTimeoutMillis: timeouts.rangeMs,
    writeTimeoutMillis: timeouts.writeMs,
    counterTimeoutMillis: timeouts.counterMs,
    casContentionTimeoutMillis: timeouts.casMs,
    hints: {
      windowMillis: cluster.hintWindowMs,
      bytesMax: Math.ceil(cluster.hintBytesMax / workers),
    },
  };
}

function after(millis: number, run: () => void): () => void {
  const timer = setTimeout(run, millis);
  return () => clearTimeout(timer);
}

/** Listens; peers are served when `coordinator.start()` has been called. @throws what listening fails with */
export async function startDataPlane(deps: DataPlaneDeps): Promise<DataPlane> {
  const { settings, cluster, clock, logger } = deps;
  const { hostId, datacenter, rack, clusterName } = deps.view.node;
  const { clusterId } = deps.view.state;
  let { alive } = deps.view;
  // The main thread says what is wrong with them.
  const tls = cluster.encryption === null ? null : openLinkCertificates(cluster.encryption, null);
  const linkOptions = { ...GRPC_LINK_DEFAULTS, tls };
  const carrier = createGrpcCarrier(linkOptions);
  const links = new LinkHub({
    carrier,
    clock: { nowMillis: clock.monotonicMillis, after },
    log: logger,
    random: Math.random,
    schedule: (flush) => setImmediate(flush),
    hostId,
    clusterName,
    clusterId: () => clusterId,
  });
  const { workers } = settings;
  const { hints, ...tuning } = tuningOf(settings, cluster);
  const coordinator = createCoordinator(
    {
      store: deps.store,
      links,
      liveness: { isAlive: (id) => alive.has(id) },
      clock,
      timers: { after },
      random: Math.random,
      timeUuid: deps.timeUuid,
      locks: deps.locks,
      serialMicros: deps.serialMicros,
      self: { hostId, datacenter, rack },
      followTopology: deps.behind,
      logError: (message, error) => logger.error(message, { error }),
    },
    {
      ...tuning,
      worker: deps.worker,
      workers,
      hints: { ...DEFAULT_COORDINATOR_OPTIONS.hints, ...hints },
    },
  );
  coordinator.setNodes(deps.view.state);
  const server = await createGrpcLinkServer({
    ...linkOptions,
    host: cluster.listenAddress,
    port: cluster.dataPort,
    reusePort: workers > 1,
    accept: links.accept,
    log: logger,
  });
  return {
    coordinator,
    counters: links.counters,
    follow: (view) => {
      alive = view.alive;
      coordinator.setNodes(view.state);
    },
    configure: (next, ofCluster) => coordinator.configure(tuningOf(next, ofCluster)),
    stop: async () => {
      coordinator.stop();
      links.close();
      await server.close();
      carrier.close();
      tls?.close();
    },
  };
}
