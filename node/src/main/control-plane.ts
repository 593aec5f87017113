/**
 * The part of a node that agrees with the others: gossip, the metadata log, and their links, all in the main thread. A
 * node that is new finds its cluster by the seeds, or starts one.
 */
import { randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { openLinkCertificates } from '../adapters/certificate-files.ts';
import { createGrpcCarrier, GRPC_LINK_DEFAULTS } from '../adapters/grpc-links.ts';
import { createGrpcLinkServer } from '../adapters/grpc-links-server.ts';
import type { LinkTlsSource } from '../adapters/grpc-links-tls.ts';
import type { Logger } from '../adapters/logger.ts';
import { createMetadataDisk } from '../adapters/metadata-disk.ts';
import type { ClusterCommand, ClusterState, NodeInfo } from '../cluster/cluster-state.ts';
import { refusalOfReplication } from '../cluster/commands.ts';
import { decodeEpoch, EpochWaits, encodeEpoch, sharedRounds } from '../cluster/epoch-waits.ts';
import { Gossip, StateKey } from '../cluster/gossip.ts';
import { decodeLeftOver, encodeLeftOver, type LeftOver } from '../cluster/left-over.ts';
import { MetadataError } from '../cluster/metadata-errors.ts';
import { MetadataLog } from '../cluster/metadata-log.ts';
import { requireOwnPlace } from '../cluster/own-place.ts';
import type { ClusterClock } from '../cluster/ports.ts';
import type { SchemaChange } from '../cluster/schema-change.ts';
import { TopologyDriver } from '../cluster/topology-driver.ts';
import { TopologyRequests } from '../cluster/topology-requests.ts';
import { decodeWaits, encodeWaits } from '../cluster/topology-waits.ts';
import { type CqlError, invalidRequest, overloaded, serverError } from '../common/errors.ts';
import type { ClusterSettings, Seed, Settings } from '../config/settings.ts';
import { LinkHub } from '../internode/link-hub.ts';
import { type Links, type Peer, request, Verb } from '../internode/links.ts';
import type { Schema } from '../schema/schema.ts';
import type { SchemaJson } from '../schema/schema-json.ts';
import { inTurns } from './in-turns.ts';
import { refuseTwin } from './twin.ts';
import { VERSION } from './version.ts';

/** A new node asks the seeds for so long before it says so and goes on asking. */
const JOIN_MILLIS = 10_000;
const SCHEMA_MILLIS = 10_000;
const PROPOSE_MILLIS = 10_000;
const REACHED_MILLIS = 2_000;
/** A node that has just started takes peers for down until it hears of them: clients have to wait for that. */
const HEAR_MILLIS = 3_000;
const HEAR_LOOK_MILLIS = 20;
/** Workers are told of the cluster no more often than this. */
const CHANGED_MILLIS = 10;
/** How long a schema change waits for the nodes that are up; drivers wait for the rest. */
const SETTLE_MILLIS = 5_000;
const CATCH_UP_MILLIS = 2_000;
/** Names among the seeds are asked for so often. */
const NAMES_MILLIS = 5_000;
const NOTHING = new Uint8Array(0);

/** What became of a command. */
export interface CommandVerdict {
  readonly applied: boolean;
  /** Why it was refused; null: it was not. */
  readonly reason: string | null;
}

export interface ControlPlane {
  current(): ClusterState;
  /** Host ids of nodes that are up, this one among them. */
  alive(): ReadonlySet<string>;
  /** Of those the ones that take requests. */
  serving(): ReadonlySet<string>;
  /** This node's workers take requests of peers. Resolves when the others know, or in a few seconds. */
  serve(): Promise<void>;
  /** The schema that a peer has, as it says; null: not known. */
  schemaVersionOf(hostId: string): string | null;
  /** @returns false: what the change was planned on is not so any more @throws CqlError */
  proposeSchema(change: SchemaChange): Promise<boolean>;
  /** Waits until this node knows all that was agreed before the call; not for long. */
  caughtUp(): Promise<void>;
  /** Resolves when this node knows all that was agreed before the call. @throws MetadataError */
  agree(): Promise<void>;
  /** Tells the others which schema this node has. */
  announceSchema(schema: Pick<Schema, 'version' | 'epoch'>): void;
  /** On the control port. */
  readonly links: Links;
  /** Null: links are not encrypted. */
  readonly tls: LinkTlsSource | null;
  /** @throws CqlError: nobody decided it in time */
  propose(command: ClusterCommand): Promise<CommandVerdict>;
  /** Changes of the ring that people ask for. */
  readonly requests: TopologyRequests;
  /** The workers of this node have the topology of this epoch. */
  announceTopology(epoch: number): void;
  /** Other settings from now on. */
  configure(cluster: ClusterSettings): void;
  /** What changes of the ring wait for, by their ids, as the leader of the log says; null: it does not answer. */
  waits(): Promise<ReadonlyMap<string, string> | null>;
  /** @param leftOver what this node keeps for others */
  serveLeftOver(leftOver: () => Promise<LeftOver>): void;
  /** Waits until the nodes that are up have a schema of this epoch, for a while. */
  settled(epoch: number): Promise<void>;
  /** @param listener called when the state or the liveness has changed */
  onChange(listener: () => void): void;
  /** Tells the others that this node goes. */
  stop(): Promise<void>;
}

export interface ControlPlaneDeps {
  readonly settings: Settings;
  readonly cluster: ClusterSettings;
  readonly hostId: string;
  /** Of the node's data, for the first node of a cluster. */
  readonly schema: SchemaJson;
  readonly logger: Logger;
  onFatal(error: Error): void;
}

const clock: ClusterClock = {
  nowMillis: () => performance.now(),
  every: (millis, run) => {
    const timer = setInterval(run, millis);
    return () => clearInterval(timer);
  },
  after: (millis, run) => {
    const timer = setTimeout(run, millis);
    return () => clearTimeout(timer);
  },
};

function describeSelf({ settings, cluster, hostId }: ControlPlaneDeps): NodeInfo {
  return {
    hostId,
    address: cluster.listenAddress,
    controlPort: cluster.controlPort,
    dataPort: cluster.dataPort,
    datacenter: settings.datacenter,
    rack: settings.rack,
    rpcAddress: settings.rpcAddress === '0.0.0.0' ? cluster.listenAddress : settings.rpcAddress,
    rpcPort: settings.nativeTransportPort,
    tokens: [],
    state: 'normal',
    releaseVersion: VERSION,
  };
}

function schemaFailure(error: unknown): CqlError {
  if (error instanceof MetadataError && error.code === 'OVERLOADED')
    return overloaded(error.message);
  return serverError(error instanceof Error ? error.message : String(error), { cause: error });
}

/** Where seeds are now: a name stands for all addresses that it has. Names that are not known yet are left out. */
async function contactsOf(seeds: readonly Seed[]): Promise<readonly Peer[]> {
  const found = await Promise.all(
    seeds.map(async ({ host, port }) => {
      const addresses = isIPv4(host) ? [host] : await addressesOf(host);
      return addresses.map((address) => ({
        hostId: '',
        address,
        controlPort: port,
        dataPort: 0,
      }));
    }),
  );
  return found.flat();
}

async function addressesOf(name: string): Promise<readonly string[]> {
  try {
    return (await lookup(name, { family: 4, all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
}

function isAt(a: Peer, b: Peer): boolean {
  return a.address === b.address && a.controlPort === b.controlPort;
}

function gossipStates(self: NodeInfo): ReadonlyMap<StateKey, string> {
  return new Map([
    [StateKey.RpcAddress, self.rpcAddress],
    [StateKey.RpcPort, String(self.rpcPort)],
    [StateKey.Datacenter, self.datacenter],
    [StateKey.Rack, self.rack],
    [StateKey.ReleaseVersion, self.releaseVersion],
  ]);
}

/** Where the seeds are: names among them are asked for again and again, as pods get another address with each start. */
class SeedPlaces {
  private readonly found: (contacts: readonly Peer[]) => void;
  private seeds: readonly Seed[] = [];
  private readonly stopAsking: () => void;

  constructor(found: (contacts: readonly Peer[]) => void) {
    this.found = found;
    this.stopAsking = clock.every(NAMES_MILLIS, () => {
      if (!this.seeds.every(({ host }) => isIPv4(host))) this.follow(this.seeds);
    });
  }

  follow(seeds: readonly Seed[]): void {
    this.seeds = seeds;
    void contactsOf(seeds).then((contacts) => {
      if (this.seeds === seeds) this.found(contacts);
    });
  }

  stop(): void {
    this.stopAsking();
  }
}

/** Makes this node a member, if it is none yet. @throws JoinRefusedError */
async function enter(log: MetadataLog, deps: ControlPlaneDeps, self: NodeInfo): Promise<void> {
  const { settings, cluster, logger, schema } = deps;
  if (log.isMember) return;
  const { clusterName } = settings;
  const isSelf = ({ host, port }: Seed) => host === self.address && port === self.controlPort;
  // Never by guessing that the others are not there: a seed with a new disk would start a second cluster beside them.
  if (cluster.startsCluster || cluster.seeds.every(isSelf)) {
    logger.info('starting a new cluster', { name: clusterName });
    await log.bootstrap(clusterName, self, schema);
    return;
  }
  for (;;) {
    const contacts = (await contactsOf(cluster.seeds)).filter((seed) => !isAt(seed, self));
    try {
      logger.info('looking for the cluster', {
        seeds: cluster.seeds.map(({ host, port }) => `${host}:${port}`).join(','),
        addresses: contacts.length,
      });
      if (contacts.length === 0)
        throw new MetadataError('NO_MAJORITY', 'the seeds have no address');
      await log.join(contacts, {
        clusterName,
        self,
        tokenCount: cluster.numTokens,
        replaces: cluster.replaces,
        timeoutMillis: JOIN_MILLIS,
      });
      logger.info('joined the cluster', { nodes: log.current().nodes.size });
      return;
    } catch (error) {
      if (!(error instanceof MetadataError) || error.code !== 'NO_MAJORITY') throw error;
      logger.warn('no seed takes this node in; it goes on asking', { reason: error.message });
      if (contacts.length === 0) await new Promise((resolve) => setTimeout(resolve, NAMES_MILLIS));
    }
  }
}

/** Resolves when every member has been heard of, or after a while: who is not is taken for down. */
async function hearMembers(log: MetadataLog, gossip: Gossip, hostId: string): Promise<void> {
  const end = clock.nowMillis() + HEAR_MILLIS;
  const isSilent = ({ hostId: id, state }: NodeInfo) =>
    id !== hostId && state !== 'left' && !gossip.isAlive(id);
  while ([...log.current().nodes.values()].some(isSilent) && clock.nowMillis() < end) {
    await new Promise((resolve) => setTimeout(resolve, HEAR_LOOK_MILLIS));
  }
}

/** @throws JoinRefusedError, OwnPlaceError, TwinError, CertificateFileError; what listening or a damaged log fails with */
export async function startControlPlane(deps: ControlPlaneDeps): Promise<ControlPlane> {
  const { settings, cluster, hostId, logger } = deps;
  let clusterId = '';
  const tls = cluster.encryption === null ? null : openLinkCertificates(cluster.encryption, logger);
  const linkOptions = { ...GRPC_LINK_DEFAULTS, tls };
  const carrier = createGrpcCarrier(linkOptions);
  const links = new LinkHub({
    carrier,
    clock,
    log: logger,
    random: Math.random,
    schedule: (flush) => setImmediate(flush),
    hostId,
    clusterName: settings.clusterName,
    clusterId: () => clusterId,
  });
  const server = await createGrpcLinkServer({
    ...linkOptions,
    host: cluster.listenAddress,
    port: cluster.controlPort,
    reusePort: false,
    accept: links.accept,
    log: logger,
  });
  const self = describeSelf(deps);
  const listeners: (() => void)[] = [];
  const changed = inTurns(clock, CHANGED_MILLIS, () => {
    for (const listener of listeners) listener();
  });
  const gossip = new Gossip(
    {
      hostId,
      clusterId: () => clusterId,
      generation: Math.floor(Date.now() / 1000),
      links,
      clock,
      random: Math.random,
    },
    { phiThreshold: cluster.phiConvictThreshold },
  );
  // All nodes that were up then have this schema: drivers that ask for it need not wait for gossip.
  let settledEpoch = 0;
  const schemaVersionOf = (id: string) => {
    const { schema } = log.current();
    if (settledEpoch >= schema.epoch && gossip.isAlive(id)) return schema.version;
    return gossip.peer(id)?.get(StateKey.SchemaVersion) ?? null;
  };
  const waits = new EpochWaits();
  const topologies = new EpochWaits();
  links.handle(Verb.TopologyReached, (_from, body, responder) => topologies.serve(body, responder));
  links.handle(Verb.AwaitSchema, (_from, body, responder) => waits.serve(body, responder));
  links.handle(Verb.SchemaSettled, (_from, body, responder) => {
    const epoch = decodeEpoch(body) ?? 0;
    if (epoch > settledEpoch) {
      settledEpoch = epoch;
      changed();
    }
    responder.answer(new Uint8Array(0));
  });
  const directory = join(settings.dataDirectory, 'metadata-log');
  const disk = createMetadataDisk(directory);
  const log = await MetadataLog.start(
    {
      hostId,
      links,
      disk,
      clock,
      random: Math.random,
      liveness: gossip,
      peerOf: (id) => gossip.peerOf(id),
      logger,
      onFatal: deps.onFatal,
    },
    { movesData: true },
  );
  const stop = async () => {
    const told = gossip.stop();
    await log.stop();
    await told;
    await disk.close();
    links.close();
    await server.close();
    carrier.close();
    tls?.close();
  };
  // What the disk has; of a new node nothing.
  clusterId = log.current().clusterId;
  try {
    requireOwnPlace(log.current().nodes.get(hostId), self);
    await refuseTwin(links, log.current().nodes.get(hostId), self);
    await enter(log, deps, self);
    clusterId = log.current().clusterId;
    links.joined();
  } catch (error) {
    await stop();
    throw error;
  }
  gossip.setMembers(log.current().nodes.values());
  gossip.start(self, gossipStates(self), await contactsOf(cluster.seeds));
  const seeds = new SeedPlaces((contacts) => gossip.setSeeds(contacts));
  seeds.follow(cluster.seeds);
  log.announce(self);
  log.onChange(({ nodes }) => {
    gossip.setMembers(nodes.values());
    changed();
  });
  gossip.onEvent(({ kind, peer }) => {
    const address = peer.get(StateKey.Address);
    if (kind !== 'changed') logger.info(`node is ${kind}`, { address, hostId: peer.hostId });
    changed();
  });

  await hearMembers(log, gossip, hostId);
  // Who does not know yet that this node is up would not wait for it with a schema change.
  await gossip.greet();
  // It may have been taken out of the ring while it was away, and is not told unless it asks.
  void log.barrier(CATCH_UP_MILLIS).catch(() => {});

  const those = (isMeant: (id: string) => boolean) => {
    const ids = [...log.current().nodes.keys()];
    return new Set(ids.filter((id) => id === hostId || isMeant(id)));
  };
  const alive = () => those((id) => gossip.isAlive(id));
  const reached = async (node: NodeInfo, epoch: number): Promise<boolean> => {
    if (node.hostId === hostId) return topologies.epoch >= epoch;
    const peer = gossip.peerOf(node.hostId) ?? node;
    const body = encodeEpoch(epoch);
    return request(links, peer, Verb.TopologyReached, body, REACHED_MILLIS).then(
      () => true,
      () => false,
    );
  };
  // The workers have it, and are not there yet.
  let ownLeftOver: () => Promise<LeftOver | null> = () => Promise.resolve(null);
  links.handle(Verb.LeftOver, (_from, _body, responder) => {
    ownLeftOver().then(
      (left) => {
        if (left === null) responder.fail('OVERLOADED', 'this node is starting');
        else responder.answer(encodeLeftOver(left));
      },
      (error: unknown) => responder.fail('FAILED', String(error)),
    );
  });
  const leftOver = (node: NodeInfo): Promise<LeftOver | null> => {
    if (node.hostId === hostId) return ownLeftOver();
    const peer = gossip.peerOf(node.hostId) ?? node;
    return request(links, peer, Verb.LeftOver, NOTHING, REACHED_MILLIS).then(
      decodeLeftOver,
      () => null,
    );
  };
  const newId = randomUUID;
  const topology = { hostId, log, liveness: gossip, clock, logger, newId };
  const driver = new TopologyDriver({ ...topology, reached, leftOver });
  links.handle(Verb.TopologyWaits, (_from, _body, responder) =>
    responder.answer(encodeWaits(driver.waiting())),
  );
  return {
    current: () => log.current(),
    requests: new TopologyRequests(topology),
    alive,
    serving: () => those((id) => gossip.isServing(id)),
    serve: () => gossip.serve(),
    schemaVersionOf,
    proposeSchema: async (change) => {
      const outcome = await log
        .propose({ kind: 'schema', change }, SCHEMA_MILLIS)
        .catch((error) => {
          throw schemaFailure(error);
        });
      // Replicas cannot be other ones while ranges move: planning again would not help.
      const reason = outcome.applied ? null : refusalOfReplication(log.current(), change);
      if (reason !== null) throw invalidRequest(reason);
      return outcome.applied;
    },
    // Without a majority this node cannot know better.
    caughtUp: () => log.barrier(CATCH_UP_MILLIS).catch(() => {}),
    agree: () => log.barrier(CATCH_UP_MILLIS),
    links,
    tls,
    propose: async (command) => {
      try {
        return await log.propose(command, PROPOSE_MILLIS);
      } catch (error) {
        throw schemaFailure(error);
      }
    },
    waits: async () => {
      const leader = log.status()?.leader ?? null;
      if (leader === hostId) return driver.waiting();
      const peer =
        leader === null ? null : (gossip.peerOf(leader) ?? log.current().nodes.get(leader));
      if (peer == null) return null;
      const answer = await request(links, peer, Verb.TopologyWaits, NOTHING, REACHED_MILLIS).catch(
        () => null,
      );
      return answer === null ? null : decodeWaits(answer);
    },
    serveLeftOver: (serve) => {
      ownLeftOver = serve;
    },
    announceTopology: (epoch) => topologies.reached(epoch),
    configure: ({ phiConvictThreshold, seeds: next }) => {
      gossip.setPhiThreshold(phiConvictThreshold);
      seeds.follow(next);
    },
    announceSchema: ({ version, epoch }) => {
      gossip.set(StateKey.SchemaVersion, version);
      waits.reached(epoch);
    },
    settled: sharedRounds(async (epoch) => {
      const { nodes } = log.current();
      const others = [...alive()].filter((id) => id !== hostId);
      const peers = others.flatMap((id) => gossip.peerOf(id) ?? nodes.get(id) ?? []);
      const body = encodeEpoch(epoch);
      const tell = (verb: typeof Verb.AwaitSchema | typeof Verb.SchemaSettled) =>
        Promise.allSettled(peers.map((peer) => request(links, peer, verb, body, SETTLE_MILLIS)));
      const answers = await tell(Verb.AwaitSchema);
      const silent = peers.filter((_, i) => answers[i].status === 'rejected');
      // They have it later, as those that are down.
      if (silent.length > 0) {
        const addresses = silent.map(({ address }) => address).join(',');
        logger.warn('nodes that are up have not said that they have the schema', { addresses });
        return;
      }
      if (epoch > settledEpoch) {
        settledEpoch = epoch;
        changed();
      }
      await tell(Verb.SchemaSettled);
    }),
    onChange: (listener) => {
      listeners.push(listener);
    },
    stop: async () => {
      seeds.stop();
      await driver.stop();
      await stop();
    },
  };
}
