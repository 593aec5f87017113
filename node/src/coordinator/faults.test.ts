import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CqlError } from '../common/errors.ts';
import { Verb } from '../internode/links.ts';
import { Level } from './levels.ts';
import { TestCluster, type TestNode } from './testing/test-cluster.ts';

const TABLES = [
  'CREATE TABLE ks.t (k int PRIMARY KEY, v int, w text)',
  'CREATE TABLE ks.c (k int, c int, v int, PRIMARY KEY (k, c))',
];
const SIMPLE = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
  ...TABLES,
];
const NETWORK = [
  "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 3}",
  ...TABLES,
];
const LONG = 'x'.repeat(500);

test('a whole datacenter is away: local levels go on, the others say what is missing', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3, dc2: 3 }, ddl: NETWORK });
  const [a] = cluster.nodes;
  const far = cluster.nodes.slice(3);
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 1)', Level.EACH_QUORUM);
  for (const node of far) cluster.kill(node);
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 2)', Level.LOCAL_QUORUM);
  assert.deepEqual(await cluster.run(a, 'SELECT v FROM t WHERE k = 1', Level.LOCAL_QUORUM), ['2']);
  const each = await cluster.fail(a, 'INSERT INTO t (k, v) VALUES (1, 3)', Level.EACH_QUORUM);
  assert.equal(each.message, 'Cannot achieve consistency level EACH_QUORUM in DC dc2');
  assert.deepEqual(each.detail, {
    kind: 'unavailable',
    consistency: Level.EACH_QUORUM,
    required: 2,
    alive: 0,
  });
  const all = await cluster.fail(a, 'SELECT v FROM t WHERE k = 1', Level.QUORUM);
  assert.deepEqual(all.detail, {
    kind: 'unavailable',
    consistency: Level.QUORUM,
    required: 4,
    alive: 3,
  });
  assert.deepEqual(
    await cluster.run(
      a,
      'UPDATE t SET v = 5 WHERE k = 1 IF v = 2',
      Level.LOCAL_QUORUM,
      Level.LOCAL_SERIAL,
    ),
    ['true'],
  );
  for (const node of far) await cluster.restart(node);
  await cluster.time.run(5_000);
  const [x] = far;
  assert.deepEqual(await cluster.run(x, 'SELECT v FROM t WHERE k = 1', Level.LOCAL_QUORUM), ['5']);
  assert.deepEqual(await cluster.run(x, 'SELECT v FROM t WHERE k = 1', Level.EACH_QUORUM), ['5']);
});

test('local levels never wait for another datacenter', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3, dc2: 3 }, ddl: NETWORK });
  const [a] = cluster.nodes;
  cluster.network.fault = (_from, to) =>
    cluster.byId(to).info.datacenter === 'dc2' ? 'lose' : undefined;
  const before = cluster.time.nowMillis;
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 1)', Level.LOCAL_QUORUM);
  assert.deepEqual(await cluster.run(a, 'SELECT v FROM t WHERE k = 1', Level.LOCAL_QUORUM), ['1']);
  assert.ok(cluster.time.nowMillis - before < 20);
  const error = await cluster.fail(a, 'INSERT INTO t (k, v) VALUES (1, 2)', Level.EACH_QUORUM);
  assert.deepEqual(error.detail, {
    kind: 'write-timeout',
    consistency: Level.EACH_QUORUM,
    received: 3,
    required: 4,
    writeType: 'SIMPLE',
    contentions: 0,
  });
  // What did not arrive does later.
  cluster.network.fault = () => undefined;
  await cluster.time.run(5_000);
  const versions = cluster.nodes.map((node) => cluster.has(node, 't', 1).join());
  assert.equal(new Set(versions).size, 1);
});

test('one copy of a mutation goes to another datacenter, each replica there answers', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3, dc2: 3 }, ddl: NETWORK });
  const [a] = cluster.nodes;
  const { network } = cluster;
  const isFar = (hostId: string) => cluster.byId(hostId).info.datacenter === 'dc2';
  const insert = (v: number) => `INSERT INTO t (k, v, w) VALUES (1, ${v}, '${LONG}')`;
  await cluster.run(a, insert(1), Level.ALL);
  const wide = network.sent.filter(({ from, to }) => from === a.info.hostId && isFar(to));
  assert.deepEqual(
    wide.map(({ verb }) => verb),
    [Verb.RelayMutation, Verb.Relayed, Verb.Relayed],
  );
  // Questions that overtake the mutation wait for it.
  network.fault = (_from, _to, verb) =>
    verb === Verb.RelayMutation ? { delayMillis: 50 } : undefined;
  await cluster.run(a, insert(2), Level.ALL);
  // Whoever passes it on dies: none of the others has it, all get hints.
  const relay = cluster.byId(wide[0].to);
  network.fault = (from) => (from === relay.info.hostId ? 'lose' : undefined);
  await cluster.run(a, insert(3), Level.LOCAL_QUORUM);
  await cluster.time.run(500);
  cluster.kill(relay);
  network.fault = () => undefined;
  await cluster.time.run(10_000);
  await cluster.restart(relay);
  await cluster.time.run(10_000);
  const versions = cluster.nodes.map((node) => cluster.has(node, 't', 1).join());
  assert.equal(new Set(versions).size, 1);
});

test('a slow replica: another is asked before it answers', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, ddl: SIMPLE });
  const { network, time } = cluster;
  const replicas = cluster.replicasOf('t', 1);
  const outsider = cluster.nodes.find((node) => !replicas.includes(node)) as TestNode;
  await cluster.run(outsider, `INSERT INTO t (k, v, w) VALUES (1, 1, '${LONG}')`, Level.ALL);
  const slow = replicas[0].info.hostId;
  network.fault = (_from, to) => (to === slow ? { delayMillis: 2_000 } : undefined);
  const before = time.nowMillis;
  for (const level of [Level.ONE, Level.QUORUM]) {
    assert.deepEqual(await cluster.run(outsider, 'SELECT v FROM t WHERE k = 1', level), ['1']);
  }
  assert.ok(time.nowMillis - before < 100, `${time.nowMillis - before} ms`);
  assert.ok(outsider.coordinator.metrics.speculativeRetries > 0);
});

test('a replica is slow to take, or refuses, what a read repairs: another stands in for it', async () => {
  const texts = ['SELECT v FROM t WHERE k = 1', 'SELECT v FROM t'];
  const troubles = [{ delayMillis: 2_000 }, 'overload'] as const;
  for (const text of texts) {
    for (const trouble of troubles) {
      const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: SIMPLE });
      const { network, time } = cluster;
      const [a, b, c] = cluster.nodes;
      network.fault = (_from, to, verb) =>
        to !== a.info.hostId && (verb === Verb.Mutation || verb === Verb.Hint) ? 'lose' : undefined;
      await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 1)', Level.ONE);
      let victim = '';
      network.fault = (_from, to, verb) => {
        if (verb !== Verb.Mutation) return undefined;
        if (victim === '') victim = to;
        return to === victim ? trouble : undefined;
      };
      const before = time.nowMillis;
      assert.deepEqual(await cluster.run(a, text), ['1']);
      assert.ok(time.nowMillis - before < 100, `${time.nowMillis - before} ms`);
      assert.ok(victim !== '', 'there was something to repair');
      const isShared = [b, c].some((node) => cluster.has(node, 't', 1).length > 0);
      assert.ok(isShared, 'a quorum has it');
    }
  }
});

test('a replica that fails is replaced, and if nobody is left the error has all of its fields', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, ddl: SIMPLE });
  const { network } = cluster;
  const replicas = cluster.replicasOf('t', 1);
  const outsider = cluster.nodes.find((node) => !replicas.includes(node)) as TestNode;
  await cluster.run(outsider, 'INSERT INTO t (k, v) VALUES (1, 1)', Level.ALL);
  const [first, second] = replicas.map(({ info }) => info.hostId);
  network.fault = (_from, to) => (to === first ? 'overload' : undefined);
  assert.deepEqual(await cluster.run(outsider, 'SELECT v FROM t WHERE k = 1'), ['1']);
  network.fault = (_from, to) => (to === first || to === second ? 'overload' : undefined);
  const failed = await cluster.fail(outsider, 'SELECT v FROM t WHERE k = 1');
  assert.equal(failed.detail?.kind, 'read-failure');
  if (failed.detail?.kind !== 'read-failure') return;
  const { received, required, failures, dataPresent } = failed.detail;
  assert.deepEqual([received, required, dataPresent, failures.length], [0, 2, false, 2]);
  assert.deepEqual([...failures[0].endpoint].slice(0, 2), [10, 0]);
  network.fault = (_from, to) => (to === first || to === second ? 'lose' : undefined);
  const late = await cluster.fail(outsider, 'SELECT v FROM t WHERE k = 1');
  assert.deepEqual(late.detail, {
    kind: 'read-timeout',
    consistency: Level.QUORUM,
    received: 1,
    required: 2,
    dataPresent: true,
  });
  network.fault = (_from, to, verb) =>
    verb === Verb.Mutation && (to === first || to === second) ? 'overload' : undefined;
  const write = await cluster.fail(outsider, 'INSERT INTO t (k, v) VALUES (1, 2)');
  assert.equal(write.detail?.kind, 'write-failure');
  if (write.detail?.kind !== 'write-failure') return;
  assert.deepEqual(
    [write.detail.received, write.detail.required, write.detail.failures.length],
    [0, 2, 2],
  );
  // Both come as hints.
  network.fault = () => undefined;
  await cluster.time.run(5_000);
  const versions = replicas.map((node) => cluster.has(node, 't', 1).join());
  assert.equal(new Set(versions).size, 1);
});

test('a scan goes on without a replica that stops to answer in the middle', async () => {
  const cluster = await TestCluster.start({
    datacenters: { dc1: 5 },
    ddl: SIMPLE,
    coordinator: { pageEntries: 8 },
  });
  const [a] = cluster.nodes;
  const expected: string[] = [];
  for (let k = 0; k < 50; k++) {
    await cluster.run(a, `INSERT INTO t (k, v) VALUES (${k}, ${k})`, Level.ALL);
    expected.push(`${k} ${k}`);
  }
  let pages = 0;
  let victim = '';
  cluster.network.fault = (_from, to, verb) => {
    if (verb !== Verb.ScanPage) return undefined;
    if (++pages === 5) victim = to;
    return to === victim ? 'lose' : undefined;
  };
  for (const level of [Level.ONE, Level.QUORUM]) {
    const found = await cluster.run(a, 'SELECT k, v FROM t', level);
    assert.deepEqual([...found].sort(), [...expected].sort());
  }
  assert.ok(victim !== '');
  const error = await cluster.fail(a, 'SELECT k, v FROM t', Level.ALL);
  assert.equal(error.detail?.kind, 'read-timeout');
});

test('ANY is met by a hint; a hint that is not kept does not count', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, ddl: SIMPLE });
  const replicas = cluster.replicasOf('t', 1);
  const outsider = cluster.nodes.find((node) => !replicas.includes(node)) as TestNode;
  for (const node of replicas) cluster.kill(node);
  const insert = 'INSERT INTO t (k, v) VALUES (1, 1)';
  const one = await cluster.fail(outsider, insert, Level.ONE);
  assert.equal(one.detail?.kind, 'unavailable');
  await cluster.run(outsider, insert, Level.ANY);
  outsider.store.isStalled = true;
  const any = await cluster.fail(outsider, insert, Level.ANY);
  assert.deepEqual(any.detail, {
    kind: 'write-timeout',
    consistency: Level.ANY,
    received: 0,
    required: 1,
    writeType: 'SIMPLE',
    contentions: 0,
  });
  outsider.store.isStalled = false;
  // Hints outlive a restart of whoever keeps them.
  cluster.kill(outsider);
  await cluster.restart(outsider);
  for (const node of replicas) await cluster.restart(node);
  assert.equal(outsider.coordinator.hintsFor(replicas[0].info.hostId).count, 1);
  await cluster.time.run(5_000);
  assert.deepEqual(await cluster.run(outsider, 'SELECT v FROM t WHERE k = 1', Level.ALL), ['1']);
  assert.equal(outsider.coordinator.metrics.hintsReplayed, 3);
  assert.equal(outsider.coordinator.metrics.hintBytes, 0);
});

test('hints are bounded in bytes and age, and sent no faster than allowed', async () => {
  const hints = {
    bytesMax: 4_000,
    inFlightBytesMax: 1 << 20,
    windowMillis: 10_000,
    bytesPerSecond: 1_000,
    batchBytes: 300,
    intervalMillis: 100,
  };
  const cluster = await TestCluster.start({
    datacenters: { dc1: 3 },
    ddl: SIMPLE,
    coordinator: { hints },
  });
  const [a, , c] = cluster.nodes;
  cluster.kill(c);
  for (let k = 0; k < 200; k++) await cluster.run(a, `INSERT INTO t (k, v) VALUES (${k}, 1)`);
  const { metrics } = a.coordinator;
  const { bytes, count } = a.coordinator.hintsFor(c.info.hostId);
  assert.ok(bytes <= 4_000 && bytes > 3_900);
  assert.equal(metrics.hintsStored, count);
  assert.equal(metrics.hintsRefused, 200 - count);
  await cluster.restart(c);
  await cluster.time.run(1_500);
  assert.ok(metrics.hintsReplayed > 0 && metrics.hintsReplayed < count, `${metrics.hintsReplayed}`);
  await cluster.time.run(5_000);
  assert.equal(metrics.hintsReplayed, count);
  cluster.kill(c);
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (1, 2)');
  await cluster.time.run(11_000);
  await cluster.run(a, 'INSERT INTO t (k, v) VALUES (2, 2)');
  assert.equal(a.coordinator.hintsFor(c.info.hostId).count, 1);
});

test('a replica that has not heard of a table yet waits for it', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: SIMPLE });
  const [a, b, c] = cluster.nodes;
  cluster.ddl('CREATE TABLE ks.late (k int PRIMARY KEY, v int)', [a]);
  cluster.time.after(100, () => b.coordinator.setSchema(cluster.schema));
  await cluster.run(a, 'INSERT INTO late (k, v) VALUES (1, 1)');
  assert.equal(cluster.has(b, 'late', 1).length, 1);
  const error = await cluster.fail(a, 'INSERT INTO late (k, v) VALUES (1, 1)', Level.ALL);
  assert.equal(error.detail?.kind, 'write-failure');
  c.coordinator.setSchema(cluster.schema);
  assert.deepEqual(await cluster.run(c, 'SELECT v FROM late WHERE k = 1', Level.ALL), ['1']);
});

test('bytes that are no message are refused and nothing more', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: SIMPLE });
  const [a, b] = cluster.nodes;
  const links = cluster.network.find(a.info.hostId);
  assert.ok(links);
  const verbs = [
    Verb.Mutation,
    Verb.Hint,
    Verb.RelayMutation,
    Verb.Relayed,
    Verb.ReadRecords,
    Verb.ReadDigest,
    Verb.ScanPage,
    Verb.Counter,
    Verb.BatchStore,
    Verb.BatchRemove,
    Verb.PaxosPrepare,
    Verb.PaxosPropose,
    Verb.PaxosCommit,
  ];
  const whole = cluster.time;
  let failed = 0;
  for (const verb of verbs) {
    for (let i = 0; i < 60; i++) {
      const body = Buffer.from(Array.from({ length: i }, () => Math.floor(cluster.random() * 256)));
      if (i % 3 > 0 && i > 0) body[0] = 1;
      links.call(b.info, verb, body, 1_000, { answered: () => {}, failed: () => failed++ });
    }
  }
  await whole.run(3_000);
  assert.ok(failed > 600, `${failed}`);
  assert.deepEqual(cluster.has(b, 't', 1), []);
});

test('a restarted cluster of random faults: no acknowledged write is lost, quorum reads never go back', async () => {
  for (const seed of [1, 2, 3]) {
    const cluster = await TestCluster.start({ datacenters: { dc1: 5 }, ddl: SIMPLE, seed });
    const { nodes, random, time, network } = cluster;
    network.fault = (_from, _to, verb) => {
      const dice = random();
      if (dice < (verb === Verb.Mutation ? 0.3 : 0.02)) return 'lose';
      if (dice < 0.33) return 'lose-answer';
      if (dice < 0.34) return 'overload';
      return dice < 0.5 ? { delayMillis: random() * 30 } : undefined;
    };
    const written = new Map<number, number>();
    const seen = new Map<number, number>();
    const tolerate = (error: unknown) => {
      if (!(error instanceof CqlError)) throw error;
    };
    const writer = async (key: number) => {
      for (let v = 1; v <= 12; v++) {
        const node = nodes[Math.floor(random() * nodes.length)];
        await new Promise<void>((resolve) => time.after(random() * 100, resolve));
        if (!node.isUp) continue;
        const sent = cluster.send(node, `INSERT INTO t (k, v) VALUES (${key}, ${v})`);
        await Promise.race([
          sent.then(() => written.set(key, v), tolerate),
          new Promise<void>((resolve) => time.after(3_000, resolve)),
        ]);
      }
    };
    const reader = async (key: number) => {
      for (let i = 0; i < 25; i++) {
        const node = nodes[Math.floor(random() * nodes.length)];
        await new Promise<void>((resolve) => time.after(random() * 50, resolve));
        if (!node.isUp) continue;
        const acknowledged = written.get(key) ?? 0;
        const before = seen.get(key) ?? 0;
        const found = cluster.send(node, `SELECT v FROM t WHERE k = ${key}`).then((rows) => {
          const value = Number(rows[0] ?? 0);
          assert.ok(
            value >= acknowledged,
            `key ${key}: ${value}, acknowledged was ${acknowledged}`,
          );
          assert.ok(value >= before, `key ${key}: ${value} after ${before}`);
          seen.set(key, Math.max(seen.get(key) ?? 0, value));
        }, tolerate);
        await Promise.race([found, new Promise<void>((resolve) => time.after(6_000, resolve))]);
      }
    };
    const victim = nodes[Math.floor(random() * nodes.length)];
    time.after(200, () => cluster.kill(victim));
    time.after(900, () => {
      cluster.restart(victim).catch(assert.fail);
    });
    const keys = Array.from({ length: 12 }, (_, key) => key);
    await time.until(Promise.all([...keys.map(writer), ...keys.map(reader)]), 600_000);
    network.fault = () => undefined;
    await time.run(10_000);
    for (const key of keys) {
      const [value] = await cluster.run(nodes[0], `SELECT v FROM t WHERE k = ${key}`);
      assert.ok(Number(value) >= (written.get(key) ?? 0));
      const versions = cluster
        .replicasOf('t', key)
        .map((node) => cluster.has(node, 't', key).join());
      assert.equal(new Set(versions).size, 1, `replicas of ${key} differ (seed ${seed})`);
    }
  }
});

test('hints arrive also when the clock went back over a restart', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 3 }, ddl: SIMPLE });
  const [a, b] = cluster.nodes;
  const add = async (k: number) => {
    cluster.kill(b);
    await cluster.run(a, `INSERT INTO t (k, v) VALUES (${k}, 1)`);
  };
  cluster.skewMillis = 3_600_000;
  await add(1);
  cluster.kill(a);
  cluster.skewMillis = 0;
  await cluster.restart(a);
  for (const k of [2, 3]) {
    await cluster.restart(b);
    await cluster.time.run(5_000);
    assert.equal(cluster.has(b, 't', k - 1).length, 1);
    await add(k);
  }
  await cluster.restart(b);
  await cluster.time.run(5_000);
  assert.equal(cluster.has(b, 't', 3).length, 1);
  assert.deepEqual(a.coordinator.hintsFor(b.info.hostId), { bytes: 0, count: 0 });
});

test('who stands in for a replica in a scan is a replica of all that is scanned', async () => {
  const cluster = await TestCluster.start({ datacenters: { dc1: 6 }, ddl: SIMPLE });
  const [reader, writer, ...others] = cluster.nodes;
  const { hostId } = reader.info;
  const links = cluster.network.find(hostId);
  assert.ok(links !== undefined);
  const isWrite = (verb: Verb) => verb === Verb.Mutation || verb === Verb.Hint;
  cluster.network.fault = (_from, to, verb) =>
    to === hostId && isWrite(verb) ? 'lose' : undefined;
  const keys = Array.from({ length: 200 }, (_, k) => k);
  for (const k of keys) await cluster.run(writer, `INSERT INTO t (k, v) VALUES (${k}, 1)`);
  // The reader itself has nothing, and whoever is nearest to it does not answer.
  for (const { info: nearest } of others) {
    links.latencyMillis = (to: string) => (to === nearest.hostId ? 0.1 : 1);
    cluster.network.fault = (_from, to, verb) => {
      if (to === hostId && isWrite(verb)) return 'lose';
      return to === nearest.hostId && verb === Verb.ScanPage ? 'overload' : undefined;
    };
    const found = await cluster.run(reader, 'SELECT k FROM t');
    assert.deepEqual(
      found.map(Number).sort((x, y) => x - y),
      keys,
    );
  }
});
