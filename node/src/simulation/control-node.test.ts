/** The real links, gossip and metadata log in worlds where things go wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAgreement, checkLogs } from './checkers.ts';
import { ControlNode } from './control-node.ts';
import { ALL_FAULTS, Nemesis } from './nemesis.ts';
import { placesOf, World } from './world.ts';

/** Adds a keyspace through any node. @returns whether it is agreed; null: not known */
async function addKeyspace(node: ControlNode, name: string): Promise<boolean | null> {
  const log = node.logIfStarted;
  if (log === null) return false;
  try {
    const replication = { class: 'SimpleStrategy', replication_factor: '3' };
    const change = {
      version: name,
      expected: [{ of: 'keyspace', keyspace: name, name: '', is: '' }],
      edits: [{ kind: 'put-keyspace', keyspace: name, replication, durableWrites: true }],
    } as const;
    return (await log.propose({ kind: 'schema', change }, 5000)).applied;
  } catch {
    // Timed out or without a majority: it may still be agreed.
    return null;
  }
}

/** Changes of the schema from everywhere while things go wrong. @returns what is wrong */
async function runSeed(seed: number, nodes: number, syncLies = false): Promise<string[]> {
  const logs = new Map<string, Map<number, string>>();
  const applied = (name: string, epoch: number, state: string) => {
    const known = logs.get(name);
    if (known === undefined) logs.set(name, new Map([[epoch, state]]));
    else known.set(epoch, state);
  };
  const world = new World(seed, {
    places: placesOf({ dc1: nodes }),
    create: (facts) =>
      new ControlNode(facts, {
        applied: (one, epoch, state) => applied(`${one.address} life ${one.life}`, epoch, state),
      }),
  });
  for (const { disk } of world.nodes) disk.planted.syncLies = syncLies;
  await world.startAll(120_000);
  const nemesis = new Nemesis(world, { faults: ALL_FAULTS, intervalMillis: 1500, downMax: 2 });
  nemesis.start();
  const random = world.random.fork('clients');
  const agreed: string[] = [];
  let attempts = 0;
  const again = (): void => {
    const { alive } = world;
    const name = `k${attempts++}`;
    if (alive.length > 0) {
      void addKeyspace(random.pick(alive).node, name).then((done) => done && agreed.push(name));
    }
    world.scheduler.after(random.between(50, 800), again);
  };
  again();
  await world.runFor(30_000);
  await nemesis.stop();
  await world.runFor(60_000);
  const problems = checkLogs(logs);
  const states = new Map(
    world.nodes.map(({ address, node }) => [address, JSON.stringify(node.log.current().schema)]),
  );
  // Someone may be just changing it: what counts is that all have come as far as a moment ago.
  const { keyspaces } = world.node(0).node.log.current().schema;
  const there = new Set(keyspaces.map(({ name }) => name));
  const lost = agreed.slice(0, -5).filter((name) => !there.has(name));
  problems.push(...lost.map((name) => `the keyspace ${name} is lost`));
  if (new Set(states.values()).size > 2) problems.push(...checkAgreement('schema', states));
  for (const { node, address } of world.nodes) {
    for (const { hostId } of world.nodes) {
      if (hostId !== node.facts.hostId && !node.gossip.isAlive(hostId)) {
        problems.push(`${address} takes ${hostId} for dead`);
      }
    }
  }
  assert.ok(agreed.length > 10, `only ${agreed.length} were agreed`);
  return problems;
}

test('the log never forks and loses nothing, whatever goes wrong', async () => {
  for (let seed = 0; seed < 3; seed++) {
    assert.deepEqual(await runSeed(seed, 3 + (seed % 3)), [], `seed ${seed}`);
  }
});

test('planted and found: fsync of the log is left out', async () => {
  for (let seed = 0; seed < 10; seed++) {
    if ((await runSeed(seed, 3, true)).length > 0) return;
  }
  assert.fail('not found in 10 seeds');
});

test('forty nodes join at once, and each says no more than in a small cluster', async () => {
  const rates: number[] = [];
  for (const count of [10, 40]) {
    const world = new World(1, {
      places: placesOf({ dc1: count }),
      create: (facts) => new ControlNode(facts),
    });
    for (const node of world.nodes) node.startSupervised();
    const joining = () => world.nodes.some(({ running }) => !running?.logIfStarted);
    assert.ok(await world.scheduler.runWhile(joining, 600_000));
    await world.runFor(20_000);
    for (const { node } of world.nodes) {
      assert.equal(node.log.current().nodes.size, count);
      assert.equal(world.nodes.filter(({ hostId }) => node.gossip.isAlive(hostId)).length, count);
    }
    const before = world.network.total().packets;
    await world.runFor(10_000);
    rates.push((world.network.total().packets - before) / 10 / count);
  }
  assert.ok(rates[1] < 2 * rates[0], `${rates.join(', ')} packets a node and second`);
});
