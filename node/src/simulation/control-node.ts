/** What of a node agrees with the others, in a world: links, gossip and the metadata log, with nothing above them. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { EpochWaits, encodeEpoch } from '../cluster/epoch-waits.ts';
import { Gossip } from '../cluster/gossip.ts';
import { decodeLeftOver, encodeLeftOver, type LeftOver } from '../cluster/left-over.ts';
import { MetadataError } from '../cluster/metadata-errors.ts';
import { MetadataLog } from '../cluster/metadata-log.ts';
import { requireOwnPlace } from '../cluster/own-place.ts';
import { TopologyDriver } from '../cluster/topology-driver.ts';
import { TopologyRequests } from '../cluster/topology-requests.ts';
import type { LinkHub } from '../internode/link-hub.ts';
import { type Peer, request, Verb } from '../internode/links.ts';
import { formatUuid, randomUuid } from '../types/uuid.ts';
import { WatchedLinks } from './watched-links.ts';
import type { NodeWorld, SimulatedNode } from './world.ts';

const CLUSTER_NAME = 'simulation';
/** The first nodes are the contacts of all. */
const SEEDS = 3;
const ALONE_MILLIS = 3000;
const JOIN_MILLIS = 10_000;
const REACHED_MILLIS = 2_000;
const NOTHING = new Uint8Array(0);
/** A joining node that is down for so long is given up. */
const GIVE_UP_MILLIS = 20_000;

/** How a node comes to its cluster. */
export interface NodeEntry {
  /** It starts one, if it has no data. */
  readonly starts: boolean;
  /** Whom it asks; found out anew each time. */
  contacts(): readonly Peer[];
}

export interface ControlNodeOptions {
  /** Not given: the world's first node starts the cluster, and the first ones are the contacts of all. */
  readonly entry?: NodeEntry;
  /** Called with the state after each change that this node applies: its epoch, and all of it as text. */
  readonly applied?: (facts: NodeWorld, epoch: number, state: string) => void;
  readonly tokenCount?: number;
  /** Topology changes are driven, and nodes join by them. */
  readonly moves?: boolean;
}

function selfOf(facts: NodeWorld): NodeInfo {
  const { hostId, address, controlPort, dataPort, datacenter, rack } = facts;
  return {
    ...{ hostId, address, controlPort, dataPort, datacenter, rack },
    rpcAddress: address,
    rpcPort: 9042,
    tokens: [],
    state: 'normal',
    releaseVersion: '0',
  };
}

export class ControlNode implements SimulatedNode {
  readonly facts: NodeWorld;
  readonly links: LinkHub;
  readonly gossip: Gossip;
  private readonly options: ControlNodeOptions;
  private entered: MetadataLog | null = null;
  private started: MetadataLog | null = null;
  private readonly topologies = new EpochWaits();
  private ownLeftOver: (() => LeftOver) | null = null;
  private moving: { readonly driver: TopologyDriver; readonly requests: TopologyRequests } | null =
    null;

  constructor(facts: NodeWorld, options: ControlNodeOptions = {}) {
    this.facts = facts;
    this.options = options;
    const { hostId, carrier, clock, log, schedule } = facts;
    const random = () => facts.random.next();
    const links = {
      ...{ hostId, carrier, clock, log, schedule, random },
      clusterName: CLUSTER_NAME,
      clusterId: () => this.clusterId,
    };
    this.links = new WatchedLinks(links, facts.moment);
    this.gossip = new Gossip({
      ...{ hostId, clock, random, links: this.links },
      clusterId: () => this.clusterId,
      generation: Math.floor(clock.micros() / 1_000_000),
    });
  }

  /** @throws TypeError before `start` has resolved */
  get log(): MetadataLog {
    if (this.started === null) throw new TypeError('the node has not started');
    return this.started;
  }

  /** Empty: not in a cluster yet. */
  get clusterId(): string {
    return this.entered?.current().clusterId ?? '';
  }

  /** Null before `start` has resolved. */
  get logIfStarted(): MetadataLog | null {
    return this.started;
  }

  /** What people ask for. @throws TypeError before `start` has resolved, or if nothing moves */
  get requests(): TopologyRequests {
    if (this.moving === null) throw new TypeError('nothing moves here');
    return this.moving.requests;
  }

  /** What topology changes wait for, if this node leads. */
  waiting(): ReadonlyMap<string, string> {
    return this.moving?.driver.waiting() ?? new Map();
  }

  /** @param leftOver what the worker keeps for others, now that it is there */
  serveLeftOver(leftOver: () => LeftOver): void {
    this.ownLeftOver = leftOver;
  }

  /** All of this node's workers go by this topology. */
  announceTopology(epoch: number): void {
    this.topologies.reached(epoch);
  }

  async start(): Promise<void> {
    const { facts, gossip, links, options } = this;
    const { hostId, clock, metadata, random } = facts;
    facts.listen(facts.controlPort, links.accept);
    links.handle(Verb.TopologyReached, (_from, body, responder) =>
      this.topologies.serve(body, responder),
    );
    links.handle(Verb.LeftOver, (_from, _body, responder) => {
      if (this.ownLeftOver === null) responder.fail('OVERLOADED', 'this node is starting');
      else responder.answer(encodeLeftOver(this.ownLeftOver()));
    });
    const log = await MetadataLog.start(
      {
        ...{ hostId, links, clock },
        disk: metadata,
        random: () => random.next(),
        liveness: gossip,
        peerOf: (id) => gossip.peerOf(id),
        logger: facts.log,
        onFatal: (error) => facts.exit(error.message),
      },
      { movesData: options.moves === true },
    );
    this.entered = log;
    const self = selfOf(facts);
    requireOwnPlace(log.current().nodes.get(hostId), self);
    await this.enter(log, self);
    links.joined();
    gossip.setMembers(log.current().nodes.values());
    gossip.start(self, new Map(), this.contacts());
    log.announce(self);
    log.onChange((state) => {
      gossip.setMembers(state.nodes.values());
      this.tell(log);
    });
    this.tell(log);
    if (options.moves === true) this.drive(log);
    this.started = log;
  }

  private drive(log: MetadataLog): void {
    const { facts, gossip, topologies, links } = this;
    const { hostId, clock, random } = facts;
    const bytes = () => Uint8Array.from({ length: 16 }, () => random.below(256));
    const newId = () => formatUuid(randomUuid(bytes()));
    const deps = { hostId, log, liveness: gossip, clock, logger: facts.log, newId };
    const reached = async (node: NodeInfo, epoch: number): Promise<boolean> => {
      if (node.hostId === hostId) return topologies.epoch >= epoch;
      const peer = gossip.peerOf(node.hostId) ?? node;
      return request(links, peer, Verb.TopologyReached, encodeEpoch(epoch), REACHED_MILLIS).then(
        () => true,
        () => false,
      );
    };
    const leftOver = async (node: NodeInfo): Promise<LeftOver | null> => {
      if (node.hostId === hostId) return this.ownLeftOver?.() ?? null;
      const peer = gossip.peerOf(node.hostId) ?? node;
      return request(links, peer, Verb.LeftOver, NOTHING, REACHED_MILLIS).then(
        decodeLeftOver,
        () => null,
      );
    };
    const options = { joinGiveUpMillis: GIVE_UP_MILLIS };
    const driver = new TopologyDriver({ ...deps, reached, leftOver }, options);
    this.moving = { driver, requests: new TopologyRequests(deps) };
  }

  async stop(): Promise<void> {
    await this.moving?.driver.stop();
    this.gossip.stop();
    await this.started?.stop();
    this.links.close();
  }

  /** The first node of a new world begins the cluster if it finds none; the others ask until they are let in. */
  private async enter(log: MetadataLog, self: NodeInfo): Promise<void> {
    const { entry } = this.options;
    if (entry?.starts === true && !log.isMember) await log.bootstrap(CLUSTER_NAME, self);
    const isFirst = entry === undefined && this.facts.index === 0;
    while (!log.isMember) {
      try {
        await log.join(this.contacts(), {
          ...{ clusterName: CLUSTER_NAME, self },
          tokenCount: this.options.tokenCount ?? 16,
          replaces: this.facts.replaces,
          timeoutMillis: isFirst ? ALONE_MILLIS : JOIN_MILLIS,
        });
      } catch (error) {
        if (!(error instanceof MetadataError) || error.code !== 'NO_MAJORITY') throw error;
        if (isFirst) await log.bootstrap(CLUSTER_NAME, self);
      }
    }
  }

  private contacts(): readonly Peer[] {
    return this.options.entry?.contacts() ?? this.facts.contacts.slice(0, SEEDS);
  }

  private tell(log: MetadataLog): void {
    const { applied } = this.options;
    if (applied === undefined) return;
    const { epoch, schema, nodes } = log.current();
    const members = [...nodes.values()].map(({ tokens, ...node }) => [...tokens.map(String), node]);
    applied(this.facts, epoch, JSON.stringify([schema, members]));
  }
}
