import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Verb } from '../internode/links.ts';
import { DEFAULT_TABLE_OPTIONS } from '../schema/schema.ts';
import type { ClusterCommand, NodeInfo } from './cluster-state.ts';
import { gridToken } from './grid.ts';
import { JoinRefusedError, MetadataError } from './metadata-errors.ts';
import { MetadataLog } from './metadata-log.ts';
import { newKeyspace, testNode } from './testing/nodes.ts';
import { VirtualDisk, VirtualWorld } from './testing/virtual-world.ts';

const QUIET = { info: () => {}, warn: () => {} };

interface Member {
  info: NodeInfo;
  readonly disk: VirtualDisk;
  log: MetadataLog | null;
  fatal: Error | null;
}

class Cluster {
  readonly world: VirtualWorld;
  readonly members: Member[] = [];

  constructor(seed: number) {
    this.world = new VirtualWorld(seed);
  }

  async start(member: Member): Promise<MetadataLog> {
    const { hostId } = member.info;
    const starting = MetadataLog.start(
      {
        hostId,
        links: this.world.links(member.info),
        disk: member.disk.open(),
        clock: this.world.clock(),
        random: this.world.random,
        liveness: { isAlive: (id) => this.isAlive(id) },
        peerOf: (id) => this.members.find(({ info }) => info.hostId === id)?.info ?? null,
        logger: QUIET,
        onFatal: (error) => {
          member.fatal = error;
        },
      },
      { voterGraceMillis: 5_000, snapshotEntries: 20 },
    );
    const log = await this.world.until(starting);
    member.log = log;
    return log;
  }

  private isAlive(id: string): boolean {
    return this.members.some(({ info, log }) => info.hostId === id && log !== null);
  }

  add(parts: Partial<NodeInfo> = {}): Member {
    const info = testNode(this.members.length + 1, parts);
    const member: Member = { info, disk: new VirtualDisk(this.world), log: null, fatal: null };
    this.members.push(member);
    return member;
  }

  async grow(count: number, place: (i: number) => Partial<NodeInfo> = () => ({})): Promise<void> {
    for (let i = 0; i < count; i++) {
      const member = this.add(place(i));
      const log = await this.start(member);
      const { info } = member;
      if (i === 0) await this.world.until(log.bootstrap('test', info));
      else await this.world.until(log.join([this.members[0].info], this.ask(info)));
    }
    await this.world.run(10_000);
  }

  ask(self: NodeInfo) {
    return { clusterName: 'test', self, timeoutMillis: 20_000 };
  }

  crash(member: Member): void {
    member.disk.crash();
    this.world.remove(member.info);
    void member.log?.stop();
    member.log = null;
  }

  log(i: number): MetadataLog {
    const { log } = this.members[i];
    assert.ok(log !== null);
    return log;
  }

  leader(): Member {
    const leader = this.members.find(({ log }) => log?.status()?.role === 'leader');
    assert.ok(leader !== undefined);
    return leader;
  }
}

async function create(log: MetadataLog, name: string): Promise<void> {
  assert.equal((await log.propose(newKeyspace(name), 20_000)).reason, null);
}

test('one node starts a cluster, others join, three or five of them vote', async () => {
  const cluster = new Cluster(1);
  await cluster.grow(7);
  for (const { log, info } of cluster.members) {
    const state = log?.current();
    assert.equal(state?.nodes.size, 7);
    assert.equal(state?.clusterName, 'test');
    assert.equal(state?.nodes.get(info.hostId)?.tokens.length, 16);
  }
  assert.equal(cluster.leader().log?.status()?.voters.length, 5);
});

test('concurrent changes from all nodes: nothing is lost, all agree', async () => {
  const cluster = new Cluster(2);
  await cluster.grow(4);
  const work = cluster.members.flatMap((_, i) =>
    Array.from({ length: 8 }, (_, j) => create(cluster.log(i), `k${i}_${j}`)),
  );
  await cluster.world.until(Promise.all(work), 120_000);
  await cluster.world.run(2_000);
  const texts = cluster.members.map(({ log }) => JSON.stringify(log?.current().schema));
  assert.equal(new Set(texts).size, 1);
  assert.equal(cluster.log(0).current().schema.keyspaces.length, 32);
});

test('the leader crashes while changes are made; it comes back with what was agreed', async () => {
  const cluster = new Cluster(3);
  await cluster.grow(5);
  const leader = cluster.leader();
  const others = cluster.members.filter((member) => member !== leader);
  const done: string[] = [];
  const work = others.map(async ({ log }, i) => {
    for (let j = 0; j < 6; j++) {
      if (log === null) throw new Error('not there');
      await create(log, `k${i}_${j}`);
      done.push(`k${i}_${j}`);
    }
  });
  await cluster.world.run(60);
  cluster.crash(leader);
  await cluster.world.until(Promise.all(work), 120_000);
  await cluster.start(leader);
  await cluster.world.until(leader.log?.barrier(10_000) ?? Promise.reject());
  const names = leader.log?.current().schema.keyspaces.map(({ name }) => name) ?? [];
  for (const name of done) assert.ok(names.includes(name), name);
});

test('a node starts with all that it knew when it is alone; the loss of the majority is a clear error', async () => {
  const cluster = new Cluster(4);
  await cluster.grow(3);
  await cluster.world.until(create(cluster.log(0), 'k'));
  await cluster.world.run(1_000);
  for (const member of cluster.members) cluster.crash(member);
  const log = await cluster.start(cluster.members[2]);
  assert.deepEqual(
    log.current().schema.keyspaces.map(({ name }) => name),
    ['k'],
  );
  const failing = cluster.world.until(log.propose(newKeyspace('other'), 10_000));
  await assert.rejects(failing, (error) => {
    assert.ok(error instanceof MetadataError);
    assert.equal(error.code, 'NO_MAJORITY');
    assert.match(
      error.message,
      /majority of the voters .*10\.0\.0\.1, down.* Reads and writes go on/,
    );
    return true;
  });
  await assert.rejects(cluster.world.until(log.barrier(1_000)), MetadataError);
  await cluster.start(cluster.members[0]);
  await cluster.world.until(create(log, 'other'));
});

test('all nodes start again, in another order and with other addresses', async () => {
  const cluster = new Cluster(5);
  await cluster.grow(4);
  await cluster.world.until(create(cluster.log(1), 'k'));
  for (const member of cluster.members) cluster.crash(member);
  for (const member of cluster.members.toReversed()) {
    member.info = { ...member.info, address: `${member.info.address}9`, tokens: [] };
  }
  for (const member of cluster.members.toReversed()) {
    (await cluster.start(member)).announce(member.info);
  }
  await cluster.world.run(10_000);
  for (const { log } of cluster.members) {
    for (const { info } of cluster.members) {
      const known = log?.current().nodes.get(info.hostId);
      assert.equal(known?.address, info.address);
      assert.equal(known?.tokens.length, 16);
    }
  }
});

test('who cannot join is told why', async () => {
  const cluster = new Cluster(6);
  await cluster.grow(2);
  const contacts = cluster.members.map(({ info }) => info);
  const refused = async (parts: Partial<NodeInfo>, clusterName: string, why: RegExp) => {
    const member = cluster.add(parts);
    const log = await cluster.start(member);
    const joining = log.join(contacts, { ...cluster.ask(member.info), clusterName });
    await assert.rejects(cluster.world.until(joining), (error) => {
      assert.ok(error instanceof JoinRefusedError);
      assert.match(error.message, why);
      return true;
    });
    cluster.members.pop();
  };
  const first = cluster.members[0].info.hostId;
  const [token] = cluster.log(0).current().nodes.get(first)?.tokens ?? [];
  await refused({}, 'other', /is named 'test'/);
  await refused({ tokens: [token] }, 'test', /belongs to the node/);
  await refused({ tokens: [5n] }, 'test', /not on the grid/);
  await refused({ hostId: first }, 'test', /is alive at/);
  await cluster.world.until(create(cluster.log(0), 'k'));
  const table = {
    ...{ keyspace: 'k', name: 't', id: 't', generation: 0, nextColumnId: 0, columns: [] },
    ...{ options: DEFAULT_TABLE_OPTIONS, droppedColumns: [], isCounter: false },
  };
  const edits = [{ kind: 'put-table', keyspace: 'k', table }] as const;
  const proposal = { kind: 'schema', change: { version: 'v', expected: [], edits } } as const;
  await cluster.world.until(cluster.log(0).propose(proposal, 5_000));
  await refused({}, 'test', /user tables/);
});

test('several nodes join at once, by different contacts', async () => {
  const cluster = new Cluster(7);
  await cluster.grow(3);
  const joins: Promise<void>[] = [];
  for (let i = 0; i < 9; i++) {
    const member = cluster.add();
    const contact = cluster.members[i % 3].info;
    joins.push((await cluster.start(member)).join([contact], cluster.ask(member.info)));
  }
  await cluster.world.until(Promise.all(joins));
  await cluster.world.run(5_000);
  const nodes = [...cluster.log(11).current().nodes.values()];
  assert.equal(new Set(nodes.flatMap(({ tokens }) => tokens)).size, 12 * 16);
});

test('a dead voter is replaced; voters are in all datacenters', async () => {
  const cluster = new Cluster(8);
  await cluster.grow(9, (i) => ({ datacenter: `dc${Math.floor(i / 3)}`, rack: `r${i % 3}` }));
  await cluster.world.run(30_000);
  const spread = () => {
    const voters = cluster.leader().log?.status()?.voters ?? [];
    const places = voters.map(
      (id) => cluster.members.find(({ info }) => info.hostId === id)?.info.datacenter,
    );
    return { voters, datacenters: new Set(places).size };
  };
  assert.equal(spread().voters.length, 5);
  assert.equal(spread().datacenters, 3);
  const leader = cluster.leader();
  const victim = cluster.members.find(
    (member) => member !== leader && spread().voters.includes(member.info.hostId),
  );
  assert.ok(victim !== undefined);
  cluster.crash(victim);
  await cluster.world.run(20_000);
  const { voters } = spread();
  assert.equal(voters.length, 5);
  assert.ok(!voters.includes(victim.info.hostId));
});

test('a node that was cut off for long gets a snapshot; its proposals go on after that', async () => {
  const cluster = new Cluster(9);
  await cluster.grow(4);
  const lonely = cluster.members.find(
    ({ info }) => !cluster.leader().log?.status()?.voters.includes(info.hostId),
  );
  assert.ok(lonely?.log != null);
  for (const { info } of cluster.members) {
    if (info !== lonely.info) cluster.world.cut(info, lonely.info);
  }
  const { log } = cluster.leader();
  assert.ok(log !== null);
  for (let i = 0; i < 100; i++) await cluster.world.until(create(log, `k${i}`));
  const late = create(lonely.log, 'late');
  await cluster.world.run(1_000);
  cluster.world.heal();
  await cluster.world.until(late);
  assert.equal(lonely.log.current().schema.keyspaces.length, 101);
});

test('a leader that stops hands over; followers do not wait for an election', async () => {
  const cluster = new Cluster(10);
  await cluster.grow(3);
  const leader = cluster.leader();
  const started = cluster.world.now;
  await cluster.world.until(leader.log?.stop() ?? Promise.reject());
  cluster.crash(leader);
  assert.ok(cluster.world.now - started < 500, `${cluster.world.now - started} ms`);
  await cluster.world.run(200);
  assert.notEqual(cluster.leader(), leader);
});

test('a disk that fails stops the log, and says so', async () => {
  const cluster = new Cluster(11);
  await cluster.grow(3);
  const leader = cluster.leader();
  leader.disk.failing = true;
  const other = cluster.members.find((member) => member !== leader);
  assert.ok(other?.log != null);
  const work = create(other.log, 'k');
  await cluster.world.until(work);
  assert.match(String(leader.fatal), /the disk has failed/);
});

test('bytes that are not what they should be change nothing', async () => {
  const cluster = new Cluster(12);
  await cluster.grow(3);
  const { info } = cluster.members[0];
  const stranger = cluster.world.links(testNode(99));
  for (const verb of [Verb.Raft, Verb.Propose, Verb.Join]) {
    for (let i = 0; i < 300; i++) {
      const bytes = Buffer.from(Array.from({ length: i % 60 }, () => cluster.world.random() * 256));
      if (i % 3 === 0 && bytes.length > 2) bytes.set([1, i % 2], 0);
      stranger.call(info, verb, bytes, 1_000, { answered: () => {}, failed: () => {} });
    }
  }
  await cluster.world.run(2_000);
  await cluster.world.until(create(cluster.log(0), 'k'));
  assert.ok(cluster.members.every(({ fatal }) => fatal === null));
});

test('a change of what this node is not: tokens, rack, another cluster', async () => {
  const cluster = new Cluster(13);
  await cluster.grow(1);
  const log = cluster.log(0);
  const [node] = log.current().nodes.values();
  const propose = async (command: ClusterCommand) =>
    (await cluster.world.until(log.propose(command, 5_000))).reason ?? '';
  const tokens = [gridToken(1)];
  assert.match(await propose({ kind: 'update-node', node: { ...node, tokens } }), /tokens/);
  assert.match(await propose({ kind: 'update-node', node: { ...node, rack: 'r9' } }), /rack1/);
  assert.match(await propose({ kind: 'update-node', node: testNode(9) }), /not a member/);
  assert.equal(await propose({ kind: 'add-node', node }), '');
  await assert.rejects(cluster.world.until(log.bootstrap('again', node)), MetadataError);
});
