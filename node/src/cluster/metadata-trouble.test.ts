import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeInfo } from './cluster-state.ts';
import { MetadataError } from './metadata-errors.ts';
import { MetadataLog } from './metadata-log.ts';
import { newKeyspace, testNode } from './testing/nodes.ts';
import { VirtualDisk, VirtualWorld } from './testing/virtual-world.ts';

const SIZE = 5;
const QUIET = { info: () => {}, warn: () => {} };

interface Member {
  readonly info: NodeInfo;
  readonly disk: VirtualDisk;
  log: MetadataLog | null;
}

/** Nodes that make keyspaces while they crash, are cut off and lose messages. */
class Trouble {
  readonly world: VirtualWorld;
  readonly members: Member[];
  readonly made: string[] = [];
  private names = 0;

  constructor(seed: number) {
    this.world = new VirtualWorld(seed);
    this.members = Array.from({ length: SIZE }, (_, i) => ({
      info: testNode(i + 1),
      disk: new VirtualDisk(this.world),
      log: null,
    }));
  }

  async start(member: Member): Promise<MetadataLog> {
    const isAlive = (id: string) =>
      this.members.some(({ info, log }) => info.hostId === id && log !== null);
    const starting = MetadataLog.start(
      {
        hostId: member.info.hostId,
        links: this.world.links(member.info),
        disk: member.disk.open(),
        clock: this.world.clock(),
        random: this.world.random,
        liveness: { isAlive },
        peerOf: () => null,
        logger: QUIET,
        onFatal: (error) => assert.fail(error),
      },
      { voterGraceMillis: 1_500, snapshotEntries: 15 },
    );
    const log = await this.world.until(starting);
    member.log = log;
    return log;
  }

  async grow(): Promise<void> {
    for (const [i, member] of this.members.entries()) {
      const log = await this.start(member);
      const { info: self } = member;
      if (i === 0) await this.world.until(log.bootstrap('test', self));
      else {
        const ask = { clusterName: 'test', self, timeoutMillis: 20_000 };
        await this.world.until(log.join([this.members[0].info], ask));
      }
    }
  }

  /** One keyspace; what is said to be made must be there for ever. */
  private async make(log: MetadataLog): Promise<void> {
    const name = `k${this.names++}`;
    try {
      if ((await log.propose(newKeyspace(name), 3_000)).applied) this.made.push(name);
    } catch (error) {
      if (!(error instanceof MetadataError)) throw error;
    }
  }

  private crash(member: Member): void {
    member.disk.crash();
    this.world.remove(member.info);
    void member.log?.stop();
    member.log = null;
  }

  private async disturb(): Promise<void> {
    const { world, members } = this;
    const any = () => members[Math.floor(world.random() * SIZE)];
    if (world.random() < 0.1) this.crash(any());
    if (world.random() < 0.1) world.cut(any().info, any().info);
    if (world.random() < 0.1) world.heal();
    for (const member of members) {
      if (member.log === null && world.random() < 0.2) await this.start(member);
    }
  }

  async run(): Promise<void> {
    await this.grow();
    this.world.loss = 0.03;
    const work: Promise<void>[] = [];
    for (let i = 0; i < 80; i++) {
      await this.disturb();
      const { log } = this.members[i % SIZE];
      if (log !== null) work.push(this.make(log));
      await this.world.run(150);
    }
    this.world.loss = 0;
    this.world.heal();
    for (const member of this.members) if (member.log === null) await this.start(member);
    await this.world.until(Promise.all(work), 120_000);
    await this.world.run(15_000);
    for (const { log } of this.members)
      await this.world.until(log?.barrier(10_000) ?? assert.fail());
  }
}

test('in any trouble: what was agreed stays, all end with the same, no name is there twice', async () => {
  let made = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const trouble = new Trouble(seed);
    await trouble.run();
    made += trouble.made.length;
    const states = trouble.members.map(({ log }) => log?.current());
    const names = states[0]?.schema.keyspaces.map(({ name }) => name) ?? [];
    assert.equal(new Set(states.map((state) => JSON.stringify(state?.schema))).size, 1);
    assert.equal(new Set(names).size, names.length, `seed ${seed}: a name is there twice`);
    for (const name of trouble.made)
      assert.ok(names.includes(name), `seed ${seed}: ${name} is lost`);
    assert.equal(states[0]?.nodes.size, SIZE);
  }
  assert.ok(made > 100, `${made} were made`);
});
