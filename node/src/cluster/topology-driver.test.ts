import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gridToken } from './grid.ts';
import { gainersOf } from './operations.ts';
import { newTable, TopologyCluster } from './testing/topology-world.ts';
import { TopologyRefusedError } from './topology-requests.ts';
import { decodeWaits, encodeWaits } from './topology-waits.ts';

const refusedWith = (code: string, why: RegExp) => (error: unknown) => {
  assert.ok(error instanceof TopologyRefusedError);
  assert.equal(error.code, code);
  assert.match(error.message, why);
  return true;
};

/** Never two operations at once here, and each goes its way. */
function checkHistory(cluster: TopologyCluster): void {
  const states = [...cluster.states.values()].sort((a, b) => a.epoch - b.epoch);
  for (const [i, state] of states.entries()) {
    assert.ok(state.operations.length <= 1);
    if (i > 0) assert.ok(state.topologyEpoch >= states[i - 1].topologyEpoch);
  }
}

test('three nodes join at once, one after another; then two leave', async () => {
  const cluster = new TopologyCluster(1);
  await cluster.grow(3, 2);
  const fresh = [cluster.add(), cluster.add(), cluster.add()];
  await Promise.all(fresh.map((member) => cluster.join(member)));
  for (const member of fresh) assert.equal(cluster.stateOf(member), 'joining');
  await cluster.until(() => fresh.every((member) => cluster.stateOf(member) === 'normal'));
  const [first, second] = cluster.members;
  const desk = cluster.requests(cluster.members[5]);
  const id = await cluster.world.until(desk.leave({ hostId: first.info.hostId, dead: false }));
  const busy = desk.leave({ hostId: second.info.hostId, dead: false });
  await assert.rejects(cluster.world.until(busy), refusedWith('WAIT', /same ranges as the leave/));
  const waits = desk.leave({ hostId: second.info.hostId, dead: false }, 60_000);
  await cluster.world.until(waits, 90_000);
  assert.equal(cluster.stateOf(first), 'left');
  await cluster.until(() => cluster.stateOf(second) === 'left');
  // Who has left hears of it.
  await cluster.world.run(2_000);
  assert.equal(first.log?.current().nodes.get(first.info.hostId)?.state, 'left');
  assert.ok(cluster.newest().ended.some((one) => one.id === id && one.outcome === 'finished'));
  checkHistory(cluster);
});

test('a dead node is replaced, another is removed; neither while it is up', async () => {
  const cluster = new TopologyCluster(2);
  await cluster.grow(5, 3);
  const [, dead, removed] = cluster.members;
  const hostId = removed.info.hostId;
  await assert.rejects(cluster.join(cluster.add(), dead.info.hostId), /is alive: stop it first/);
  cluster.members.pop();
  const desk = () => cluster.requests(cluster.members[0]);
  await assert.rejects(
    cluster.world.until(desk().leave({ hostId, dead: true })),
    refusedWith('INVALID', /is up/),
  );
  const { tokens = [] } = cluster.newest().nodes.get(dead.info.hostId) ?? {};
  cluster.crash(dead);
  await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true));
  const fresh = cluster.add();
  await cluster.join(fresh, dead.info.hostId);
  await cluster.until(() => cluster.stateOf(fresh) === 'normal');
  assert.equal(cluster.stateOf(dead), 'left');
  assert.deepEqual(cluster.newest().nodes.get(fresh.info.hostId)?.tokens, tokens);
  cluster.crash(removed);
  await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true));
  await assert.rejects(
    cluster.world.until(desk().leave({ hostId, dead: false })),
    refusedWith('INVALID', /is down/),
  );
  await cluster.world.until(desk().leave({ hostId, dead: true }));
  await cluster.until(() => cluster.stateOf(removed) === 'left');
  // It comes back, and hears that it is no member any more when it asks.
  const log = await cluster.start(removed);
  assert.equal(log.current().nodes.get(hostId)?.state, 'normal');
  log.barrier(2_000).catch(() => {});
  await cluster.world.run(5_000);
  assert.equal(log.current().nodes.get(hostId)?.state, 'left');
});

test('a node that dies while it joins is given up; what its people cancel ends at once', async () => {
  const cluster = new TopologyCluster(3);
  await cluster.grow(3, 2);
  const fresh = cluster.add();
  fresh.streams = false;
  await cluster.join(fresh);
  await cluster.until(() => cluster.newest().operations.length === 1);
  const late = cluster.add();
  await cluster.join(late);
  cluster.crash(fresh);
  await cluster.world.run(20_000);
  assert.equal(cluster.newest().operations[0].hostId, fresh.info.hostId);
  assert.match(waitingOf(cluster, late.info.hostId), /same ranges as the join/);
  await cluster.until(() => cluster.stateOf(fresh) === 'left');
  assert.match(cluster.newest().ended[0].reason, /was down for 30 s/);
  await cluster.until(() => cluster.stateOf(late) === 'normal');

  for (const member of cluster.members) member.streams = false;
  const desk = cluster.requests(cluster.members[0]);
  const { hostId } = late.info;
  const id = await cluster.world.until(desk.leave({ hostId, dead: false }));
  assert.equal(cluster.stateOf(late), 'leaving');
  await cluster.world.until(desk.cancel(id, 'a mistake'));
  assert.equal(cluster.stateOf(late), 'normal');
  await assert.rejects(desk.cancel(id, ''), refusedWith('INVALID', /has ended/));
  await assert.rejects(
    desk.move({ hostId, tokens: [5n] }),
    refusedWith('INVALID', /not on the grid/),
  );
  const moved = desk.move({ hostId, tokens: [gridToken(3)] });
  await cluster.world.until(moved);
  const keyspace = await cluster.world.until(cluster.leader().propose(newTable('other', 3), 5_000));
  assert.match(keyspace.reason ?? '', /cannot be set now: the move of/);
});

test('nodes that are down and needed are waited for', async () => {
  const cluster = new TopologyCluster(4);
  await cluster.grow(4, 3);
  const [, second, third] = cluster.members;
  cluster.crash(second);
  await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true));
  const desk = cluster.requests(cluster.members[0]);
  const { hostId } = third.info;
  // Two of three are left everywhere, and that is enough.
  const id = await cluster.world.until(desk.leave({ hostId, dead: false }));
  await cluster.world.run(10_000);
  assert.equal(cluster.stateOf(third), 'leaving');
  assert.match(waitingOf(cluster, id), /get data are down: .*0002/);
  await cluster.start(second);
  await cluster.until(() => cluster.stateOf(third) === 'left');

  const rest = cluster.members.filter(({ info }) => info.hostId !== hostId);
  const fresh = cluster.add();
  await cluster.join(fresh);
  await cluster.until(() => cluster.stateOf(fresh) === 'normal');
  cluster.crash(rest[1]);
  cluster.crash(rest[2]);
  const leaving = cluster.requests(rest[0]).leave({ hostId: fresh.info.hostId, dead: false });
  await assert.rejects(cluster.world.until(leaving), refusedWith('DOWN', /quorum|are down/));
});

test('the only one who votes leaves when another votes in its place', async () => {
  const cluster = new TopologyCluster(5);
  await cluster.grow(2, 1);
  const [first, second] = cluster.members;
  assert.deepEqual(second.log?.status()?.voters, [first.info.hostId]);
  const desk = cluster.requests(second);
  await cluster.world.until(desk.leave({ hostId: first.info.hostId, dead: false }));
  await cluster.until(() => cluster.stateOf(first) === 'left');
  assert.deepEqual(second.log?.status()?.voters, [second.info.hostId]);
  cluster.crash(first);
  const alone = cluster.world.until(cluster.leader().propose(newTable('other', 1), 5_000));
  assert.equal((await alone).reason, null);
  const last = cluster.requests(second).leave({ hostId: second.info.hostId, dead: false });
  await assert.rejects(last, refusedWith('INVALID', /the last one of the cluster/));
});

test('who leaves brings what it keeps for others to them first; who is dead is not waited for', async () => {
  const cluster = new TopologyCluster(8);
  await cluster.grow(5, 3);
  const [first, second, third] = cluster.members;
  const desk = cluster.requests(third);
  second.keeps = { hints: 3, hintBytes: 2 << 20, batches: null };
  const id = await cluster.world.until(desk.leave({ hostId: second.info.hostId, dead: false }));
  await cluster.world.run(60_000);
  assert.equal(cluster.newest().operations[0].phase, 'switched');
  assert.match(waitingOf(cluster, id), /keeps for others .*: 3 hints \(2.0 MiB\) and some logged/);
  second.keeps = { hints: 0, hintBytes: 0, batches: 0 };
  await cluster.until(() => cluster.stateOf(second) === 'left', 2_000);

  const { hostId } = third.info;
  third.keeps = { hints: 1, hintBytes: 1, batches: 1 };
  const next = await cluster.world.until(cluster.requests(first).leave({ hostId, dead: false }));
  await cluster.until(() => cluster.newest().operations[0].phase === 'switched');
  cluster.crash(third);
  await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true));
  await cluster.world.run(10_000);
  assert.match(waitingOf(cluster, next), /is down, and may keep writes for others. Start it/);
  await cluster.until(() => cluster.stateOf(third) === 'left', 40_000);
});

test('a change by which somebody gets data who is dead is undone, whatever it is', async () => {
  for (const kind of ['leave', 'remove', 'move'] as const) {
    const cluster = new TopologyCluster(9);
    await cluster.grow(6, 3);
    for (const member of cluster.members) member.streams = false;
    const [helper, subject] = cluster.members;
    const { hostId } = subject.info;
    if (kind === 'remove') cluster.crash(subject);
    await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true));
    const desk = cluster.requests(helper);
    const asked =
      kind === 'move'
        ? desk.move({ hostId, tokens: [gridToken(3)] })
        : desk.leave({ hostId, dead: kind === 'remove' });
    const id = await cluster.world.until(asked);
    const state = cluster.newest();
    const gainers = gainersOf(state, state.operations[0]);
    const dead = cluster.find([...gainers].find((one) => one !== helper.info.hostId) ?? '');
    assert.ok(dead !== undefined);
    cluster.crash(dead);
    await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true));
    await cluster.world.run(10_000);
    const told = waitingOf(cluster, id);
    assert.match(
      told,
      /are down: [^.]*000.*Start them; else .* undone in \d+ s, and `ilion cancel op/,
    );
    await cluster.until(() => cluster.newest().operations.length === 0, 40_000);
    const [ended] = cluster.newest().ended;
    assert.equal(ended.outcome, 'cancelled');
    assert.match(ended.reason, new RegExp(`${dead.info.hostId} was down for 30 s`));
    assert.equal(cluster.stateOf(subject), 'normal');
  }
});

test('a change that needs the only owner of a range says whom, and what to do', async () => {
  const cluster = new TopologyCluster(10);
  await cluster.grow(4, 1);
  for (const member of cluster.members) member.streams = false;
  const fresh = cluster.add();
  fresh.streams = false;
  await cluster.join(fresh);
  await cluster.until(() => cluster.newest().operations.length === 1);
  const [, owner] = cluster.members;
  cluster.crash(owner);
  await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true));
  await cluster.world.run(60_000);
  const [{ id }] = cluster.newest().operations;
  const told = waitingOf(cluster, id);
  assert.match(told, new RegExp(`on nodes that are down: ${owner.info.hostId} .*Start them`));
  assert.match(told, new RegExp(`if they do not come back, \`ilion cancel ${id}\` undoes`));
  const waits = new Map([[id, told]]);
  assert.deepEqual(decodeWaits(encodeWaits(waits)), waits);
});

test('when a dead node has been replaced, or removed, another may die at once', async () => {
  for (const kind of ['replace', 'remove']) {
    const cluster = new TopologyCluster(7);
    await cluster.grow(kind === 'replace' ? 4 : 5, 3);
    for (let round = 0; round < 2; round++) {
      const { voters = [] } = cluster.leader().status() ?? {};
      const dead = cluster.find(voters[1]);
      assert.ok(dead !== undefined);
      cluster.crash(dead);
      await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true), 10_000);
      const { hostId } = dead.info;
      if (kind === 'replace') await cluster.join(cluster.add(), hostId);
      else {
        const [helper] = cluster.members.filter(({ log }) => log !== null);
        await cluster.world.until(cluster.requests(helper).leave({ hostId, dead: true }));
      }
      await cluster.until(() => cluster.stateOf(dead) === 'left');
      const now = cluster.leader().status()?.voters ?? [];
      assert.equal(now.filter((id) => cluster.isUp(id)).length, 3);
    }
  }
});

test('who was to be replaced has left meanwhile: its successor cannot join', async () => {
  const cluster = new TopologyCluster(6);
  await cluster.grow(4, 2);
  const [first, dead] = cluster.members;
  cluster.crash(dead);
  await cluster.until(() => cluster.members.some(({ log }) => log?.isLeader === true));
  const { hostId } = dead.info;
  await cluster.world.until(cluster.requests(first).leave({ hostId, dead: true }));
  const fresh = cluster.add();
  await cluster.join(fresh, hostId);
  assert.equal(cluster.stateOf(fresh), 'joining');
  await cluster.until(() => cluster.stateOf(fresh) === 'left');
  assert.equal(cluster.stateOf(dead), 'left');
});

function waitingOf(cluster: TopologyCluster, id: string): string {
  return cluster.members.flatMap(({ driver }) => driver?.waiting().get(id) ?? []).join();
}

/** Nodes crash and come back all the time: at the end all that was begun is done. */
async function storm(seed: number): Promise<void> {
  const cluster = new TopologyCluster(seed);
  await cluster.grow(4, 3);
  const { world } = cluster;
  const [victim] = cluster.members.slice(3);
  const fresh = [cluster.add(), cluster.add()];
  await Promise.all(fresh.map((member) => cluster.join(member)));
  let asked = false;
  for (let i = 0; i < 14; i++) {
    await world.run(200 + world.random() * 1_500);
    const up = cluster.members.filter(({ log }) => log !== null);
    const leader = up.find(({ log }) => log?.isLeader === true);
    // Mostly whoever leads, between any two steps.
    const one = world.random() < 0.7 ? leader : up[Math.floor(world.random() * up.length)];
    if (one === undefined) continue;
    if (!asked && i > 5) {
      asked = true;
      const { hostId } = victim.info;
      const helper = cluster.requests(up[0]);
      helper.leave({ hostId, dead: false }, 30_000).catch(() => {});
    }
    cluster.crash(one);
    await world.run(500 + world.random() * 2_500);
    await cluster.start(one);
  }
  const isQuiet = () => {
    const state = cluster.newest();
    const states = [...state.nodes.values()].map((node) => node.state);
    return state.operations.length === 0 && !states.includes('joining');
  };
  await cluster.until(isQuiet, 240_000);
  for (const member of fresh) assert.equal(cluster.stateOf(member), 'normal');
  assert.ok(['normal', 'left'].includes(cluster.stateOf(victim)));
  checkHistory(cluster);
}

test('leaders die between any two steps, and others go on', async () => {
  for (let seed = 10; seed < 18; seed++) await storm(seed);
});
