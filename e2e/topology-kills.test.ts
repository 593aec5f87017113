/**
 * Processes are killed at random moments while the ring changes: who gets data, who gives it, who leads the metadata log.
 * The change ends, or is undone; whatever was acknowledged is at every replica. `ROUNDS=n` and `SEED=n` for more.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { type ClusterProcesses, startCluster } from './support/cluster-processes.ts';
import {
  connectTo,
  fillTable,
  hostIdOf,
  membersOf,
  requireEach,
  scan,
  settled,
  withAdmin,
} from './support/ring-checks.ts';
import { type LoadReport, startLoad } from './support/steady-load.ts';
import { pause, until } from './support/wait.ts';

const { consistencies } = cassandra.types;
const ROUNDS = Number(process.env['ROUNDS'] ?? 2);
const SEED = Number(process.env['SEED'] ?? 1);
const ROWS = 3_000;
const DOOMED = 40;
const FACTOR = 3;
const VALUE_BYTES = 1_000;
/** A new node gets its part in some seconds. */
const THROUGHPUT = '384KiB';
const KILL_WITHIN_MILLIS = 4_000;
const FIRST_LINE = '"message":"';
/** Down nodes are noticed, and requests that were under way have failed. */
const EXCUSE_MILLIS = 15_000;

type Kind = 'join' | 'decommission' | 'removenode' | 'replace';
type Victim = 'gets' | 'gives' | 'leads';

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a round does: the same for the same seed. */
interface Plan {
  readonly kind: Kind;
  /** Joins, leaves, or takes the place of `dead`; index of its process. -1: one that is added. */
  readonly subject: number;
  readonly victim: Victim;
  readonly forGood: boolean;
  readonly afterMillis: number;
  readonly downMillis: number;
}

class Rounds {
  private readonly cluster: ClusterProcesses;
  private readonly client: cassandra.Client;
  private readonly random: () => number;
  private members = [0, 1, 2];
  private excusedUntil = 0;
  private readonly down = new Set<number>();

  constructor(cluster: ClusterProcesses, client: cassandra.Client, random: () => number) {
    this.cluster = cluster;
    this.client = client;
    this.random = random;
  }

  private pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)];
  }

  private plan(): Plan {
    const few = this.members.length === FACTOR;
    const kind = this.pick<Kind>(
      few ? ['join', 'join', 'replace'] : ['decommission', 'decommission', 'removenode', 'replace'],
    );
    const victim = this.pick<Victim>(['gets', 'gives', 'leads']);
    return {
      ...{ kind, victim },
      subject: kind === 'join' ? -1 : this.pick(this.members),
      // Two of three replicas that are gone for good are too many.
      forGood:
        this.random() < 0.3 &&
        (kind === 'join' ||
          (kind === 'decommission' && victim === 'gives') ||
          kind === 'replace') &&
        (kind !== 'replace' || victim === 'gets'),
      afterMillis: Math.floor(this.random() * KILL_WITHIN_MILLIS),
      downMillis: Math.floor(this.random() * 3_000),
    };
  }

  /** A member that is up, to be asked. */
  private witness(): number {
    const found = this.members.find((index) => !this.down.has(index));
    assert.ok(found !== undefined);
    return found;
  }

  private async kill(index: number): Promise<void> {
    this.down.add(index);
    await this.cluster.nodes[index].kill9();
  }

  private async seen(hostId: string, alive: boolean): Promise<void> {
    const others = this.members.filter((index) => !this.down.has(index));
    const isSeen = async (index: number) =>
      (await membersOf(this.cluster, index)).every(
        (one) => one.hostId !== hostId || one.alive === alive,
      );
    await until(`${hostId} is seen ${alive ? 'up' : 'down'}`, async () =>
      (await Promise.all(others.map(isSeen))).every((one) => one),
    );
  }

  private async restart(index: number): Promise<void> {
    await this.cluster.restart(index, FIRST_LINE);
    this.down.delete(index);
  }

  /** Who began the last change. */
  private leader(): number {
    const began = (index: number) => {
      const lines = this.cluster.nodes[index].output().split('\n');
      const line = lines.findLast((one) => one.includes('a topology change begins')) ?? '{}';
      return String((JSON.parse(line) as { timestamp?: string }).timestamp ?? '');
    };
    const up = this.members.filter((index) => !this.down.has(index));
    return up.reduce((best, index) => (began(index) > began(best) ? index : best));
  }

  private seeds(): string {
    const up = this.members.filter((index) => !this.down.has(index));
    return up.map((index) => this.cluster.addresses[index]).join(',');
  }

  private operationOf(kind: string): Promise<string | null> {
    return withAdmin(this.cluster, this.witness(), async (admin) => {
      const { operations } = await admin.operations();
      return operations.find((one) => one.kind === kind)?.id ?? null;
    });
  }

  async run(number: number): Promise<void> {
    const plan = this.plan();
    console.log(
      `round ${number} of seed ${SEED}: ${JSON.stringify(plan)}, ${this.members.length} members`,
    );
    const { client } = this;
    const isExcused = () => Date.now() < this.excusedUntil;
    const load = startLoad({
      client,
      table: 'ks.t',
      writers: 4,
      keys: 25,
      pauseMillis: 20,
      isExcused,
    });
    const deleting = this.remove(number);
    const began = performance.now();
    await this.change(plan);
    await settled(this.cluster, this.witness(), this.members.length, 120);
    const deleted = await deleting;
    const report = await load.stop();
    assert.deepEqual(report.failures, []);
    const changed = performance.now();
    await this.verify(report, deleted);
    const seconds = (from: number, to: number) => ((to - from) / 1000).toFixed(1);
    console.log(
      `  ${report.requests} requests, ${seconds(began, changed)} s, checked in ${seconds(changed, performance.now())} s`,
    );
  }

  /** Deletes rows one by one. @returns keys of which it was acknowledged */
  private async remove(round: number): Promise<readonly number[]> {
    const deleted: number[] = [];
    for (let k = round * DOOMED; k < (round + 1) * DOOMED; k++) {
      const options = { prepare: true, isIdempotent: true, consistency: consistencies.quorum };
      await this.client.execute('DELETE FROM ks.doomed WHERE k = ?', [k], options).then(
        () => deleted.push(k),
        (error: unknown) => {
          if (Date.now() >= this.excusedUntil) throw error;
        },
      );
      await pause(100);
    }
    return deleted;
  }

  private async change(plan: Plan): Promise<void> {
    const { cluster } = this;
    switch (plan.kind) {
      case 'join': {
        const added = await cluster.add('dc1', { seeds: this.seeds() }, FIRST_LINE);
        if (await this.disturb(plan, 'join', added)) this.members = [...this.members, added];
        else await this.buryIfMember(added);
        return;
      }
      case 'decommission': {
        await withAdmin(cluster, plan.subject, (admin) =>
          admin.removeNode({ hostId: '', dead: false }),
        );
        await this.disturb(plan, 'leave', this.pick(this.without(plan.subject)), plan.subject);
        const hostId = await this.gone('leave');
        this.members = this.without(plan.subject);
        this.down.delete(plan.subject);
        await cluster.nodes[plan.subject].kill9();
        return hostId;
      }
      case 'removenode': {
        const hostId = await this.lose(plan.subject);
        this.members = this.without(plan.subject);
        await withAdmin(cluster, this.witness(), (admin) =>
          admin.removeNode({ hostId, dead: true }),
        );
        this.excusedUntil = Number.POSITIVE_INFINITY;
        await this.disturb(plan, 'leave', this.pick(this.members));
        return this.gone('leave');
      }
      case 'replace': {
        const hostId = await this.lose(plan.subject);
        this.members = this.without(plan.subject);
        const flags = { seeds: this.seeds(), 'replace-host-id': hostId };
        const added = await cluster.add('dc1', flags, FIRST_LINE);
        // One of four is dead, three have to take each write.
        this.excusedUntil = Number.POSITIVE_INFINITY;
        if (await this.disturb(plan, 'replace', added)) {
          this.members = [...this.members, added];
          return;
        }
        if (await this.buryIfMember(added, true)) return;
        // It is as before: the old one comes back.
        await this.restart(plan.subject);
        this.members = [...this.members, plan.subject];
        await this.seen(hostId, true);
        this.excusedUntil = Date.now() + EXCUSE_MILLIS;
      }
    }
  }

  /**
   * A new node is dead for good, and what it was to do was undone; or had ended before: then it is a member.
   * @param inItsPlace another takes its place; else it is removed
   * @returns whether it was a member
   */
  private async buryIfMember(index: number, inItsPlace = false): Promise<boolean> {
    const { cluster } = this;
    const members = await membersOf(cluster, this.witness());
    const found = members.find((one) => one.address.startsWith(`${cluster.addresses[index]}:`));
    if (found === undefined) return false;
    const { hostId } = found;
    await this.seen(hostId, false);
    if (inItsPlace) {
      const flags = { seeds: this.seeds(), 'replace-host-id': hostId };
      this.members = [...this.members, await cluster.add('dc1', flags, FIRST_LINE)];
    } else {
      await withAdmin(cluster, this.witness(), (admin) => admin.removeNode({ hostId, dead: true }));
    }
    console.log('  it had ended before it was cancelled');
    return true;
  }

  private without(index: number): number[] {
    return this.members.filter((one) => one !== index);
  }

  /** A member dies. @returns its host id */
  private async lose(index: number): Promise<string> {
    const hostId = await hostIdOf(this.cluster, index);
    await this.kill(index);
    await this.seen(hostId, false);
    this.down.delete(index);
    this.members = this.without(index);
    await this.seen(hostId, false);
    this.members.push(index);
    return hostId;
  }

  private async gone(kind: string): Promise<void> {
    await until(`no ${kind} in progress`, async () => (await this.operationOf(kind)) === null, 120);
  }

  /**
   * Kills one process.
   * @param gets who gets data @param gives who gives its data up
   * @returns false: what was begun has been undone
   */
  private async disturb(
    { victim, forGood, afterMillis, downMillis }: Plan,
    kind: string,
    gets: number,
    gives = this.pick(this.members.filter((index) => index !== gets)),
  ): Promise<boolean> {
    let id: string | null = null;
    const hasBegun = async () => {
      id = await this.operationOf(kind);
      return id !== null;
    };
    if (forGood) await until(`a ${kind} has begun`, hasBegun);
    await pause(afterMillis);
    const index = victim === 'gets' ? gets : victim === 'gives' ? gives : this.leader();
    const isMember = this.members.includes(index);
    const hostId = isMember ? await hostIdOf(this.cluster, index, this.witness()) : null;
    await this.kill(index);
    if (!forGood) {
      await pause(downMillis);
      await this.restart(index);
      if (hostId !== null) await this.seen(hostId, true);
      if (this.excusedUntil > 0) this.excusedUntil = Date.now() + EXCUSE_MILLIS;
      return true;
    }
    if (kind === 'leave') return true;
    if (hostId !== null) {
      // One of the old members: the new one comes in, then the dead one is removed.
      await this.gone(kind);
      this.members = this.without(index);
      await this.seen(hostId, false);
      await withAdmin(this.cluster, this.witness(), (admin) =>
        admin.removeNode({ hostId, dead: true }),
      );
      await this.gone('leave');
      this.down.delete(index);
      return true;
    }
    await this.undo(String(id));
    this.down.delete(index);
    return false;
  }

  /** Cancels an operation whose new node is gone for good; it may have ended before. */
  private async undo(id: string): Promise<void> {
    await until(`${id} is undone`, async () =>
      withAdmin(this.cluster, this.witness(), async (admin) => {
        const { operations } = await admin.operations();
        if (!operations.some((one) => one.id === id)) return true;
        await admin.cancelOperation(id);
        return false;
      }),
    );
  }

  private async verify(report: LoadReport, deleted: readonly number[]): Promise<void> {
    const { client, cluster } = this;
    // What each has of its own, before anything of it is repaired by reading.
    await requireEach(cluster, this.members, 'ks.cold', ROWS);
    for (const index of this.members) {
      await using pinned = await disposable(connectTo(cluster, [index], { only: true }));
      await this.requireLoad(pinned.client, report, consistencies.quorum);
    }
    await this.requireLoad(client, report, consistencies.all);
    const doomed = await scan(client, 'SELECT k, v FROM ks.doomed', consistencies.all);
    for (const k of deleted) assert.ok(!doomed.has(k), `${k} was deleted and is there`);
  }

  private async requireLoad(
    client: cassandra.Client,
    { written, tried }: LoadReport,
    consistency: number,
  ): Promise<void> {
    const options = { prepare: true, consistency };
    const check = async (k: number, least: number) => {
      const row = (await client.execute('SELECT v FROM ks.t WHERE k = ?', [k], options)).first();
      const most = tried.get(k) ?? least;
      assert.ok(row?.['v'] >= least && row['v'] <= most, `${k}: ${row?.['v']}, not ${least}`);
    };
    await Promise.all([...written].map(([k, v]) => check(k, v)));
  }
}

async function disposable(
  connected: Promise<cassandra.Client>,
): Promise<AsyncDisposable & { readonly client: cassandra.Client }> {
  const client = await connected;
  return { client, [Symbol.asyncDispose]: () => client.shutdown() };
}

async function fill(client: cassandra.Client): Promise<void> {
  await client.execute(
    `CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': ${FACTOR}}`,
  );
  for (const table of ['t', 'cold', 'doomed']) {
    await client.execute(`CREATE TABLE ks.${table} (k int PRIMARY KEY, v int, filler blob)`);
  }
  await fillTable(client, 'ks.cold', ROWS, VALUE_BYTES);
  await fillTable(client, 'ks.doomed', (ROUNDS + 1) * DOOMED, 10);
}

test(`${ROUNDS} changes of the ring, in each of which a process is killed`, async () => {
  await using cluster = await startCluster({
    datacenters: { dc1: FACTOR },
    flags: { 'stream-throughput-outbound': THROUGHPUT },
  });
  try {
    await using connected = await disposable(connectTo(cluster, [0, 1, 2]));
    const { client } = connected;
    await fill(client);
    const rounds = new Rounds(cluster, client, randomOf(SEED));
    for (let number = 0; number < ROUNDS; number++) await rounds.run(number);
  } catch (error) {
    for (const [index, node] of cluster.nodes.entries()) {
      console.log(`--- ${index}, ${cluster.addresses[index]}\n${node.output().slice(-20_000)}`);
    }
    throw error;
  }
});

test('ranges that only one node has wait until it is back', { timeout: 120_000 }, async () => {
  await using cluster = await startCluster({
    datacenters: { dc1: 2 },
    flags: { 'stream-throughput-outbound': THROUGHPUT },
  });
  await using connected = await disposable(connectTo(cluster, [0]));
  const { client } = connected;
  await client.execute(
    "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}",
  );
  await client.execute('CREATE TABLE ks.t (k int PRIMARY KEY, v int, filler blob)');
  await fillTable(client, 'ks.t', ROWS, VALUE_BYTES);
  const added = await cluster.add('dc1', {}, FIRST_LINE);
  const gainer = async () => {
    const { operations } = await withAdmin(cluster, 0, (admin) => admin.operations());
    return operations[0]?.gainers[0];
  };
  await until('files come', async () => ((await gainer())?.filesTotal ?? 0) > 0);
  await cluster.nodes[1].kill9();
  await until('it waits for the dead one', async () =>
    /not enough of the nodes/.test((await gainer())?.problem ?? ''),
  );
  // Whoever is asked says what to do.
  await until('it says so', async () => {
    const { operations } = await withAdmin(cluster, added, (admin) => admin.operations());
    return /data of a range is on nodes that are down: .*Start them; .*`ilion cancel /.test(
      operations[0].waits,
    );
  });
  await pause(2_000);
  assert.equal((await gainer())?.done, false);
  await cluster.restart(1);
  await settled(cluster, 0, 3);
  await requireEach(cluster, [0, 1, added], 'ks.t', ROWS);
});
