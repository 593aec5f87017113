/**
 * Clients of a simulated cluster: registers, conditional writes, counters and logged batches over any node that is up, every
 * call and answer in the world's history. Some keys are hot: many clients meet there. Others are written once or twice, so
 * that what is lost is not hidden by what comes after it. Keys differ in the levels at which they are written and read.
 */
import { type CqlError, ErrorCode } from '../common/errors.ts';
import { Level } from '../coordinator/levels.ts';
import { ask, type Rows, type Sending, type Told } from './asking.ts';
import type { CounterInput, CounterOutput, RegisterInput, RegisterOutput } from './checkers.ts';
import type { ClusterNode } from './cluster-node.ts';
import {
  type CasContract,
  casContracts,
  type Fates,
  levelName,
  type RegisterContract,
  registerContracts,
} from './contracts.ts';
import type { OpenOperation } from './history.ts';
import type { CasInput, CasOutput } from './linearizability.ts';
import type { SeededRandom } from './random.ts';
import { RecentKeys } from './recent-keys.ts';
import { Tallies } from './tallies.ts';
import type { NodeSlot, World } from './world.ts';

const HOT_KEYS = 4;
/** Counters from here on are counted at ONE. */
const COUNTERS = 4;
const COUNTERS_AT_ONE = 2;
const PARTS = 3;
const RIVALS = 3;
/** Between the starts of those that want the same. */
const RIVAL_MILLIS = 4;
const PAUSE_MILLIS = 60;
/** More than there are: one page. */
const SCAN_ROWS = 5000;
/** Looks at once, mostly at another node, whether what was told is so. */
const LOOK_BACK_RATE = 0.3;
/** Of things that a client does, and meets others. */
const KINDS = 14;
/** Where the ring changes, some look when others may own the key: so late on average. */
const LOOK_LATE_MILLIS = 4_000;
/** Who looks late is somebody else. */
const LATE_CLIENT = 10_000;

/** When all has come to rest. */
interface LastLook {
  readonly at: NodeSlot<ClusterNode> | null;
}

/** Whether it is said that nothing was done. */
function isRefusal({ code, detail }: CqlError): boolean {
  if (code === ErrorCode.Unavailable || code === ErrorCode.Invalid) return true;
  // Source: Paxos.run. What may have been written is SIMPLE or CasWriteUnknown.
  return detail?.kind === 'write-timeout' && detail.writeType === 'CAS';
}

const intOf = (value: Buffer | null | undefined) => (value == null ? null : value.readInt32BE(0));

/** @param row value and WRITETIME */
function readOf(
  row: readonly (Buffer | null)[] | undefined,
): Exclude<RegisterOutput['read'], undefined> {
  const [value, timestamp] = row ?? [];
  if (value == null || timestamp == null) return null;
  return { value: String(value), timestamp: Number(timestamp.readBigInt64BE(0)) };
}

export interface BatchRecord {
  readonly id: number;
  acknowledged: boolean;
}

export class Workload {
  readonly batches: BatchRecord[] = [];
  /** By levels and kinds of operations, how they ended. */
  readonly tallies = new Tallies();
  private readonly world: World<ClusterNode>;
  private readonly random: SeededRandom;
  private readonly registers: readonly RegisterContract[];
  private readonly hotOfOne: readonly RegisterContract[];
  private readonly conditionals: readonly CasContract[];
  private readonly counters: number;
  private readonly quiet: number;
  private readonly registerKeys: RecentKeys;
  private readonly casKeys: RecentKeys;
  private going = true;
  private timestamps = 0;
  private nextValue = 0;
  private readonly lastSeen = new Map<number, number | null>();

  /**
   * @param datacenters those with replicas
   * @param quiet things that a client does besides `KINDS` others, on keys at which nobody meets
   */
  constructor(
    world: World<ClusterNode>,
    datacenters: readonly string[],
    fates: Fates,
    quiet: number,
  ) {
    this.world = world;
    this.random = world.random.fork('clients');
    this.registers = registerContracts(datacenters, fates);
    this.hotOfOne = this.registers.filter(({ table }) => table === 'single.r');
    this.counters = fates.kills ? COUNTERS : COUNTERS + COUNTERS_AT_ONE;
    this.conditionals = casContracts(datacenters, fates);
    this.quiet = quiet;
    this.registerKeys = new RecentKeys(this.random, HOT_KEYS);
    this.casKeys = new RecentKeys(this.random, HOT_KEYS);
  }

  /** So many clients at once, until `stop`. */
  start(clients: number): void {
    for (let client = 0; client < clients; client++) this.again(client);
  }

  stop(): void {
    this.going = false;
  }

  /** @param key as in the history */
  isMonotonic(key: string): boolean {
    return this.contractOf(Number(key.slice(1))).isMonotonic;
  }

  private again(client: number): void {
    this.world.scheduler.after(this.random.between(0, 2 * PAUSE_MILLIS), () => {
      if (!this.going) return;
      void this.step(client).then(() => this.again(client));
    });
  }

  private step(client: number): Promise<void> {
    const { random, registerKeys, casKeys } = this;
    switch (random.below(KINDS + this.quiet)) {
      case 0:
      case 1:
        return this.writeRegister(client, registerKeys.hot());
      case 2:
        return this.writeRegister(client, registerKeys.fresh());
      case 3:
        return this.writeRegister(client, registerKeys.any());
      case 4:
      case 5:
        return this.readRegister(client, registerKeys.any());
      case 6:
      case 7:
        return this.compareAndSet(client, casKeys.any());
      case 8:
        return this.race(client);
      case 9:
      case 10:
        return this.readConditional(client, casKeys.any());
      case 11:
        return this.scanRegisters(client);
      case 12:
        return this.addToCounter(client, random.below(this.counters));
      case 13:
        return this.logBatch();
      default:
        return random.chance(0.3)
          ? this.writeQuietly(client, registerKeys.quiet())
          : this.decideQuietly(client);
    }
  }

  /** Hot registers are those of plain quorums, and of keys with one replica where there are such. */
  private contractOf(key: number): RegisterContract {
    const { registers } = this;
    if (key >= HOT_KEYS) return registers[key % registers.length];
    return this.hotOfOne[key] ?? registers[0];
  }

  private casContractOf(key: number): CasContract {
    return this.conditionals[key % this.conditionals.length];
  }

  private ask(text: string, sending: Sending): Promise<Told | null> {
    return ask(this.world, this.random, text, sending);
  }

  /** @param kind for the tallies @param done gives the rows' meaning to the history */
  private async run<Output>(
    kind: string,
    open: OpenOperation<Output>,
    request: Promise<Told | null>,
    done: (rows: Rows) => Output,
  ): Promise<void> {
    const answer = await request;
    if (answer === null) {
      open.unknown();
      this.tallies.add(kind, 'unknown');
    } else if ('rows' in answer) {
      open.ok(done(answer.rows));
      this.tallies.add(kind, 'ok');
    } else if (isRefusal(answer.error)) {
      open.failed();
      this.tallies.add(kind, 'failed');
    } else {
      open.unknown();
      this.tallies.add(kind, 'unknown');
    }
  }

  private async writeRegister(client: number, key: number): Promise<void> {
    await this.write(client, key);
    if (this.random.chance(LOOK_BACK_RATE)) await this.readRegister(client, key);
  }

  private async write(client: number, key: number): Promise<void> {
    const { table, write, datacenter } = this.contractOf(key);
    const timestamp = ++this.timestamps;
    const value = this.random.chance(0.1) ? null : `v${timestamp}`;
    const input: RegisterInput = { kind: 'write', value, timestamp };
    const open = this.world.history.begin<RegisterOutput>('register', client, `r${key}`, input);
    const text =
      value === null
        ? `DELETE FROM ${table} WHERE k = ${key}`
        : `INSERT INTO ${table} (k, v) VALUES (${key}, '${value}')`;
    const sending = { consistency: write, timestamp: BigInt(timestamp), datacenter };
    await this.run(`write ${levelName(write)}`, open, this.ask(text, sending), () => ({}));
  }

  /** Written once, and not looked at before others may own it. */
  private async writeQuietly(client: number, key: number): Promise<void> {
    await this.write(client, key);
    this.lookLate(() => this.readRegister(client + LATE_CLIENT, key));
  }

  /** A decision that its replicas may hear of late. */
  private async decideQuietly(client: number): Promise<void> {
    let key = this.casKeys.quiet();
    while (this.casContractOf(key).commit !== Level.ANY) key = this.casKeys.quiet();
    await this.decide(client, key, null);
    this.lookLate(() => this.readConditional(client + LATE_CLIENT, key));
  }

  private lookLate(look: () => Promise<void>): void {
    this.world.scheduler.after(this.random.between(0, 2 * LOOK_LATE_MILLIS), () => {
      if (this.going) void look();
    });
  }

  private async readRegister(
    client: number,
    key: number,
    last: LastLook | null = null,
  ): Promise<void> {
    const { table, read, datacenter, isReadLate } = this.contractOf(key);
    if (isReadLate && last === null) return;
    const open = this.world.history.begin<RegisterOutput>('register', client, `r${key}`, {
      kind: 'read',
    });
    const text = `SELECT v, writetime(v) FROM ${table} WHERE k = ${key}`;
    const asked = this.ask(text, { consistency: read, datacenter, at: last?.at ?? null });
    await this.run(`read ${levelName(read)}`, open, asked, ([row]) => {
      return { read: readOf(row) };
    });
  }

  /** All of the plain registers, as one read of each. */
  private async scanRegisters(client: number): Promise<void> {
    const { history } = this.world;
    const keys = this.registerKeys
      .all()
      .filter((key) => this.contractOf(key) === this.registers[0]);
    const open = new Map(
      keys.map((key) => [
        key,
        history.begin<RegisterOutput>('register', client, `r${key}`, { kind: 'read' }),
      ]),
    );
    const text = 'SELECT k, v, writetime(v) FROM sim.r';
    const answer = await this.ask(text, { consistency: Level.QUORUM, pageSize: SCAN_ROWS });
    const isDone = answer !== null && 'rows' in answer;
    this.tallies.add('scan QUORUM', isDone ? 'ok' : 'unknown');
    if (!isDone) return;
    const found = new Map(answer.rows.map(([k, ...values]) => [intOf(k), values]));
    for (const [key, one] of open) one.ok({ read: readOf(found.get(key)) });
  }

  private compareAndSet(client: number, key: number): Promise<void> {
    // What was seen last, mostly, so that some are applied.
    const expected = this.random.chance(0.1) ? null : (this.lastSeen.get(key) ?? null);
    return this.compareWith(client, key, expected);
  }

  /** Several want to change the same from the same, at nearly the same time: one of them may. */
  private async race(client: number): Promise<void> {
    const key = this.random.chance(0.5) ? this.casKeys.fresh() : this.casKeys.any();
    const expected = this.lastSeen.get(key) ?? null;
    await Promise.all(
      Array.from({ length: RIVALS }, async (_, rival) => {
        await this.world.scheduler.sleep(this.random.between(0, RIVAL_MILLIS));
        await this.compareWith(client + 1000 * (rival + 1), key, expected);
      }),
    );
  }

  private async compareWith(client: number, key: number, expected: number | null): Promise<void> {
    await this.decide(client, key, expected);
    if (this.random.chance(LOOK_BACK_RATE)) await this.readConditional(client, key);
  }

  /** Each value is used once: the checker has less to try. */
  private async decide(client: number, key: number, expected: number | null): Promise<void> {
    const { table, serial, commit, datacenter } = this.casContractOf(key);
    const value = this.nextValue++;
    const input: CasInput = { kind: 'cas', expected, value };
    const open = this.world.history.begin<CasOutput>('cas', client, `l${key}`, input);
    const text =
      expected === null
        ? `INSERT INTO ${table} (k, v) VALUES (${key}, ${value}) IF NOT EXISTS`
        : `UPDATE ${table} SET v = ${value} WHERE k = ${key} IF v = ${expected}`;
    const kind = `cas ${levelName(serial)} ${levelName(commit)}`;
    const asked = this.ask(text, { consistency: commit, serial, datacenter });
    await this.run(kind, open, asked, ([row]) => {
      const applied = row?.[0]?.[0] === 1;
      // A refusal shows `[applied], k, v`, or `[applied], v`; only `[applied]`: there was no row.
      const found = row === undefined || row.length === 1 ? null : intOf(row.at(-1));
      this.lastSeen.set(key, applied ? value : found);
      this.tallies.add('conditions', applied ? 'met' : 'not met');
      return applied ? { applied } : { applied, value: found };
    });
  }

  /** @param level by default one of those at which the key is linearizable */
  private readConditional(client: number, key: number, level?: number): Promise<void> {
    const { table, reads, datacenter } = this.casContractOf(key);
    const consistency = level ?? this.random.pick(reads);
    const open = this.world.history.begin<CasOutput>('cas', client, `l${key}`, { kind: 'read' });
    const text = `SELECT v FROM ${table} WHERE k = ${key}`;
    const asked = this.ask(text, { consistency, datacenter });
    return this.run(`read ${levelName(consistency)}`, open, asked, ([row]) => {
      const value = intOf(row?.[0]);
      this.lastSeen.set(key, value);
      return { value };
    });
  }

  private addToCounter(client: number, key: number): Promise<void> {
    const consistency = key < COUNTERS ? Level.QUORUM : Level.ONE;
    const delta = 1 + this.random.below(9);
    const input: CounterInput = { kind: 'add', delta };
    const open = this.world.history.begin<CounterOutput>('counter', client, `c${key}`, input);
    const text = `UPDATE sim.c SET n = n + ${delta} WHERE k = ${key}`;
    return this.run(
      `count ${levelName(consistency)}`,
      open,
      this.ask(text, { consistency }),
      () => ({}),
    );
  }

  private readCounter(key: number): Promise<void> {
    const consistency = key < COUNTERS ? Level.QUORUM : Level.ALL;
    const open = this.world.history.begin<CounterOutput>('counter', -1, `c${key}`, {
      kind: 'read',
    });
    const text = `SELECT n FROM sim.c WHERE k = ${key}`;
    return this.run('read counter', open, this.ask(text, { consistency }), ([row]) => ({
      value: Number(row?.[0]?.readBigInt64BE(0) ?? 0n),
    }));
  }

  private async logBatch(): Promise<void> {
    const record: BatchRecord = { id: this.batches.length, acknowledged: false };
    this.batches.push(record);
    const inserts = Array.from(
      { length: PARTS },
      (_, part) => `INSERT INTO sim.b (k, v) VALUES (${record.id * PARTS + part}, 1)`,
    );
    const text = `BEGIN BATCH ${inserts.join('; ')}; APPLY BATCH`;
    const answer = await this.ask(text, { consistency: Level.QUORUM });
    record.acknowledged = answer !== null && 'rows' in answer;
    const isRefused = answer !== null && 'error' in answer && isRefusal(answer.error);
    this.tallies.add('batch', record.acknowledged ? 'ok' : isRefused ? 'failed' : 'unknown');
  }

  private lastLooks(key: number): Promise<void>[] {
    const everywhere = this.contractOf(key).isEverywhere ? this.world.alive : [null];
    return everywhere.map((at) => this.readRegister(-1, key, { at }));
  }

  /** When all has come to rest: reads everything once more, for the checkers. @returns the batches' parts */
  async readAll(): Promise<
    readonly { readonly name: string; readonly parts: readonly boolean[] }[]
  > {
    await Promise.all(this.registerKeys.all().flatMap((key) => this.lastLooks(key)));
    for (const key of this.casKeys.all()) {
      const { reads, serial } = this.casContractOf(key);
      // The weaker ones first: a serial read mends what they could miss.
      for (const level of [...reads].reverse()) await this.readConditional(-1, key, level);
      if (!reads.includes(serial)) await this.readConditional(-1, key, serial);
    }
    for (let key = 0; key < this.counters; key++) await this.readCounter(key);
    const answer = await this.ask('SELECT k FROM sim.b', { consistency: Level.QUORUM });
    if (answer === null || !('rows' in answer)) throw new TypeError('the batches cannot be read');
    const found = new Set(answer.rows.map(([k]) => intOf(k)));
    return this.batches.map(({ id }) => ({
      name: `batch ${id}`,
      parts: Array.from({ length: PARTS }, (_, part) => found.has(id * PARTS + part)),
    }));
  }
}
