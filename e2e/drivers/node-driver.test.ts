/** The unmodified Node cassandra-driver against a node of ours. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import cassandra from 'cassandra-driver';
import { type NodeProcess, startNode } from '../support/node-process.ts';

let node: NodeProcess;
let client: cassandra.Client;

before(async () => {
  node = await startNode();
  client = new cassandra.Client({
    contactPoints: [`127.0.0.1:${node.cqlPort}`],
    localDataCenter: 'datacenter1',
    queryOptions: { prepare: true },
  });
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE app WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}",
  );
  await client.execute('USE app');
});

after(async () => {
  await client.shutdown();
  await node.stop();
});

test('connects and sees the cluster', () => {
  const [host] = client.hosts.values();
  assert.equal(host.datacenter, 'datacenter1');
  assert.equal(host.rack, 'rack1');
  assert.equal(client.hosts.length, 1);
  assert.ok(client.getState().getConnectedHosts().length === 1);
});

test('prepared statements with every simple type', async () => {
  await client.execute(
    `CREATE TABLE kinds (id uuid PRIMARY KEY, a ascii, bi bigint, bl blob, bo boolean, da date, de decimal, dou double, du duration,
     fl float, ine inet, i int, si smallint, te text, ti time, ts timestamp, tu timeuuid, tiny tinyint, vi varint)`,
  );
  const { types } = cassandra;
  const id = types.Uuid.random();
  const values = {
    id,
    a: 'ascii',
    bi: types.Long.fromString('-9223372036854775808'),
    bl: Buffer.from([0, 1, 255]),
    bo: true,
    da: types.LocalDate.fromString('1969-12-31'),
    de: types.BigDecimal.fromString('-123.4500'),
    dou: -1.5e300,
    du: types.Duration.fromString('1mo2d3s'),
    fl: 0.5,
    ine: types.InetAddress.fromString('::1'),
    i: -2147483648,
    si: -32768,
    te: 'tëxt 𝄞',
    ti: types.LocalTime.fromString('23:59:59.999999999'),
    ts: new Date(1234567890123),
    tu: types.TimeUuid.now(),
    tiny: -128,
    vi: types.Integer.fromString('123456789012345678901234567890'),
  };
  const names = Object.keys(values);
  await client.execute(
    `INSERT INTO kinds (${names.join(', ')}) VALUES (${names.map((name) => `:${name}`).join(', ')})`,
    values,
  );
  const row = (await client.execute('SELECT * FROM kinds WHERE id = ?', [id])).first();
  for (const [name, value] of Object.entries(values)) {
    assert.equal(String(row[name]), String(value), name);
  }
});

test('collections, user types, tuples and vectors', async () => {
  await client.execute('CREATE TYPE address (street text, zip int)');
  await client.execute(
    `CREATE TABLE shapes (k int PRIMARY KEY, l list<int>, s set<text>, m map<text, frozen<list<int>>>, u address,
     fu frozen<address>, t tuple<int, text>, v vector<float, 3>)`,
  );
  const tuple = new cassandra.types.Tuple(1, 'one');
  await client.execute(
    'INSERT INTO shapes (k, l, s, m, u, fu, t, v) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    [
      1,
      [3, 1, 2],
      ['b', 'a'],
      { x: [1, 2] },
      { street: 's', zip: 1 },
      { street: 'f', zip: null },
      tuple,
      new cassandra.types.Vector([0.5, 1, -2], 'float'),
    ],
  );
  await client.execute(
    "UPDATE shapes SET l = l + [4], s = s - {'a'}, m['y'] = [9], u.zip = 2 WHERE k = 1",
  );
  const row = (await client.execute('SELECT * FROM shapes WHERE k = 1')).first();
  assert.deepEqual(row['l'], [3, 1, 2, 4]);
  assert.deepEqual(row['s'], ['b']);
  assert.deepEqual(row['m'], { x: [1, 2], y: [9] });
  assert.deepEqual({ ...row['u'] }, { street: 's', zip: 2 });
  assert.deepEqual({ ...row['fu'] }, { street: 'f', zip: null });
  assert.equal(row['t'].toString(), tuple.toString());
  assert.deepEqual([...row['v']], [0.5, 1, -2]);
});

test('paging through a partition and through a table', async () => {
  await client.execute(
    'CREATE TABLE pages (k int, c int, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)',
  );
  const rows = Array.from({ length: 500 }, (_, i) => i);
  await Promise.all(
    rows.map((i) => client.execute('INSERT INTO pages (k, c) VALUES (?, ?)', [i % 7, i])),
  );
  let seen: number[] = [];
  let pageState: string | undefined;
  let pages = 0;
  do {
    const options: cassandra.QueryOptions = { fetchSize: 33, prepare: true };
    if (pageState !== undefined) options.pageState = pageState;
    const page = await client.execute('SELECT c FROM pages', [], options);
    assert.ok(page.rows.length <= 33);
    seen.push(...page.rows.map((row) => row['c']));
    pageState = page.pageState;
    pages++;
  } while (pageState);
  assert.ok(pages >= 16);
  assert.deepEqual(
    seen.sort((a, b) => a - b),
    rows,
  );
  seen = [];
  await new Promise<void>((resolve, reject) => {
    const options = { fetchSize: 5, autoPage: true, prepare: true };
    client.eachRow(
      'SELECT c FROM pages WHERE k = 3 ORDER BY c ASC',
      [],
      options,
      (_, row) => seen.push(row['c']),
      (error) => (error ? reject(error) : resolve()),
    );
  });
  assert.deepEqual(
    seen,
    rows.filter((i) => i % 7 === 3),
  );
});

test('batches, conditional updates and counters', async () => {
  await client.execute('CREATE TABLE acc (k text PRIMARY KEY, v int)');
  await client.batch(
    ['a', 'b', 'c'].map((k, v) => ({
      query: 'INSERT INTO acc (k, v) VALUES (?, ?)',
      params: [k, v],
    })),
    { prepare: true },
  );
  const counted = (await client.execute('SELECT count(*) AS n FROM acc')).first();
  assert.equal(counted['n'].toString(), '3');
  const refused = await client.execute("INSERT INTO acc (k, v) VALUES ('a', 9) IF NOT EXISTS");
  assert.equal(refused.wasApplied(), false);
  assert.equal(refused.first()['v'], 0);
  const applied = await client.execute("UPDATE acc SET v = 10 WHERE k = 'a' IF v = 0");
  assert.equal(applied.wasApplied(), true);
  await client.execute('CREATE TABLE clicks (k text PRIMARY KEY, n counter)');
  await Promise.all(
    Array.from({ length: 50 }, () =>
      client.execute('UPDATE clicks SET n = n + 2 WHERE k = ?', ['x']),
    ),
  );
  const clicks = (await client.execute("SELECT n FROM clicks WHERE k = 'x'")).first();
  assert.equal(clicks['n'].toString(), '100');
});

test('concurrent conditional increments lose nothing', async () => {
  await client.execute('CREATE TABLE cas (k int PRIMARY KEY, v int)');
  await client.execute('INSERT INTO cas (k, v) VALUES (1, 0)');
  let wins = 0;
  const contend = async () => {
    for (let i = 0; i < 20; i++) {
      const now = (await client.execute('SELECT v FROM cas WHERE k = 1')).first()['v'];
      const result = await client.execute('UPDATE cas SET v = ? WHERE k = 1 IF v = ?', [
        now + 1,
        now,
      ]);
      if (result.wasApplied()) wins++;
    }
  };
  await Promise.all([contend(), contend(), contend(), contend()]);
  assert.equal((await client.execute('SELECT v FROM cas WHERE k = 1')).first()['v'], wins);
});

test('schema events and metadata reach the driver', async () => {
  const events: string[] = [];
  const listener = new cassandra.Client({
    contactPoints: [`127.0.0.1:${node.cqlPort}`],
    localDataCenter: 'datacenter1',
  });
  await listener.connect();
  try {
    await client.execute('CREATE TABLE app.seen (k int PRIMARY KEY, v text)');
    const deadline = Date.now() + 5000;
    let table = await listener.metadata.getTable('app', 'seen');
    while (table === null && Date.now() < deadline)
      table = await listener.metadata.getTable('app', 'seen');
    events.push(...(table?.columns ?? []).map((column) => column.name));
    assert.deepEqual(events.sort(), ['k', 'v']);
    await client.execute('ALTER TABLE app.seen ADD w int');
    await client.execute('INSERT INTO app.seen (k, v, w) VALUES (?, ?, ?)', [1, 'x', 2]);
    assert.equal((await client.execute('SELECT * FROM app.seen WHERE k = ?', [1])).first()['w'], 2);
  } finally {
    await listener.shutdown();
  }
});

test('errors come as the driver knows them', async () => {
  const codeOf = async (query: string) => {
    try {
      await client.execute(query, [], { prepare: false });
      return 0;
    } catch (error) {
      return (error as { code: number }).code;
    }
  };
  const { responseErrorCodes } = cassandra.types;
  assert.equal(await codeOf('SELEC 1'), responseErrorCodes.syntaxError);
  assert.equal(await codeOf('SELECT * FROM app.nothing'), responseErrorCodes.invalid);
  assert.equal(
    await codeOf('CREATE TABLE app.acc (k int PRIMARY KEY)'),
    responseErrorCodes.alreadyExists,
  );
  assert.equal(
    await codeOf('INSERT INTO system.local (key) VALUES (1)'),
    responseErrorCodes.unauthorized,
  );
});
