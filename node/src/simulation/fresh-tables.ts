/**
 * Clients that make tables while the ring changes, write to them at once, over nodes that have just heard of them, and drop
 * or truncate some. Of the others each acknowledged row has to be there in the end, with one replica, too: who gets a range
 * that began to move before a table was made has to get its rows from those who write.
 */
import { Level } from '../coordinator/levels.ts';
import { ask, type Told } from './asking.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { SeededRandom } from './random.ts';
import { Tallies } from './tallies.ts';
import type { World } from './world.ts';

const TABLES_MAX = 60;
const ROWS = 30;
/** On average, between two tables and between two rows. */
const TABLE_MILLIS = 700;
const ROW_MILLIS = 40;
const END_RATE = 0.25;
const READS_MAX = 10;

interface FreshTable {
  readonly name: string;
  /** Acknowledged. */
  readonly rows: Map<number, string>;
}

const isDone = (told: Told | null) => told !== null && 'rows' in told;

export class FreshTables {
  readonly tallies = new Tallies();
  private readonly world: World<ClusterNode>;
  private readonly random: SeededRandom;
  private readonly keyspaces: readonly string[];
  private readonly tables: FreshTable[] = [];
  private made = 0;
  private going = true;

  /** @param kills nodes die for good: rows with one replica are lost with them */
  constructor(world: World<ClusterNode>, kills: boolean) {
    this.world = world;
    this.random = world.random.fork('fresh tables');
    this.keyspaces = kills ? ['sim'] : ['sim', 'single'];
  }

  /** Until `stop`. */
  start(): void {
    this.world.scheduler.after(this.random.between(0, 2 * TABLE_MILLIS), () => {
      if (!this.going || this.made >= TABLES_MAX) return;
      void this.make();
      this.start();
    });
  }

  stop(): void {
    this.going = false;
  }

  private async ask(kind: string, text: string): Promise<Told | null> {
    const told = await ask(this.world, this.random, text, { consistency: Level.QUORUM });
    this.tallies.add(kind, isDone(told) ? 'ok' : 'unknown');
    return told;
  }

  private async make(): Promise<void> {
    const { random, world } = this;
    const name = `${random.pick(this.keyspaces)}.f${this.made++}`;
    const table: FreshTable = { name, rows: new Map() };
    this.tables.push(table);
    // Others write as soon as a node knows the table, whatever its maker is told.
    void this.ask('create table', `CREATE TABLE ${name} (k int PRIMARY KEY, v text)`);
    for (let k = 0; k < ROWS && this.going; k++) {
      const value = `${name}-${k}`;
      const text = `INSERT INTO ${name} (k, v) VALUES (${k}, '${value}')`;
      if (isDone(await this.ask('write fresh', text))) table.rows.set(k, value);
      await world.scheduler.sleep(random.between(0, 2 * ROW_MILLIS));
    }
    if (!random.chance(END_RATE)) return;
    // Whatever comes of it: nothing is expected of the table any more.
    this.tables.splice(this.tables.indexOf(table), 1);
    await this.ask('drop, truncate', `${random.pick(['DROP TABLE', 'TRUNCATE'])} ${name}`);
  }

  /** When all has come to rest. @returns problems */
  async check(): Promise<string[]> {
    const problems: string[] = [];
    for (const { name, rows } of this.tables) {
      for (const [k, value] of rows) {
        const found = await this.read(`SELECT v FROM ${name} WHERE k = ${k}`);
        if (found !== value) problems.push(`${name}: row ${k} was acknowledged and is ${found}`);
      }
    }
    return problems;
  }

  private async read(text: string): Promise<string> {
    let told: Told | null = null;
    for (let i = 0; i < READS_MAX && !isDone(told); i++) told = await this.ask('read fresh', text);
    if (told === null) return 'not answered';
    if ('error' in told) return told.error.message;
    return String(told.rows[0]?.[0] ?? 'not there');
  }
}
