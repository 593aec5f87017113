/** Schema changes while clients read and write: nobody sees an error that is not theirs, nothing written is lost. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import cassandra from 'cassandra-driver';
import { type NodeProcess, startNode } from './support/node-process.ts';

let node: NodeProcess;
let client: cassandra.Client;

before(async () => {
  node = await startNode();
  client = new cassandra.Client({
    contactPoints: [`127.0.0.1:${node.cqlPort}`],
    localDataCenter: 'datacenter1',
    queryOptions: { prepare: true },
    pooling: { coreConnectionsPerHost: { [cassandra.types.distance.local]: 4 } },
  });
  await client.connect();
  await client.execute(
    "CREATE KEYSPACE s WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  );
});

after(async () => {
  await client.shutdown();
  await node.stop();
});

test('writes go on while other tables come, change and go', async () => {
  await client.execute('CREATE TABLE s.kept (k int PRIMARY KEY, v int)');
  let stop = false;
  let written = 0;
  const writers = Array.from({ length: 16 }, async (_, w) => {
    while (!stop) {
      const k = written++;
      await client.execute('INSERT INTO s.kept (k, v) VALUES (?, ?)', [k, w]);
      const row = (await client.execute('SELECT v FROM s.kept WHERE k = ?', [k])).first();
      assert.equal(row['v'], w);
    }
  });
  for (let i = 0; i < 20; i++) {
    await client.execute(`CREATE TABLE s.gone${i} (k int PRIMARY KEY, v int)`);
    await Promise.all(
      Array.from({ length: 20 }, (_, k) =>
        client.execute(`INSERT INTO s.gone${i} (k, v) VALUES (?, 1)`, [k]),
      ),
    );
    await client.execute(`ALTER TABLE s.kept ADD extra${i} int`);
    await client.execute(`DROP TABLE s.gone${i}`);
  }
  stop = true;
  await Promise.all(writers);
  const counted = (await client.execute('SELECT count(*) AS n FROM s.kept')).first();
  assert.equal(Number(counted['n']), written);
});

test('a table dropped under load: clients are told so, the node lives', async () => {
  await client.execute('CREATE TABLE s.doomed (k int PRIMARY KEY, v int)');
  const errors = new Set<string>();
  const writers = Array.from({ length: 16 }, async () => {
    for (let k = 0; k < 400; k++) {
      try {
        await client.execute('INSERT INTO s.doomed (k, v) VALUES (?, ?)', [k, k]);
      } catch (error) {
        errors.add((error as Error).message);
      }
    }
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await client.execute('DROP TABLE s.doomed');
  await Promise.all(writers);
  for (const message of errors) assert.match(message, /table doomed does not exist/);
  await client.execute('CREATE TABLE s.doomed (k int PRIMARY KEY, v int)');
  const left = (await client.execute('SELECT count(*) AS n FROM s.doomed')).first();
  assert.equal(Number(left['n']), 0);
});

test('TRUNCATE under load leaves only what was written after it', async () => {
  await client.execute('CREATE TABLE s.emptied (k int PRIMARY KEY, round int)');
  for (let round = 1; round <= 10; round++) {
    const keys = Array.from({ length: 100 }, (_, k) => k);
    const write = (k: number) =>
      client.execute('INSERT INTO s.emptied (k, round) VALUES (?, ?)', [k, round]);
    await Promise.all(keys.map(write));
    const [, ...during] = await Promise.all([
      client.execute('TRUNCATE s.emptied'),
      ...keys.slice(0, 10).map((k) => write(k + 1000)),
    ]);
    assert.equal(during.length, 10);
    const rows = (await client.execute('SELECT k FROM s.emptied')).rows.map((row) => row['k']);
    assert.ok(
      rows.every((k) => k >= 1000),
      `round ${round}: ${rows.length} rows are left`,
    );
  }
});

test('concurrent DDL from many connections agrees', async () => {
  const names = Array.from({ length: 12 }, (_, i) => `s.many${i}`);
  const results = await Promise.allSettled(
    [...names, ...names].map((name) =>
      client.execute(`CREATE TABLE ${name} (k int PRIMARY KEY)`, [], { prepare: false }),
    ),
  );
  assert.equal(results.filter((result) => result.status === 'fulfilled').length, names.length);
  const found = await client.execute(
    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 's'",
  );
  assert.equal(found.rows.filter((row) => /^many/.test(row['table_name'])).length, names.length);
});

test('what is wrong gets an error and changes nothing', async () => {
  const refused = [
    'CREATE TABLE s.bad (k int)',
    'CREATE TABLE s.bad (k list<int> PRIMARY KEY)',
    "CREATE TABLE s.bad (k int PRIMARY KEY) WITH compaction = {'class': 'Nothing'}",
    'ALTER TABLE s.kept DROP k',
    'CREATE INDEX ON s.kept (v)',
    'CREATE MATERIALIZED VIEW s.mv AS SELECT * FROM s.kept WHERE k IS NOT NULL AND v IS NOT NULL PRIMARY KEY (v, k)',
    "CREATE ROLE r WITH PASSWORD = 'x'",
    'DROP KEYSPACE system',
    `INSERT INTO s.kept (k, v) VALUES (1, ${'9'.repeat(400)})`,
    `SELECT * FROM s.kept WHERE k = ${'('.repeat(5000)}1`,
  ];
  const before = (await client.execute('DESCRIBE SCHEMA', [], { prepare: false })).rows.length;
  for (const query of refused) {
    await assert.rejects(
      client.execute(query, [], { prepare: false }),
      (error) => {
        const { code } = error as { code: number };
        return code >= 0x2000;
      },
      query.slice(0, 80),
    );
  }
  assert.equal(
    (await client.execute('DESCRIBE SCHEMA', [], { prepare: false })).rows.length,
    before,
  );
});

test('large values and wide rows', async () => {
  await client.execute('CREATE TABLE s.large (k int, c int, v blob, PRIMARY KEY (k, c))');
  const big = Buffer.alloc(3_000_000, 7);
  await client.execute('INSERT INTO s.large (k, c, v) VALUES (1, 1, ?)', [big]);
  await client.execute('INSERT INTO s.large (k, c, v) VALUES (1, 2, ?)', [big]);
  const one = (await client.execute('SELECT v FROM s.large WHERE k = 1 AND c = 1')).first();
  assert.equal(Buffer.compare(one['v'], big), 0);
  const both = (await client.execute('SELECT v FROM s.large WHERE k = 1')).rows;
  assert.deepEqual(
    both.map((row) => row['v'].length),
    [big.length, big.length],
  );
});

test('a page of large rows ends early', async () => {
  await client.execute('CREATE TABLE s.pages (k int, c int, v blob, PRIMARY KEY (k, c))');
  const value = Buffer.alloc(1 << 20, 1);
  for (let c = 0; c < 20; c++)
    await client.execute('INSERT INTO s.pages (k, c, v) VALUES (1, ?, ?)', [c, value]);
  const first = await client.execute('SELECT * FROM s.pages WHERE k = 1', [], {
    fetchSize: 5000,
    prepare: true,
  });
  assert.ok(first.rows.length >= 8 && first.rows.length < 20, `${first.rows.length} rows`);
  let rows = 0;
  for (let page: cassandra.types.ResultSet | null = first; page !== null; ) {
    rows += page.rows.length;
    const pageState: string | undefined = page.pageState;
    page = pageState
      ? await client.execute('SELECT * FROM s.pages WHERE k = 1', [], {
          fetchSize: 5000,
          pageState,
          prepare: true,
        })
      : null;
  }
  assert.equal(rows, 20);
});
