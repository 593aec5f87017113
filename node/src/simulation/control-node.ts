/** What of a node agrees with the others, in a world: links, gossip and the metadata log, with nothing above them. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Gossip } from '../cluster/gossip.ts';
import { MetadataError } from '../cluster/metadata-errors.ts';
import { MetadataLog } from '../cluster/metadata-log.ts';
import { LinkHub } from '../internode/link-hub.ts';
import type { NodeWorld, SimulatedNode } from './world.ts';

const CLUSTER_NAME = 'simulation';
/** The first nodes are the contacts of all. */
const SEEDS = 3;
const ALONE_MILLIS = 3000;
const JOIN_MILLIS = 10_000;

export interface ControlNodeOptions {
  /** Called with the state after each change that this node applies: its epoch, and all of it as text. */
  readonly applied?: (facts: NodeWorld, epoch: number, state: string) => void;
  readonly tokenCount?: number;
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

  constructor(facts: NodeWorld, options: ControlNodeOptions = {}) {
    this.facts = facts;
    this.options = options;
    const { hostId, carrier, clock, log, schedule } = facts;
    const random = () => facts.random.next();
    this.links = new LinkHub({
      ...{ hostId, carrier, clock, log, schedule, random },
      clusterName: CLUSTER_NAME,
      clusterId: () => this.clusterId,
    });
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

  async start(): Promise<void> {
    const { facts, gossip, links } = this;
    const { hostId, clock, metadata, random } = facts;
    facts.listen(facts.controlPort, links.accept);
    const log = await MetadataLog.start({
      ...{ hostId, links, clock },
      disk: metadata,
      random: () => random.next(),
      liveness: gossip,
      peerOf: (id) => gossip.peerOf(id),
      logger: facts.log,
      onFatal: (error) => facts.exit(error.message),
    });
    this.entered = log;
    const self = selfOf(facts);
    const seeds = facts.contacts.slice(0, SEEDS);
    await this.enter(log, self);
    links.joined();
    gossip.setMembers(log.current().nodes.values());
    gossip.start(self, new Map(), seeds);
    log.announce(self);
    log.onChange((state) => {
      gossip.setMembers(state.nodes.values());
      this.tell(log);
    });
    this.tell(log);
    this.started = log;
  }

  async stop(): Promise<void> {
    this.gossip.stop();
    await this.started?.stop();
    this.links.close();
  }

  /** The first node of a new world begins the cluster if it finds none; the others ask until they are let in. */
  private async enter(log: MetadataLog, self: NodeInfo): Promise<void> {
    const { contacts, index } = this.facts;
    const isFirst = index === 0;
    while (!log.isMember) {
      try {
        await log.join(contacts.slice(0, SEEDS), {
          ...{ clusterName: CLUSTER_NAME, self },
          tokenCount: this.options.tokenCount ?? 16,
          timeoutMillis: isFirst ? ALONE_MILLIS : JOIN_MILLIS,
        });
      } catch (error) {
        if (!(error instanceof MetadataError) || error.code !== 'NO_MAJORITY') throw error;
        if (isFirst) await log.bootstrap(CLUSTER_NAME, self);
      }
    }
  }

  private tell(log: MetadataLog): void {
    const { applied } = this.options;
    if (applied === undefined) return;
    const { epoch, schema, nodes } = log.current();
    const members = [...nodes.values()].map(({ tokens, ...node }) => [...tokens.map(String), node]);
    applied(this.facts, epoch, JSON.stringify([schema, members]));
  }
}
