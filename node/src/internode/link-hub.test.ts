/** The hub over the simulation's network: everything a link may go through. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writer } from '../common/bytes.ts';
import { VirtualNetwork } from '../simulation/network.ts';
import { SeededRandom } from '../simulation/random.ts';
import { Scheduler } from '../simulation/scheduler.ts';
import type { CarrierStream } from './carrier.ts';
import type { LinkLimits } from './limits.ts';
import { LinkHub } from './link-hub.ts';
import { type LinkError, type Peer, type Responder, request, Verb } from './links.ts';
import { Lane, sealPacket, writeHello } from './packet.ts';

interface Node {
  readonly hub: LinkHub;
  readonly peer: Peer;
  readonly log: string[];
  /** Those of the log that are warnings. */
  readonly warnings: string[];
}

interface NodeChanges {
  readonly clusterName?: string;
  readonly clusterId?: () => string;
  readonly limits?: Partial<LinkLimits>;
  readonly nowMillis?: () => number;
}

class Cluster {
  readonly scheduler = new Scheduler();
  readonly network: VirtualNetwork;

  constructor(seed = 1) {
    this.network = new VirtualNetwork(this.scheduler, new SeededRandom(seed));
  }

  node(name: string, changed: NodeChanges = {}) {
    const { scheduler, network } = this;
    const log: string[] = [];
    const warnings: string[] = [];
    const note = (message: string, fields: Readonly<Record<string, unknown>>) => {
      log.push(`${message}: ${String(fields['reason'] ?? fields['error'])}`);
    };
    const warn = (message: string, fields: Readonly<Record<string, unknown>>) => {
      warnings.push(message);
      note(message, fields);
    };
    const hub = new LinkHub({
      carrier: network.carrier(name),
      clock: {
        nowMillis: changed.nowMillis ?? (() => 1000 + scheduler.now),
        after: (millis, run) => scheduler.after(millis, run),
      },
      log: { info: note, warn, error: note },
      random: () => network.random.next(),
      schedule: (flush) => scheduler.soon(flush),
      hostId: `host-${name}`,
      clusterName: changed.clusterName ?? 'test',
      clusterId: changed.clusterId ?? (() => ''),
      limits: changed.limits ?? {},
    });
    network.listen(name, 1, hub.accept);
    network.listen(name, 2, hub.accept);
    const peer = { hostId: `host-${name}`, address: name, controlPort: 1, dataPort: 2 };
    return { hub, peer, log, warnings } satisfies Node;
  }

  run(millis: number): Promise<void> {
    return this.scheduler.runUntil(this.scheduler.now + millis);
  }
}

function echo(node: Node): void {
  for (const verb of [Verb.Gossip, Verb.Mutation]) {
    node.hub.handle(verb, (from, body, responder) => {
      responder.answer(Buffer.from(`${from} said ${Buffer.from(body).toString()}`));
    });
  }
}

/** What became of a request: the answer's text, or the error's code. */
function ask(from: Node, to: Peer, verb: Verb, body: string | Buffer, timeoutMillis = 1000) {
  const outcome = { text: 'pending' };
  request(from.hub, to, verb, Buffer.from(body), timeoutMillis).then(
    (answer) => {
      outcome.text = answer.length > 100 ? `${answer.length} bytes` : answer.toString();
    },
    (error: LinkError) => {
      outcome.text = error.code;
    },
  );
  return outcome;
}

test('requests and answers, on both ports', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  echo(b);
  assert.equal(a.hub.latencyMillis('host-b'), null);
  const data = ask(a, b.peer, Verb.Mutation, 'hi');
  const control = ask(a, b.peer, Verb.Gossip, '');
  await cluster.run(10);
  assert.equal(data.text, 'host-a said hi');
  assert.equal(control.text, 'host-a said ');
  const latency = a.hub.latencyMillis('host-b');
  assert.ok(latency !== null && latency > 0 && latency < 10);
  assert.deepEqual([...a.log, ...b.log], []);
});

test('the calls of one turn are one packet, and so are their answers', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  echo(b);
  ask(a, b.peer, Verb.Mutation, 'first');
  await cluster.run(10);
  const before = { a: a.hub.counters.packetsSent, b: b.hub.counters.packetsSent };
  const all = Array.from({ length: 500 }, (_, i) => ask(a, b.peer, Verb.Mutation, String(i)));
  await cluster.run(10);
  for (const [i, { text }] of all.entries()) assert.equal(text, `host-a said ${i}`);
  assert.equal(a.hub.counters.packetsSent - before.a, 1);
  assert.equal(b.hub.counters.packetsSent - before.b, 1);
});

test('large bodies go their own way, both ways, and too large ones nowhere', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a', { limits: { bodyBytesMax: 1 << 20 } });
  const b = cluster.node('b', { limits: { bodyBytesMax: 1 << 20 } });
  // The large lane of both directions is slow, as if it were full.
  b.hub.handle(Verb.ReadRecords, (_, body, responder) =>
    responder.answer(Buffer.alloc(body[0] << 16)),
  );
  b.hub.handle(Verb.Mutation, (_, body, responder) =>
    responder.answer(Buffer.of(body.length >> 16)),
  );
  ask(a, b.peer, Verb.ReadRecords, Buffer.of(0));
  await cluster.run(10);
  cluster.network.setStandard({ bytesPerMilli: 1000 });
  const largeAnswer = ask(a, b.peer, Verb.ReadRecords, Buffer.of(8));
  const largeRequest = ask(a, b.peer, Verb.Mutation, Buffer.alloc(9 << 16));
  const small = ask(a, b.peer, Verb.Mutation, Buffer.alloc(10));
  await cluster.run(10);
  assert.equal(small.text, '\0');
  assert.equal(largeAnswer.text, 'pending');
  const tooLarge = ask(a, b.peer, Verb.Mutation, Buffer.alloc((1 << 20) + 1));
  const tooLargeAnswer = ask(a, b.peer, Verb.ReadRecords, Buffer.of(17), 5000);
  await cluster.run(3000);
  assert.equal(largeAnswer.text, `${8 << 16} bytes`);
  assert.equal(largeRequest.text, '\t');
  assert.equal(tooLarge.text, 'FAILED');
  assert.equal(tooLargeAnswer.text, 'FAILED');
});

test('no answer, a failing handler, no handler, an overloaded one', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  let forgotten: Responder | null = null;
  b.hub.handle(Verb.Mutation, (_, __, responder) => {
    forgotten = responder;
  });
  b.hub.handle(Verb.Hint, () => {
    throw new TypeError('a bug');
  });
  b.hub.handle(Verb.Counter, (_, __, responder) => {
    responder.fail('OVERLOADED', 'no more');
    responder.answer(Buffer.of(1));
  });
  const outcomes = [Verb.Mutation, Verb.Hint, Verb.ScanPage, Verb.Counter].map((verb) =>
    ask(a, b.peer, verb, 'x', 100),
  );
  await cluster.run(200);
  assert.deepEqual(
    outcomes.map(({ text }) => text),
    ['TIMEOUT', 'FAILED', 'FAILED', 'OVERLOADED'],
  );
  const { packetsSent } = b.hub.counters;
  (forgotten as Responder | null)?.answer(Buffer.of(1));
  await cluster.run(10);
  assert.equal(b.hub.counters.packetsSent, packetsSent, 'nothing is sent for nobody');
  assert.deepEqual(b.log, ['a request could not be handled: TypeError: a bug']);
});

test('requests that come too late are dropped before the handler', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  echo(b);
  ask(a, b.peer, Verb.Mutation, 'quick');
  await cluster.run(10);
  cluster.network.setQuality('a', 'b', { latencyMin: 500, latencyMax: 500 });
  const late = ask(a, b.peer, Verb.Mutation, 'late', 400);
  const intime = ask(a, b.peer, Verb.Mutation, 'in time', 600);
  await cluster.run(2000);
  assert.equal(late.text, 'TIMEOUT');
  assert.equal(intime.text, 'host-a said in time');
  assert.equal(b.hub.counters.expired, 1);
  assert.equal(b.hub.counters.handled, 2);
});

test('a clock that stood still, or runs slowly, is not taken for delay for long', async () => {
  const cluster = new Cluster();
  let behind = 0;
  const a = cluster.node('a', { nowMillis: () => 1000 + cluster.scheduler.now * 0.999 - behind });
  const b = cluster.node('b');
  echo(b);
  const texts = async (seconds: number) => {
    const seen: string[] = [];
    for (let i = 0; i < seconds; i++) {
      const outcome = ask(a, b.peer, Verb.Mutation, 'x', 300);
      await cluster.run(1000);
      seen.push(outcome.text);
    }
    return seen;
  };
  assert.deepEqual(new Set(await texts(2000)), new Set(['host-a said x']));
  behind = 10_000;
  assert.equal((await texts(12)).at(-1), 'host-a said x');
});

test('a stale request hears which epoch its peer goes by', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  const epochs: (string | number)[] = [];
  b.hub.handle(Verb.Mutation, (_, body, responder) => responder.fail('STALE', String(body)));
  for (const text of ['17', 'not a number']) {
    a.hub.call(b.peer, Verb.Mutation, Buffer.from(text), 100, {
      answered: () => epochs.push('answered'),
      failed: ({ code, epoch }) => epochs.push(code, epoch),
    });
  }
  await cluster.run(50);
  assert.deepEqual(epochs, ['STALE', 17, 'STALE', 0]);
});

test('beyond the bounds of a peer: OVERLOADED at once, and only for this peer', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a', { limits: { callsMax: 10, queueBytesMax: 5000 } });
  const b = cluster.node('b');
  const c = cluster.node('c');
  echo(c);
  const many = Array.from({ length: 15 }, () => ask(a, b.peer, Verb.Mutation, 'x'));
  const other = ask(a, c.peer, Verb.Mutation, 'x');
  const bytes = Array.from({ length: 5 }, () => ask(a, c.peer, Verb.Mutation, 'x'.repeat(2000)));
  await cluster.run(100);
  assert.equal(many.filter(({ text }) => text === 'OVERLOADED').length, 5);
  assert.equal(other.text, 'host-a said x');
  assert.equal(bytes.filter(({ text }) => text === 'OVERLOADED').length, 3);
});

test('a handler that holds too many requests', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b', { limits: { handledMax: 3 } });
  const held: Responder[] = [];
  b.hub.handle(Verb.Mutation, (_, __, responder) => held.push(responder));
  const all = Array.from({ length: 5 }, () => ask(a, b.peer, Verb.Mutation, 'x'));
  await cluster.run(10);
  for (const responder of held) responder.answer(Buffer.from('done'));
  await cluster.run(10);
  assert.deepEqual(
    all.map(({ text }) => text),
    ['done', 'done', 'done', 'OVERLOADED', 'OVERLOADED'],
  );
});

test('a broken link fails its calls; later ones go over a new one', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  const hold: Responder[] = [];
  b.hub.handle(Verb.Mutation, (_, __, responder) => hold.push(responder));
  const lost = ask(a, b.peer, Verb.Mutation, 'x');
  await cluster.run(10);
  cluster.network.breakStreams('a', 'b');
  await cluster.run(1);
  assert.equal(lost.text, 'UNREACHABLE');
  hold[0].answer(Buffer.of(1));
  echo(b);
  assert.equal(ask(a, b.peer, Verb.Mutation, 'too soon').text, 'pending');
  await cluster.run(100);
  const again = ask(a, b.peer, Verb.Mutation, 'again');
  await cluster.run(10);
  assert.equal(again.text, 'host-a said again');
  assert.equal(a.log.length, 2, 'one line for each lane');
});

test('a peer that is not there: quickly UNREACHABLE, found again when it returns', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const peer = { hostId: 'host-b', address: 'b', controlPort: 1, dataPort: 2 };
  const first = ask(a, peer, Verb.Mutation, 'x');
  await cluster.run(10);
  assert.equal(first.text, 'UNREACHABLE');
  for (let i = 0; i < 20; i++) {
    ask(a, peer, Verb.Mutation, 'x');
    await cluster.run(500);
  }
  assert.equal(a.log.length, 2);
  const b = cluster.node('b');
  echo(b);
  // It calls here: so it can be called.
  echo(a);
  ask(b, a.peer, Verb.Gossip, 'back');
  await cluster.run(10);
  const back = ask(a, peer, Verb.Mutation, 'welcome');
  await cluster.run(10);
  assert.equal(back.text, 'host-a said welcome');
});

test('a silent link is given up', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  echo(b);
  ask(a, b.peer, Verb.Mutation, 'x');
  await cluster.run(10);
  cluster.network.block('b', 'a');
  for (let i = 0; i < 6; i++) {
    ask(a, b.peer, Verb.Mutation, 'x');
    await cluster.run(1100);
  }
  assert.deepEqual(a.log, ['a link to a peer ended: silent']);
});

test('another cluster, or another node at the address, is refused', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b', { clusterName: 'other' });
  const c = cluster.node('c');
  echo(b);
  echo(c);
  const other = ask(a, b.peer, Verb.Gossip, 'x');
  const moved = ask(a, { ...c.peer, hostId: 'host-d' }, Verb.Gossip, 'x');
  const anyone = ask(a, { ...c.peer, hostId: '' }, Verb.Gossip, 'x');
  await cluster.run(100);
  assert.equal(other.text, 'REFUSED');
  assert.equal(moved.text, 'REFUSED');
  assert.equal(anyone.text, 'host-a said x');
  assert.match(a.log[0], /refused: the cluster here is 'other', not 'test'/);
  assert.match(a.log[1], /refused: the node here is host-c, not host-d/);
  assert.equal(b.log.length, 1);
  assert.equal(c.log.length, 1);
});

test('two clusters of one name do not speak; who is in none yet speaks with both, until it is in one', async () => {
  const cluster = new Cluster();
  let joined = '';
  const a = cluster.node('a', { clusterId: () => 'one' });
  const b = cluster.node('b', { clusterId: () => 'two' });
  const stranger = cluster.node('c', { clusterId: () => joined });
  for (const node of [a, b, stranger]) echo(node);
  const other = ask(a, b.peer, Verb.Gossip, 'x');
  const toA = ask(stranger, a.peer, Verb.Gossip, 'x');
  const toB = ask(stranger, b.peer, Verb.Gossip, 'x');
  const fromB = ask(b, stranger.peer, Verb.Gossip, 'x');
  await cluster.run(100);
  assert.equal(other.text, 'REFUSED');
  assert.match(a.log[0], /refused: there are two clusters named 'test', two and one/);
  for (const answered of [toA, toB]) assert.equal(answered.text, 'host-c said x');
  assert.equal(fromB.text, 'host-b said x');
  joined = 'one';
  stranger.hub.joined();
  await cluster.run(100);
  const late = [ask(stranger, b.peer, Verb.Gossip, 'x'), ask(b, stranger.peer, Verb.Gossip, 'x')];
  const same = ask(stranger, a.peer, Verb.Gossip, 'x');
  await cluster.run(1000);
  assert.equal(same.text, 'host-c said x');
  for (const { text } of late) assert.match(text, /REFUSED|UNREACHABLE/);
});

test('a peer that moved is called at its new address', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  echo(b);
  ask(a, b.peer, Verb.Mutation, 'x');
  await cluster.run(10);
  cluster.network.vanish('b');
  cluster.network.listen('b2', 2, b.hub.accept);
  const moved = ask(a, { ...b.peer, address: 'b2' }, Verb.Mutation, 'x');
  await cluster.run(10);
  assert.equal(moved.text, 'host-a said x');
});

test('bad bytes close their stream, with one line, and nothing else', async () => {
  const hello = (): Buffer => {
    const writer = new Writer();
    writeHello(writer, {
      ...{ lane: Lane.small, session: [1, 2], hostId: 'x', meant: '' },
      ...{ clusterName: 'test', clusterId: '' },
    });
    const packet = writer.copy();
    sealPacket(packet, 0);
    return packet;
  };
  const changed = (change: (packet: Buffer) => void): Buffer => {
    const packet = hello();
    change(packet);
    return packet;
  };
  const messages = (body: Buffer): Buffer => {
    const packet = Buffer.concat([hello().subarray(0, 20), body]);
    packet[5] = 4;
    sealPacket(packet, 0);
    return packet;
  };
  const answer = Buffer.alloc(16);
  answer[0] = 2;
  const long = Buffer.alloc(16);
  long[0] = 1;
  long.writeUInt32BE(0x80000000, 12);
  const cases: [string, Buffer[]][] = [
    ['half a packet', [hello().subarray(0, 30)]],
    ['less than a header', [Buffer.of(1, 2)]],
    ['wrong magic', [changed((p) => p.writeUInt8(0x4a, 0))]],
    ['unknown version', [changed((p) => p.writeUInt8(9, 4))]],
    ['2 GiB', [changed((p) => p.writeUInt32BE(0x80000000, 8))]],
    ['wrong checksum', [changed((p) => p.writeUInt8(p[30] ^ 1, 30))]],
    ['no hello', [messages(answer)]],
    ['an answer nobody waits for', [hello(), messages(answer)]],
    ['half a message', [hello(), messages(Buffer.alloc(10))]],
    ['a message of 2 GiB', [hello(), messages(long)]],
    ['two hellos', [hello(), hello()]],
  ];
  for (const [name, packets] of cases) {
    const cluster = new Cluster();
    const a = cluster.node('a');
    const b = cluster.node('b');
    echo(b);
    ask(a, b.peer, Verb.Mutation, 'x');
    await cluster.run(10);
    let closed = '';
    const bad: CarrierStream = cluster.network.carrier('x').open('b', 2, {
      packet: () => {},
      drained: () => {},
      closed: (reason) => {
        closed = reason;
      },
    });
    for (const packet of packets) bad.write(packet);
    const good = ask(a, b.peer, Verb.Mutation, 'still here');
    await cluster.run(50);
    assert.equal(closed, 'closed by the peer', name);
    assert.equal(good.text, 'host-a said still here', name);
    assert.equal(b.log.length, 1, `${name}: ${b.log.join()}`);
    assert.match(b.log[0], /a link from a peer was closed: malformed/, name);
    assert.equal(b.hub.counters.malformed, 1, name);
  }
});

test('corrupt packets never become messages', async () => {
  const cluster = new Cluster(7);
  const a = cluster.node('a');
  const b = cluster.node('b');
  echo(b);
  cluster.network.setStandard({ corruption: 0.3 });
  const seen = new Set<string>();
  for (let i = 0; i < 300; i++) {
    const outcome = ask(a, b.peer, Verb.Mutation, 'x', 200);
    await cluster.run(220);
    seen.add(outcome.text);
  }
  assert.deepEqual([...seen].sort(), ['UNREACHABLE', 'host-a said x']);
});

test('a caller that sends no hello is closed in time; an idle link is closed', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a', { limits: { idleMillis: 30_000 } });
  const b = cluster.node('b');
  echo(b);
  ask(a, b.peer, Verb.Mutation, 'x');
  let closed = '';
  cluster.network.carrier('x').open('b', 1, {
    packet: () => {},
    drained: () => {},
    closed: (reason) => {
      closed = reason;
    },
  });
  await cluster.run(6000);
  assert.equal(closed, 'closed by the peer');
  assert.equal(a.hub.latencyMillis('host-b') === null, false);
  await cluster.run(60_000);
  assert.equal(a.hub.latencyMillis('host-b'), null, 'forgotten');
  const again = ask(a, b.peer, Verb.Mutation, 'x');
  await cluster.run(10);
  assert.equal(again.text, 'host-a said x');
});

test('every call is told exactly once what became of it, whatever the network does', async () => {
  for (let seed = 0; seed < 30; seed++) {
    const cluster = new Cluster(seed);
    const { network } = cluster;
    const { random } = network;
    const limits = { callsMax: 20, queueBytesMax: 400_000, idleMillis: 2000, silentMillis: 1000 };
    const nodes = ['a', 'b', 'c'].map((name) => cluster.node(name, { limits }));
    for (const { hub } of nodes) {
      hub.handle(Verb.Mutation, (_, body, responder) => {
        const answer = Buffer.from(body);
        if (random.chance(0.05)) throw new TypeError('planted');
        if (random.chance(0.1)) return;
        cluster.scheduler.after(random.between(0, 20), () => responder.answer(answer));
      });
    }
    const heard: number[] = [];
    const wrong: string[] = [];
    for (let round = 0; round < 150; round++) {
      const [from, to] = random.shuffle(nodes);
      const call = heard.push(0) - 1;
      const body = Buffer.alloc(random.chance(0.1) ? 100_000 : 4 + random.below(50));
      body.writeUInt32BE(call);
      from.hub.call(to.peer, Verb.Mutation, body, random.between(1, 500), {
        answered: (answer) => {
          heard[call]++;
          if (!body.equals(answer)) wrong.push(`an answer to call ${call} is another's`);
        },
        failed: () => {
          heard[call]++;
        },
      });
      const [x, y] = [from.peer.address, to.peer.address];
      if (random.chance(0.1)) network.breakStreams(x, y);
      if (random.chance(0.1)) network.block(x, y);
      if (random.chance(0.15)) network.heal();
      if (random.chance(0.05)) network.setStandard({ latencyMax: random.pick([0.2, 50]) });
      if (random.chance(0.5)) await cluster.run(random.between(0, 40));
    }
    nodes[0].hub.close();
    await cluster.run(30_000);
    assert.deepEqual([heard.filter((times) => times !== 1), wrong], [[], []], `seed ${seed}`);
  }
});

test('closing: everything that waits hears of it', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  b.hub.handle(Verb.Mutation, () => {});
  const waiting = ask(a, b.peer, Verb.Mutation, 'x');
  await cluster.run(10);
  a.hub.close();
  const late = ask(a, b.peer, Verb.Mutation, 'x');
  await cluster.run(10);
  assert.equal(waiting.text, 'CLOSED');
  assert.equal(late.text, 'CLOSED');
});

test('a link that worked and whose peer ends is no warning, one that cannot be made is', async () => {
  const cluster = new Cluster();
  const a = cluster.node('a');
  const b = cluster.node('b');
  echo(b);
  ask(a, b.peer, Verb.Gossip, 'x');
  await cluster.run(10);
  b.hub.close();
  await cluster.run(10);
  assert.match(a.log.join(), /a link to a peer ended/);
  assert.deepEqual(a.warnings, []);
  ask(a, { ...b.peer, hostId: 'host-c', address: 'c' }, Verb.Gossip, 'x');
  await cluster.run(10);
  assert.deepEqual(a.warnings, ['a peer could not be reached']);
});
