/**
 * Clients of a simulated cluster: registers, conditional writes, counters and logged batches on a few keys each, over any
 * node that is up, every call and answer in the world's history.
 */
import { ErrorCode } from '../common/errors.ts';
import type { SchemaStatement } from '../cql/ast.ts';
import { parseStatement } from '../cql/index.ts';
import { planSchemaChange } from '../query/ddl.ts';
import { withSystemKeyspaces } from '../query/virtual/definitions.ts';
import { EMPTY_SCHEMA, type Schema } from '../schema/schema.ts';
import type { Answer } from '../transport/client-codec.ts';
import { readRows } from '../transport/plain-rows.ts';
import { Opcode } from '../transport/protocol.ts';
import type { CounterInput, CounterOutput, RegisterInput, RegisterOutput } from './checkers.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { OpenOperation } from './history.ts';
import type { CasInput, CasOutput } from './linearizability.ts';
import type { SeededRandom } from './random.ts';
import type { World } from './world.ts';

const QUORUM = 4;
const SERIAL = 8;
const KEYS = 4;
/** A client gives up on an answer: its node died, or does not answer. */
const PATIENCE_MILLIS = 12_000;
const PAUSE_MILLIS = 60;

/** @param replication such as `{'class': 'SimpleStrategy', 'replication_factor': 3}` */
export function simulationSchema(replication: string, readRepair = 'BLOCKING'): Schema {
  let schema = EMPTY_SCHEMA;
  let ids = 0;
  const repair = `WITH read_repair = '${readRepair}'`;
  for (const text of [
    `CREATE KEYSPACE sim WITH replication = ${replication}`,
    `CREATE TABLE sim.r (k int PRIMARY KEY, v text) ${repair}`,
    `CREATE TABLE sim.l (k int PRIMARY KEY, v int) ${repair}`,
    `CREATE TABLE sim.c (k int PRIMARY KEY, n counter) ${repair}`,
    `CREATE TABLE sim.b (k int PRIMARY KEY, v int) ${repair}`,
  ]) {
    schema = planSchemaChange(parseStatement(text) as SchemaStatement, schema, null, {
      newId: () => `00000000-0000-1000-8000-${String(++ids).padStart(12, '0')}`,
      nowMicros: 1,
    }).schema;
  }
  return withSystemKeyspaces(schema);
}

/** What a client was told: rows, or the code of an error; null: nothing. */
type Told = { readonly rows: readonly (readonly (Buffer | null)[])[] } | { readonly code: number };

const CERTAINLY_NOT: ReadonlySet<number> = new Set([ErrorCode.Unavailable, ErrorCode.Invalid]);

function told(answer: Answer): Told {
  if (answer.opcode === Opcode.Error) return { code: answer.body.readInt32BE(0) };
  const isRows = answer.body.readInt32BE(0) === 2;
  return { rows: isRows ? readRows(answer).rows : [] };
}

const intOf = (value: Buffer | null | undefined) => (value == null ? null : value.readInt32BE(0));

export interface BatchRecord {
  readonly id: number;
  acknowledged: boolean;
  /** It certainly did nothing. */
  failed: boolean;
}

export class Workload {
  readonly batches: BatchRecord[] = [];
  private readonly world: World<ClusterNode>;
  private readonly random: SeededRandom;
  private going = true;
  private timestamps = 0;
  private nextBatch = 0;
  private nextValue = 0;
  private readonly lastSeen = new Map<number, number | null>();

  constructor(world: World<ClusterNode>) {
    this.world = world;
    this.random = world.random.fork('clients');
  }

  /** So many clients at once, until `stop`. */
  start(clients: number): void {
    for (let client = 0; client < clients; client++) this.again(client);
  }

  stop(): void {
    this.going = false;
  }

  private again(client: number): void {
    this.world.scheduler.after(this.random.between(0, 2 * PAUSE_MILLIS), () => {
      if (!this.going) return;
      void this.step(client).then(() => this.again(client));
    });
  }

  private step(client: number): Promise<void> {
    const key = this.random.below(KEYS);
    switch (this.random.below(8)) {
      case 0:
      case 1:
        return this.writeRegister(client, key);
      case 2:
        return this.readRegister(client, key);
      case 3:
      case 4:
        return this.compareAndSet(client, key);
      case 5:
        return this.readSerial(client, key);
      case 6:
        return this.addToCounter(client, key);
      default:
        return this.logBatch();
    }
  }

  /** @returns null: no node is up, or no answer came */
  private async ask(text: string, consistency: number, timestamp?: bigint): Promise<Told | null> {
    const nodes = this.world.alive.filter(({ running }) => running?.isServing);
    if (nodes.length === 0) return { code: ErrorCode.Unavailable };
    const { node } = this.random.pick(nodes);
    const parameters = {
      consistency,
      serialConsistency: SERIAL,
      ...(timestamp === undefined ? {} : { timestamp }),
    };
    const late = new Promise<null>((resolve) => {
      this.world.scheduler.after(PATIENCE_MILLIS, () => resolve(null));
    });
    const answer = await Promise.race([node.query(text, parameters), late]);
    return answer === null ? null : told(answer);
  }

  /** @param done gives the rows' meaning to the history */
  private async run<Output>(
    open: OpenOperation<Output>,
    request: Promise<Told | null>,
    done: (rows: readonly (readonly (Buffer | null)[])[]) => Output,
  ): Promise<void> {
    const answer = await request;
    if (answer === null) open.unknown();
    else if ('rows' in answer) open.ok(done(answer.rows));
    else if (CERTAINLY_NOT.has(answer.code)) open.failed();
    else open.unknown();
  }

  private writeRegister(client: number, key: number): Promise<void> {
    const timestamp = ++this.timestamps;
    const value = this.random.chance(0.1) ? null : `v${timestamp}`;
    const input: RegisterInput = { kind: 'write', value, timestamp };
    const open = this.world.history.begin<RegisterOutput>('register', client, `r${key}`, input);
    const text =
      value === null
        ? `DELETE FROM sim.r WHERE k = ${key}`
        : `INSERT INTO sim.r (k, v) VALUES (${key}, '${value}')`;
    return this.run(open, this.ask(text, QUORUM, BigInt(timestamp)), () => ({}));
  }

  private readRegister(client: number, key: number): Promise<void> {
    const open = this.world.history.begin<RegisterOutput>('register', client, `r${key}`, {
      kind: 'read',
    });
    const text = `SELECT v, writetime(v) FROM sim.r WHERE k = ${key}`;
    return this.run(open, this.ask(text, QUORUM), ([row]) => {
      const [value, timestamp] = row ?? [];
      if (value == null || timestamp == null) return { read: null };
      return { read: { value: String(value), timestamp: Number(timestamp.readBigInt64BE(0)) } };
    });
  }

  private async compareAndSet(client: number, key: number): Promise<void> {
    // What was seen last, mostly, so that some are applied. Each value is used once: the checker has less to try.
    const expected = this.random.chance(0.1) ? null : (this.lastSeen.get(key) ?? null);
    const value = this.nextValue++;
    const input: CasInput = { kind: 'cas', expected, value };
    const open = this.world.history.begin<CasOutput>('cas', client, `l${key}`, input);
    const text =
      expected === null
        ? `INSERT INTO sim.l (k, v) VALUES (${key}, ${value}) IF NOT EXISTS`
        : `UPDATE sim.l SET v = ${value} WHERE k = ${key} IF v = ${expected}`;
    await this.run(open, this.ask(text, QUORUM), ([row]) => {
      const applied = row?.[0]?.[0] === 1;
      // A refusal shows `[applied], k, v`, or `[applied], v`; only `[applied]`: there was no row.
      const found = row === undefined || row.length === 1 ? null : intOf(row.at(-1));
      this.lastSeen.set(key, applied ? value : found);
      return applied ? { applied } : { applied, value: found };
    });
  }

  private readSerial(client: number, key: number): Promise<void> {
    const open = this.world.history.begin<CasOutput>('cas', client, `l${key}`, { kind: 'read' });
    const text = `SELECT v FROM sim.l WHERE k = ${key}`;
    return this.run(open, this.ask(text, SERIAL), ([row]) => {
      const value = intOf(row?.[0]);
      this.lastSeen.set(key, value);
      return { value };
    });
  }

  private addToCounter(client: number, key: number): Promise<void> {
    const delta = 1 + this.random.below(9);
    const input: CounterInput = { kind: 'add', delta };
    const open = this.world.history.begin<CounterOutput>('counter', client, `c${key}`, input);
    const text = `UPDATE sim.c SET n = n + ${delta} WHERE k = ${key}`;
    return this.run(open, this.ask(text, QUORUM), () => ({}));
  }

  private async logBatch(): Promise<void> {
    const id = this.nextBatch++;
    const record: BatchRecord = { id, acknowledged: false, failed: false };
    this.batches.push(record);
    const inserts = [0, 1, 2].map(
      (part) => `INSERT INTO sim.b (k, v) VALUES (${id * 3 + part}, 1)`,
    );
    const answer = await this.ask(`BEGIN BATCH ${inserts.join('; ')}; APPLY BATCH`, QUORUM);
    record.acknowledged = answer !== null && 'rows' in answer;
    record.failed = answer !== null && 'code' in answer && CERTAINLY_NOT.has(answer.code);
  }

  /** When all has come to rest: reads everything once more, for the checkers. @returns problems */
  async readAll(): Promise<
    readonly { readonly name: string; readonly parts: readonly boolean[] }[]
  > {
    for (let key = 0; key < KEYS; key++) {
      await this.readRegister(-1, key);
      await this.readSerial(-1, key);
      const open = this.world.history.begin<CounterOutput>('counter', -1, `c${key}`, {
        kind: 'read',
      });
      const text = `SELECT n FROM sim.c WHERE k = ${key}`;
      await this.run(open, this.ask(text, QUORUM), ([row]) => ({
        value: Number(row?.[0]?.readBigInt64BE(0) ?? 0n),
      }));
    }
    const answer = await this.ask('SELECT k FROM sim.b', QUORUM);
    if (answer === null || !('rows' in answer)) throw new TypeError('the batches cannot be read');
    const found = new Set(answer.rows.map(([k]) => intOf(k)));
    return this.batches.map(({ id }) => ({
      name: `batch ${id}`,
      parts: [0, 1, 2].map((part) => found.has(id * 3 + part)),
    }));
  }
}
