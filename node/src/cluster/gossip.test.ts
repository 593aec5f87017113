import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Writer } from '../common/bytes.ts';
import { type Peer, Verb } from '../internode/links.ts';
import { ArrivalWindow } from './failure-detector.ts';
import { Gossip, type GossipEvent, StateKey } from './gossip.ts';
import {
  decodeGossip,
  encodeGossip,
  type GossipMessage,
  NEWS_BYTES_MAX,
  packHostId,
  unpackHostId,
} from './gossip-codec.ts';
import { testNode } from './testing/nodes.ts';
import { VirtualWorld } from './testing/virtual-world.ts';

class Crowd {
  readonly world: VirtualWorld;
  readonly nodes: Gossip[] = [];
  readonly peers: Peer[] = [];
  readonly events: (GossipEvent & { readonly at: number; readonly by: number })[] = [];

  constructor(seed: number, size: number) {
    this.world = new VirtualWorld(seed);
    for (let i = 0; i < size; i++) this.start(i, testNode(i + 1), 1);
  }

  start(i: number, peer: Peer, generation: number, clusterId = 'test'): Gossip {
    const gossip = new Gossip({
      hostId: peer.hostId,
      clusterId: () => clusterId,
      generation,
      links: this.world.links(peer),
      clock: this.world.clock(),
      random: this.world.random,
    });
    gossip.onEvent((event) => this.events.push({ ...event, at: this.world.now, by: i }));
    const seeds = [testNode(1), testNode(2)].map((seed) => ({ ...seed, hostId: '' }));
    gossip.start(peer, new Map([[StateKey.SchemaVersion, `schema of ${i}`]]), seeds);
    this.nodes[i] = gossip;
    this.peers[i] = peer;
    return gossip;
  }

  kill(i: number): void {
    this.world.remove(this.peers[i]);
    this.nodes[i].stop();
  }

  /** Without a goodbye. */
  crash(i: number): void {
    for (const peer of this.peers) this.world.cut(peer, this.peers[i]);
    this.kill(i);
  }

  seesAlive(i: number): number {
    return this.nodes[i].peers().filter(({ alive }) => alive).length;
  }

  /** Virtual milliseconds until it is so. */
  runUntil(isSo: () => boolean, millisMax: number): number {
    const started = this.world.now;
    while (!isSo()) {
      assert.ok(this.world.now - started < millisMax, `not so after ${millisMax} ms`);
      this.world.runSync(500);
    }
    return this.world.now - started;
  }
}

test('200 nodes find each other; one that dies is seen dead by all, and no other', () => {
  const size = 200;
  const crowd = new Crowd(1, size);
  const all = crowd.nodes.map((_, i) => i);
  crowd.runUntil(() => all.every((i) => crowd.seesAlive(i) === size), 20_000);
  for (const node of crowd.nodes) {
    for (const { hostId } of crowd.peers) {
      assert.match(node.peer(hostId)?.get(StateKey.SchemaVersion) ?? '', /^schema of/);
    }
  }
  crowd.events.length = 0;
  crowd.world.runSync(5_000);
  crowd.crash(77);
  const { hostId } = crowd.peers[77];
  const others = all.filter((i) => i !== 77);
  const millis = crowd.runUntil(() => others.every((i) => !crowd.nodes[i].isAlive(hostId)), 40_000);
  assert.ok(millis > 5_000, `${millis} ms are too few to be sure`);
  const down = crowd.events.filter(({ kind, by }) => kind === 'down' && by !== 77);
  assert.ok(down.every(({ peer }) => peer.hostId === hostId));
});

/** All see all. */
function convergedCrowd(seed: number, size: number): Crowd {
  const crowd = new Crowd(seed, size);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === size), 20_000);
  crowd.world.runSync(10_000);
  crowd.events.length = 0;
  return crowd;
}

function downs(crowd: Crowd): readonly string[] {
  const down = crowd.events.filter(({ kind }) => kind === 'down');
  return down.map(({ by, peer, at }) => `${by} of ${peer.hostId} at ${at}`);
}

test('a process that is killed is seen dead by all within a few seconds, and again after a restart', () => {
  for (const [size, millisMax] of [
    [3, 4_000],
    [12, 7_000],
    [60, 12_000],
  ]) {
    const crowd = convergedCrowd(size, size);
    const peer = crowd.peers[1];
    const others = crowd.nodes.filter((_, i) => i !== 1);
    for (let generation = 2; generation < 5; generation++) {
      crowd.kill(1);
      const killed = () => others.every((node) => !node.isAlive(peer.hostId));
      const millis = crowd.runUntil(killed, 40_000);
      assert.ok(millis <= millisMax, `${millis} ms with ${size} nodes`);
      crowd.start(1, peer, generation);
      crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === size), 10_000);
      crowd.world.runSync(2_000);
    }
  }
});

test('a node that does nothing for three seconds is not dead', () => {
  const crowd = convergedCrowd(21, 6);
  for (let i = 0; i < 6; i++) {
    for (const peer of crowd.peers)
      if (peer !== crowd.peers[i]) crowd.world.cut(peer, crowd.peers[i]);
    crowd.world.runSync(3_000);
    crowd.world.heal();
    crowd.world.runSync(10_000);
  }
  assert.deepEqual(downs(crowd), []);
});

test('a way that is cut or refused between two nodes: they hear of each other by others, and nobody flaps', () => {
  const crowd = convergedCrowd(22, 5);
  const [a, b, c] = crowd.peers;
  crowd.world.refuse(a, b);
  crowd.world.refuse(b, a);
  crowd.world.runSync(900_000);
  const refused = downs(crowd);
  assert.ok(refused.length <= 6, refused.join(', '));
  // The more that is wrong, the more often a few heartbeats are missed; but that is believed less and less.
  crowd.world.cutOneWay(b, c);
  crowd.world.loss = 0.02;
  crowd.world.runSync(900_000);
  assert.ok(downs(crowd).length - refused.length <= 6, downs(crowd).join(', '));
  const between = [a.hostId, b.hostId];
  const down = crowd.events.filter(({ kind }) => kind === 'down');
  assert.ok(down.every(({ by, peer }) => by < 2 && between.includes(peer.hostId)));
});

test('messages a node sends do not depend on how many there are, nor are they large', () => {
  const rate = (size: number) => {
    const crowd = new Crowd(2, size);
    crowd.world.runSync(6_000);
    crowd.world.sent.clear();
    crowd.world.largestBytes = 0;
    crowd.world.runSync(3_000);
    assert.ok(crowd.world.largestBytes < NEWS_BYTES_MAX * 2, `${crowd.world.largestBytes} bytes`);
    return (crowd.world.sent.get(Verb.Gossip) ?? 0) / size / 3;
  };
  const [few, many] = [rate(20), rate(150)];
  assert.ok(few < 14 && many < 14, `${few} and ${many} messages a node and second`);
  assert.ok(many < few * 1.2, `${many} after ${few}`);
});

test('nobody is thought dead while 5 % of the messages are lost', () => {
  const crowd = new Crowd(3, 40);
  crowd.world.loss = 0.05;
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 40), 20_000);
  crowd.events.length = 0;
  crowd.world.runSync(120_000);
  assert.deepEqual(
    crowd.events.filter(({ kind }) => kind === 'down'),
    [],
  );
});

test('a node that says goodbye is dead at once, and alive again after a restart elsewhere', () => {
  const crowd = new Crowd(4, 10);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 10), 20_000);
  const { hostId } = crowd.peers[5];
  crowd.nodes[5].stop();
  crowd.world.remove(crowd.peers[5]);
  crowd.world.runSync(100);
  assert.ok(crowd.nodes.every((node, i) => i === 5 || !node.isAlive(hostId)));
  crowd.world.runSync(10_000);
  assert.ok(crowd.nodes.every((node, i) => i === 5 || !node.isAlive(hostId)));
  crowd.start(5, { ...crowd.peers[5], address: '10.9.9.9' }, 2);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 10), 5_000);
  assert.equal(crowd.nodes[0].peerOf(hostId)?.address, '10.9.9.9');
});

test('a node that greets is alive at once for all whom it knows', async () => {
  const crowd = new Crowd(11, 10);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 10), 20_000);
  const { hostId } = crowd.peers[5];
  crowd.nodes[5].stop();
  crowd.world.remove(crowd.peers[5]);
  crowd.world.runSync(100);
  crowd.start(5, crowd.peers[5], 2);
  const unaware = () =>
    crowd.peers.filter(
      (peer, i) => crowd.nodes[5].isAlive(peer.hostId) && !crowd.nodes[i].isAlive(hostId),
    );
  for (let step = 0; unaware().length === 0; step++) {
    assert.ok(step < 100, 'all whom it knows have always known it');
    crowd.world.runSync(20);
  }
  const told = crowd.nodes[5].greet();
  crowd.world.runSync(100);
  await told;
  assert.deepEqual(unaware(), []);
});

test('who is slow to take a greeting is greeted again', async () => {
  const crowd = new Crowd(12, 4);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 4), 20_000);
  const { hostId } = crowd.peers[2];
  crowd.nodes[2].stop();
  crowd.world.remove(crowd.peers[2]);
  crowd.world.runSync(100);
  crowd.start(2, crowd.peers[2], 2);
  crowd.runUntil(() => crowd.seesAlive(2) === 4, 20_000);
  for (const i of [0, 1, 3]) crowd.world.cut(crowd.peers[2], crowd.peers[i]);
  let isOver = false;
  const told = crowd.nodes[2].greet().then(() => {
    isOver = true;
  });
  await crowd.world.run(1_500);
  assert.equal(isOver, false);
  crowd.world.heal();
  await crowd.world.run(2_000);
  await told;
  assert.ok([0, 1, 3].every((i) => crowd.nodes[i].isAlive(hostId)));
});

test('a node serves when it says so, and not before, nor after its next start', async () => {
  const crowd = new Crowd(11, 4);
  const { hostId } = crowd.peers[2];
  const servedBy = () => crowd.nodes.map((node) => node.isServing(hostId));
  crowd.runUntil(() => crowd.seesAlive(2) === 4, 20_000);
  await crowd.world.run(3_000);
  assert.deepEqual(servedBy(), [false, false, false, false]);
  const told = crowd.nodes[2].serve();
  await crowd.world.run(200);
  await told;
  assert.deepEqual(servedBy(), [true, true, true, true]);
  assert.equal(crowd.nodes[0].isServing(crowd.peers[1].hostId), false);
  crowd.kill(2);
  crowd.start(2, crowd.peers[2], 2);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 4), 20_000);
  assert.deepEqual(servedBy(), [false, false, false, false]);
});

test('a node that starts with a generation of the past is heard all the same', () => {
  const crowd = new Crowd(9, 6);
  crowd.world.runSync(10_000);
  const [, , peer] = crowd.peers;
  crowd.kill(2);
  crowd.start(2, { ...peer, address: '10.8.8.8' }, 0);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 6), 20_000);
  assert.equal(crowd.nodes[4].peerOf(peer.hostId)?.address, '10.8.8.8');
});

test('two halves that were apart find each other again; states that change are heard of', () => {
  const crowd = new Crowd(5, 12);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 12), 20_000);
  for (const a of crowd.peers.slice(0, 4)) {
    for (const b of crowd.peers.slice(4)) crowd.world.cut(a, b);
  }
  crowd.runUntil(() => crowd.seesAlive(0) === 4 && crowd.seesAlive(11) === 8, 40_000);
  crowd.nodes[3].set(StateKey.SchemaVersion, 'another');
  crowd.world.heal();
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 12), 20_000);
  const said = (node: Gossip) => node.peer(crowd.peers[3].hostId)?.get(StateKey.SchemaVersion);
  crowd.runUntil(() => crowd.nodes.every((node) => said(node) === 'another'), 5_000);
});

test('a node that was stopped for a while does not think that all others are dead', () => {
  const crowd = new Crowd(6, 5);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 5), 20_000);
  crowd.events.length = 0;
  // The clock runs on while nothing is done.
  crowd.world.now += 60_000;
  crowd.world.runSync(3_000);
  assert.deepEqual(
    crowd.events.filter(({ kind }) => kind === 'down'),
    [],
  );
});

test('one that has left is forgotten; members that were never heard of are tried', () => {
  const crowd = new Crowd(7, 4);
  crowd.runUntil(() => crowd.nodes.every((_, i) => crowd.seesAlive(i) === 4), 20_000);
  const { hostId } = crowd.peers[3];
  crowd.nodes[0].setMembers([{ ...testNode(4), state: 'left' }]);
  crowd.world.runSync(5_000);
  assert.equal(crowd.nodes[0].peer(hostId), null);
  const peer = testNode(50);
  const late = new Gossip({
    hostId: peer.hostId,
    clusterId: () => 'test',
    generation: 1,
    links: crowd.world.links(peer),
    clock: crowd.world.clock(),
    random: crowd.world.random,
  });
  late.start(peer, new Map(), []);
  crowd.nodes[1].setMembers([peer]);
  crowd.runUntil(() => late.isAlive(crowd.peers[0].hostId), 20_000);
});

test('another cluster is not heard', () => {
  const crowd = new Crowd(8, 3);
  crowd.start(3, testNode(9), 1, 'other');
  crowd.world.runSync(10_000);
  assert.equal(crowd.seesAlive(3), 1);
  assert.equal(crowd.seesAlive(0), 3);
});

test('phi grows with time and is small for those that are regular', () => {
  const window = new ArrivalWindow({ intervalMillis: 1_000, phiThreshold: 8 }, 0);
  for (let second = 1; second <= 200; second++) window.arrived(second * 1_000);
  assert.ok(window.phi(201_000) < 1);
  assert.ok(!window.isDead(217_000));
  assert.ok(window.isDead(219_500));
});

test('who is gone is dead after a few missed heartbeats; who was taken for dead so, and was not, is not again', () => {
  const window = new ArrivalWindow({ intervalMillis: 1_000, phiThreshold: 8 }, 0);
  for (let second = 1; second <= 200; second++) window.arrived(second * 1_000);
  window.gone();
  assert.ok(!window.isDead(201_500));
  assert.ok(window.isDead(202_500));
  window.convicted(202_500);
  window.arrived(203_000);
  assert.ok(!window.isDead(206_000), 'it is not gone any more');
  window.gone();
  assert.ok(window.isDead(206_000), 'it was wrong only once');
  window.convicted(206_000);
  window.arrived(207_000);
  window.gone();
  assert.ok(!window.isDead(211_000), 'it was wrong twice');
  assert.ok(window.isDead(230_000), 'silence counts all the same');
  window.reborn();
  window.gone();
  assert.ok(window.isDead(211_000));
});

test('messages are read as they were written; others are refused', () => {
  const id = packHostId(testNode(7).hostId) ?? '';
  assert.equal(unpackHostId(id), testNode(7).hostId);
  assert.equal(packHostId('not a uuid'), null);
  const digest = { id, generation: 4_000_000_000, version: 17 };
  const news = { ...digest, states: new Map([[10, { value: 'ü', version: 3 }]]) };
  const messages: GossipMessage[] = [
    { kind: 'offer', isAll: true, digests: [digest, digest] },
    { kind: 'answer', wanted: [digest], news: [news] },
    { kind: 'news', news: [news, news] },
    { kind: 'goodbye', digest },
    { kind: 'gone', digest },
  ];
  for (const message of messages) {
    const bytes = Uint8Array.from(encodeGossip(new Writer(), 'c', message));
    assert.deepEqual(decodeGossip(bytes, 'c'), message);
    assert.equal(decodeGossip(bytes, 'd'), null);
    for (let cut = 0; cut < bytes.length; cut++) {
      assert.equal(decodeGossip(bytes.subarray(0, cut), 'c'), null);
    }
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = Uint8Array.from(bytes);
        changed[at] = value;
        decodeGossip(changed, 'c');
      }),
    );
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeGossip(bytes, '');
    }),
  );
});
