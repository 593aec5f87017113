/** Nodes with a metadata log and a driver of topology changes on virtual time; their data is only said to be there. */
import { DEFAULT_TABLE_OPTIONS } from '../../schema/schema.ts';
import type { ClusterCommand, ClusterState, NodeInfo } from '../cluster-state.ts';
import { type LeftOver, NOTHING_LEFT } from '../left-over.ts';
import { MetadataLog } from '../metadata-log.ts';
import { missingGainers } from '../operations.ts';
import { TopologyDriver } from '../topology-driver.ts';
import { TopologyRequests } from '../topology-requests.ts';
import { testNode } from './nodes.ts';
import { VirtualDisk, VirtualWorld } from './virtual-world.ts';

const QUIET = { info: () => {}, warn: () => {} };
const GIVE_UP_MILLIS = 30_000;

const FRESH = { streams: true, keeps: NOTHING_LEFT };

/** A keyspace with one table. */
export function newTable(keyspace: string, factor: number): ClusterCommand {
  const table = {
    ...{ keyspace, name: 't', id: `${keyspace}.t`, generation: 0, nextColumnId: 0, columns: [] },
    ...{ options: DEFAULT_TABLE_OPTIONS, droppedColumns: [], isCounter: false },
  };
  const replication = { class: 'SimpleStrategy', replication_factor: String(factor) };
  const edits = [
    { kind: 'put-keyspace', keyspace, replication, durableWrites: true },
    { kind: 'put-table', keyspace, table },
  ] as const;
  return { kind: 'schema', change: { version: keyspace, expected: [], edits } };
}

export interface TopologyMember {
  readonly info: NodeInfo;
  readonly disk: VirtualDisk;
  log: MetadataLog | null;
  driver: TopologyDriver | null;
  /** Whether it gets its data. */
  streams: boolean;
  /** What it keeps for others. */
  keeps: LeftOver;
}

export class TopologyCluster {
  readonly world: VirtualWorld;
  readonly members: TopologyMember[] = [];
  /** All states that any node has had, by epoch. */
  readonly states = new Map<number, ClusterState>();
  private ids = 0;

  constructor(seed: number) {
    this.world = new VirtualWorld(seed);
  }

  isUp(hostId: string): boolean {
    return this.find(hostId)?.log?.isMember === true;
  }

  find(hostId: string): TopologyMember | undefined {
    return this.members.find(({ info }) => info.hostId === hostId);
  }

  async start(member: TopologyMember): Promise<MetadataLog> {
    const { hostId } = member.info;
    const { world } = this;
    const liveness = { isAlive: (id: string) => this.isUp(id) };
    const log = await world.until(
      MetadataLog.start(
        {
          ...{ hostId, liveness, logger: QUIET, clock: world.clock(), random: world.random },
          links: world.links(member.info),
          disk: member.disk.open(),
          peerOf: (id) => this.find(id)?.info ?? null,
          onFatal: (error) => {
            throw error;
          },
        },
        { voterGraceMillis: 5_000, snapshotEntries: 20, movesData: true },
      ),
    );
    member.log = log;
    log.onChange((state) => {
      this.states.set(state.epoch, state);
      this.stream(member, log);
    });
    member.driver = new TopologyDriver(
      {
        ...{ hostId, log, liveness, clock: world.clock(), logger: QUIET },
        newId: () => `op${this.ids++}`,
        reached: (node, epoch) => this.reached(node, epoch),
        leftOver: async (node) => (this.isUp(node.hostId) ? this.keptBy(node) : null),
      },
      { joinGiveUpMillis: GIVE_UP_MILLIS, leaveGiveUpMillis: GIVE_UP_MILLIS },
    );
    this.stream(member, log);
    return log;
  }

  private async reached({ hostId }: NodeInfo, epoch: number): Promise<boolean> {
    await new Promise<void>((resolve) => this.world.at(this.world.now + 5, resolve));
    const log = this.find(hostId)?.log;
    return log != null && log.current().topologyEpoch >= epoch;
  }

  private keptBy({ hostId }: NodeInfo): LeftOver {
    return this.find(hostId)?.keeps ?? NOTHING_LEFT;
  }

  /** Some time after an operation begins the node has all it gets. */
  private stream(member: TopologyMember, log: MetadataLog): void {
    const { hostId } = member.info;
    for (const { id, phase } of log.current().operations) {
      if (phase !== 'streaming') continue;
      this.world.at(this.world.now + 200 + this.world.random() * 2_000, () => {
        const operation = log.current().operations.find((one) => one.id === id);
        if (member.log !== log || operation === undefined || !member.streams) return;
        if (!missingGainers(log.current(), operation).includes(hostId)) return;
        log
          .propose({ kind: 'operation-done', id, hostId }, 5_000)
          .catch(() => {})
          .finally(() => this.stream(member, log));
      });
    }
  }

  add(parts: Partial<NodeInfo> = {}): TopologyMember {
    const info = testNode(this.members.length + 1, parts);
    const disk = new VirtualDisk(this.world);
    const member: TopologyMember = { info, disk, log: null, driver: null, ...FRESH };
    this.members.push(member);
    return member;
  }

  async join(member: TopologyMember, replaces: string | null = null): Promise<void> {
    const log = await this.start(member);
    const contacts = this.members.filter((one) => one !== member).map(({ info }) => info);
    const ask = { clusterName: 'test', self: member.info, replaces, timeoutMillis: 60_000 };
    await this.world.until(log.join(contacts, ask), 120_000);
  }

  /** Nodes that have joined, and a table whose rows each have `factor` replicas. */
  async grow(count: number, factor: number): Promise<void> {
    const first = this.add();
    const log = await this.start(first);
    await this.world.until(log.bootstrap('test', first.info));
    for (let i = 1; i < count; i++) await this.join(this.add());
    await this.world.run(10_000);
    await this.world.until(this.leader().propose(newTable('k', factor), 10_000));
  }

  crash(member: TopologyMember): void {
    member.disk.crash();
    this.world.remove(member.info);
    void member.driver?.stop();
    void member.log?.stop();
    member.log = null;
    member.driver = null;
  }

  leader(): MetadataLog {
    const log = this.members.find((member) => member.log?.isLeader === true)?.log;
    if (log == null) throw new TypeError('nobody leads');
    return log;
  }

  requests(member: TopologyMember): TopologyRequests {
    const { log, info } = member;
    if (log === null) throw new TypeError('the node is down');
    const liveness = { isAlive: (id: string) => this.isUp(id) };
    const newId = () => `op${this.ids++}`;
    return new TopologyRequests({
      ...{ log, liveness, newId, hostId: info.hostId, clock: this.world.clock() },
    });
  }

  /** Runs until it is so. @throws TypeError if that takes too long */
  async until(isSo: () => boolean, millis = 120_000): Promise<void> {
    for (const end = this.world.now + millis; !isSo(); await this.world.run(50)) {
      if (this.world.now > end) throw new TypeError('it did not come to that');
    }
  }

  /** The newest state that any node has. */
  newest(): ClusterState {
    const states = this.members.flatMap(({ log }) => log?.current() ?? []);
    return states.reduce((a, b) => (b.epoch > a.epoch ? b : a));
  }

  stateOf(member: TopologyMember): string {
    return this.newest().nodes.get(member.info.hostId)?.state ?? 'unknown';
  }
}
