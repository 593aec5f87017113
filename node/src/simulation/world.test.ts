/** The world, with small nodes over the real links and the real records: replays, and finds what is planted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkHub } from '../internode/link-hub.ts';
import { request, Verb } from '../internode/links.ts';
import { KV_STATUS, type KvStore } from '../storage/kv.ts';
import { mergeRecords } from '../storage/merge.ts';
import { decodeRecord, encodeRecord } from '../storage/record.ts';
import { WriteBatchBuilder } from '../storage/write-batch.ts';
import {
  checkConvergence,
  checkRegister,
  type RegisterInput,
  type RegisterOutput,
} from './checkers.ts';
import { keyText } from './memory-table.ts';
import { ALL_FAULTS, Nemesis } from './nemesis.ts';
import { type NodeWorld, placesOf, type SimulatedNode, World } from './world.ts';

interface Bugs {
  readonly noReadRepair?: boolean;
  readonly ackBeforeDisk?: boolean;
  readonly writeToOne?: boolean;
}

const KEYS = ['x', 'y'] as const;
const FAMILY = 'rows';
const TIMEOUT = 300;

/** A register on three replicas: writes and reads of two, repaired before a read is answered. */
class RegisterNode implements SimulatedNode {
  private readonly facts: NodeWorld;
  private readonly bugs: Bugs;
  private readonly hub: LinkHub;
  private readonly done = new Map<number, (ok: boolean) => void>();
  private store: KvStore | null = null;
  private nextTicket = 1;

  constructor(facts: NodeWorld, bugs: Bugs) {
    this.facts = facts;
    this.bugs = bugs;
    const { hostId, carrier, clock, log, random, schedule } = facts;
    this.hub = new LinkHub({
      ...{ hostId, carrier, clock, log, schedule },
      random: () => random.next(),
      clusterName: 'registers',
      clusterId: () => '',
    });
    this.hub.handle(Verb.Mutation, (_, body, responder) => {
      void this.apply(Buffer.from(body)).then((ok) => {
        if (ok) responder.answer(Buffer.of(1));
        else responder.fail('FAILED', 'not written');
      });
    });
    this.hub.handle(Verb.ReadRecords, (_, body, responder) => {
      void this.lookup(Buffer.from(body)).then(
        (record) => responder.answer(record),
        () => responder.fail('FAILED', 'not read'),
      );
    });
  }

  async start(): Promise<void> {
    const { facts } = this;
    const engine = facts.engine();
    engine.onComplete((tickets, statuses, count) => {
      for (let i = 0; i < count; i++) {
        this.done.get(tickets[i])?.(KV_STATUS[statuses[i]] === 'OK');
        this.done.delete(tickets[i]);
      }
    });
    const durability = this.bugs.ackBeforeDisk === true ? 'periodic' : 'group';
    this.store = await engine.open('data', {
      ...{ durability, syncPeriodMs: 5000, queueBytesMax: 1 << 20 },
      families: new Map([
        [
          FAMILY,
          {
            policy: {
              clustering: false,
              fixedPartitionKeyBytes: 0,
              gcGraceSeconds: 0,
              rowColumns: null,
              columnsKnown: 0,
            },
            gridBits: 0,
          },
        ],
      ]),
    });
    facts.listen(facts.controlPort, this.hub.accept);
    facts.listen(facts.dataPort, this.hub.accept);
  }

  stop(): Promise<void> {
    this.hub.close();
    return Promise.resolve();
  }

  /** @returns whether a majority has it */
  async write(key: string, timestamp: number): Promise<boolean> {
    const record = encodeRecord({
      liveness: { timestamp: BigInt(timestamp), ttl: 0, expiry: 0 },
      deletion: null,
      ranges: [],
      cells: [],
    });
    return this.majority(
      this.everywhere(Verb.Mutation, Buffer.concat([Buffer.from(key), record]), (body) =>
        this.apply(body),
      ),
      this.bugs.writeToOne === true ? 1 : 2,
    ).then((answers) => answers !== null);
  }

  /** @returns the timestamp, null for nothing; undefined: no majority */
  async read(key: string): Promise<number | null | undefined> {
    const asked = this.everywhere(Verb.ReadRecords, Buffer.from(key), (body) => this.lookup(body));
    const records = await this.majority(asked, 2);
    if (records === null) return undefined;
    const merged = mergeRecords(records.filter(({ length }) => length > 0));
    const { liveness } = decodeRecord(merged);
    if (liveness === null) return null;
    if (this.bugs.noReadRepair !== true && records.some((r) => !Buffer.from(merged).equals(r))) {
      const body = Buffer.concat([Buffer.from(key), merged]);
      const repaired = this.everywhere(Verb.Mutation, body, (b) => this.apply(b));
      if ((await this.majority(repaired, 2)) === null) return undefined;
    }
    return Number(liveness.timestamp);
  }

  private everywhere(
    verb: Verb,
    body: Buffer,
    here: (body: Buffer) => Promise<Uint8Array | boolean>,
  ): Promise<Uint8Array>[] {
    const local = here(body).then((answer) => {
      if (answer === false) throw new TypeError('not here');
      return answer === true ? Buffer.of(1) : answer;
    });
    const remote = this.facts.contacts.map((peer) => request(this.hub, peer, verb, body, TIMEOUT));
    return [local, ...remote];
  }

  /** The first `needed` answers; null: too few, or too late. */
  private majority(asked: Promise<Uint8Array>[], needed: number): Promise<Uint8Array[] | null> {
    return new Promise((resolve) => {
      const answers: Uint8Array[] = [];
      let failures = 0;
      this.facts.clock.after(TIMEOUT, () => resolve(null));
      for (const one of asked) {
        one.then(
          (answer) => {
            answers.push(answer);
            if (answers.length === needed) resolve([...answers]);
          },
          () => {
            if (++failures > asked.length - needed) resolve(null);
          },
        );
      }
    });
  }

  private apply(body: Buffer): Promise<boolean> {
    const { store } = this;
    const family = store?.families().get(FAMILY);
    if (store === null || family === undefined) return Promise.resolve(false);
    const record = body.subarray(1);
    const batch = new WriteBatchBuilder();
    batch.merge(family, body, 1, record, record.length);
    const ticket = this.nextTicket++;
    return new Promise((resolve) => {
      this.done.set(ticket, resolve);
      if (!store.submit(batch.bytes, batch.length, ticket)) resolve(false);
    });
  }

  private async lookup(key: Buffer): Promise<Uint8Array> {
    const { store } = this;
    const family = store?.families().get(FAMILY) ?? 0;
    if (store === null) throw new TypeError('not open');
    const head = Buffer.alloc(8);
    head.writeUInt32LE(family, 0);
    head.writeUInt32LE(key.length, 4);
    const answer = Buffer.from(await store.multiGetAsync(Buffer.concat([head, key]), 1));
    return answer.subarray(4);
  }
}

/** Clients write and read through random nodes while things go wrong. @returns what is wrong, and the fingerprint */
async function runSeed(seed: number, bugs: Bugs): Promise<{ problems: string[]; print: string }> {
  const world = new World(seed, {
    places: placesOf({ dc1: 3 }),
    create: (facts) => new RegisterNode(facts, bugs),
  });
  await world.startAll();
  const nemesis = new Nemesis(world, {
    faults: ALL_FAULTS,
    intervalMillis: 400,
    lengthMillis: 1500,
  });
  nemesis.start();
  const random = world.random.fork('clients');
  let timestamp = 0;
  const once = async (client: number, key: string, kind: 'read' | 'write'): Promise<void> => {
    const { alive } = world;
    if (alive.length === 0) return;
    const { node } = random.pick(alive);
    const value = ++timestamp;
    const input: RegisterInput =
      kind === 'read' ? { kind } : { kind, value: String(value), timestamp: value };
    const open = world.history.begin<RegisterOutput>('register', client, key, input);
    if (kind === 'write') {
      if (await node.write(key, value)) open.ok({});
      else open.unknown();
      return;
    }
    const read = await node.read(key);
    if (read === undefined) open.failed();
    else open.ok({ read: read === null ? null : { value: String(read), timestamp: read } });
  };
  for (let client = 0; client < 4; client++) {
    const again = (): void => {
      void once(client, random.pick(KEYS), random.chance(0.5) ? 'read' : 'write');
      world.scheduler.after(random.between(20, 150), again);
    };
    again();
  }
  await world.run(12_000);
  await nemesis.stop();
  await world.runFor(3000);
  // What is read last must be all that was ever acknowledged.
  for (const key of KEYS) await world.settle(once(9, key, 'read'));
  const histories = world.history.byKey<RegisterInput, RegisterOutput>('register');
  const problems = [...histories].flatMap(([key, history]) => checkRegister(key, history));
  assert.ok(world.history.outcomes('register').ok > 100);
  return { problems, print: world.fingerprint() };
}

test('correct nodes: nothing is found, whatever goes wrong', async () => {
  for (let seed = 0; seed < 12; seed++) {
    const { problems } = await runSeed(seed, {});
    assert.deepEqual(problems, [], `seed ${seed}`);
  }
});

test('a seed replays step for step, and another one is another run', async () => {
  const [first, second, other] = [await runSeed(3, {}), await runSeed(3, {}), await runSeed(4, {})];
  assert.equal(first.print, second.print);
  assert.notEqual(first.print, other.print);
});

for (const bugs of [{ noReadRepair: true }, { ackBeforeDisk: true }, { writeToOne: true }]) {
  test(`planted and found: ${Object.keys(bugs).join()}`, async () => {
    for (let seed = 0; seed < 20; seed++) {
      if ((await runSeed(seed, bugs)).problems.length > 0) return;
    }
    assert.fail('not found in 20 seeds');
  });
}

test('replicas that were apart are seen to be', async () => {
  const world = new World(1, {
    places: placesOf({ dc1: 2, dc2: 1 }),
    create: (facts) => new RegisterNode(facts, {}),
  });
  await world.startAll();
  assert.deepEqual(
    world.nodes.map(({ place }) => `${place.datacenter} ${place.rack}`),
    ['dc1 rack1', 'dc1 rack2', 'dc2 rack1'],
  );
  const { address } = world.node(2);
  world.network.partition([address], [world.node(0).address, world.node(1).address]);
  assert.equal(await world.settle(world.node(0).node.write('x', 5)), true);
  const contents = () =>
    world.nodes.map(({ address: name, disk }) => {
      const state = disk.stores.get('data');
      const view = state?.table(state.names.get(FAMILY) ?? 0).view();
      const entries = new Map<string, string>();
      for (const [key, value] of view?.values ?? []) {
        if (value instanceof Uint8Array) entries.set(key, keyText(value));
      }
      return { name, entries };
    });
  const all = () => world.nodes.map((node) => node.address);
  assert.equal(checkConvergence(contents(), all).length, 1);
  await world.heal();
  await world.runFor(20_000);
  assert.equal(await world.settle(world.node(2).node.read('x')), 5);
  await world.runFor(1000);
  assert.deepEqual(checkConvergence(contents(), all), []);
});

test('a node that is down is none; clocks are wrong as they were made; the dead are silent', async () => {
  const world = new World(1, {
    places: placesOf({ dc1: 1 }),
    create: (facts) => {
      facts.clock.every(10, () => facts.log.info('alive'));
      return new RegisterNode(facts, {});
    },
  });
  await world.startAll();
  await world.runFor(100);
  world.node(0).crash();
  assert.throws(() => world.node(0).node, TypeError);
  const lines = world.trace.length;
  await world.runFor(100);
  assert.equal(world.trace.length, lines);
  await world.settle(world.node(0).restart());
  await world.runFor(15);
  assert.ok(world.trace.length > lines);
  await assert.rejects(world.settle(new Promise(() => {}), 1000), RangeError);
  await world.node(0).stop();
  assert.equal(world.alive.length, 0);
});
