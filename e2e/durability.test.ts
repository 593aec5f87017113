/** What was acknowledged is there after kill -9, and nothing is half there: rounds of death under load in mode `group`. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import cassandra from 'cassandra-driver';
import { type NodeProcess, startNode } from './support/node-process.ts';

/** `ROUNDS=200` for longer runs. */
const ROUNDS = Number(process.env['ROUNDS'] ?? 50);
const WRITERS = 24;

function connect(node: NodeProcess): cassandra.Client {
  return new cassandra.Client({
    contactPoints: [`127.0.0.1:${node.cqlPort}`],
    localDataCenter: 'datacenter1',
    queryOptions: { prepare: true, consistency: cassandra.types.consistencies.one },
    policies: { retry: new cassandra.policies.retry.FallthroughRetryPolicy() },
    socketOptions: { connectTimeout: 2000, readTimeout: 5000 },
  });
}

/** What one writer knows of its keys. */
interface History {
  /** Highest value acknowledged, and highest sent, by key. */
  readonly acknowledged: Map<number, number>;
  readonly sent: Map<number, number>;
  /** Batches acknowledged; each wrote its number to two partitions and a counter row. */
  batchAcknowledged: number;
  batchSent: number;
}

test(`${ROUNDS} rounds of kill -9 under load lose nothing`, { timeout: 20 * 60_000 }, async () => {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'ilion-durability-'));
  const histories: History[] = Array.from({ length: WRITERS }, () => ({
    acknowledged: new Map(),
    sent: new Map(),
    batchAcknowledged: 0,
    batchSent: 0,
  }));
  let acknowledgedInAll = 0;
  try {
    for (let round = 0; round <= ROUNDS; round++) {
      const node = await startNode({ dataDirectory });
      const client = connect(node);
      await client.connect();
      if (round === 0) {
        await client.execute(
          "CREATE KEYSPACE d WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        );
        await client.execute(
          'CREATE TABLE d.t (w int, k int, v int, filler text, PRIMARY KEY ((w, k)))',
        );
        await client.execute('CREATE TABLE d.b (w int, half int, n int, PRIMARY KEY ((w, half)))');
      } else {
        await verify(client, histories);
      }
      if (round === ROUNDS) {
        await client.shutdown();
        await node.stop();
        break;
      }
      let killed = false;
      const load = histories.map((history, w) => write(client, history, w, () => killed));
      await new Promise((resolve) => setTimeout(resolve, 60 + Math.random() * 200));
      killed = true;
      node.kill9();
      acknowledgedInAll += (await Promise.all(load)).reduce((sum, count) => sum + count, 0);
      await node.waitExit();
      await client.shutdown();
    }
    assert.ok(
      acknowledgedInAll > ROUNDS * 10,
      `only ${acknowledgedInAll} writes were acknowledged`,
    );
    console.log(`  ${acknowledgedInAll} acknowledged writes over ${ROUNDS} kills, all there`);
  } finally {
    rmSync(dataDirectory, { recursive: true, force: true });
  }
});

/** Writes until the node dies. @returns writes acknowledged */
async function write(
  client: cassandra.Client,
  history: History,
  w: number,
  dead: () => boolean,
): Promise<number> {
  let count = 0;
  const filler = 'x'.repeat(200);
  for (let i = 0; !dead(); i++) {
    try {
      if (i % 3 === 0) {
        const n = ++history.batchSent;
        const query = 'INSERT INTO d.b (w, half, n) VALUES (?, ?, ?)';
        await client.batch(
          [0, 1, 2, 3].map((half) => ({ query, params: [w, half, n] })),
          { prepare: true, logged: true },
        );
        history.batchAcknowledged = n;
      } else {
        const k = Math.floor(Math.random() * 20);
        const v = (history.sent.get(k) ?? 0) + 1;
        history.sent.set(k, v);
        await client.execute('INSERT INTO d.t (w, k, v, filler) VALUES (?, ?, ?, ?)', [
          w,
          k,
          v,
          filler,
        ]);
        history.acknowledged.set(k, v);
      }
      count++;
    } catch {
      // The node is gone, or this write's fate is unknown: it may or may not be there.
      if (dead()) break;
    }
  }
  return count;
}

async function verify(client: cassandra.Client, histories: readonly History[]): Promise<void> {
  for (const [w, history] of histories.entries()) {
    for (const [k, sent] of history.sent) {
      const row = (
        await client.execute('SELECT v, filler FROM d.t WHERE w = ? AND k = ?', [w, k])
      ).first();
      const acknowledged = history.acknowledged.get(k) ?? 0;
      const found: number = row === null ? 0 : row['v'];
      assert.ok(
        found >= acknowledged,
        `writer ${w} key ${k}: ${acknowledged} was acknowledged, ${found} found`,
      );
      assert.ok(found <= sent, `writer ${w} key ${k}: ${found} found, only ${sent} sent`);
      if (row !== null) assert.equal(row['filler'].length, 200, 'a row is half there');
      // What was found is what counts from now on.
      history.acknowledged.set(k, found);
    }
    const halves: number[] = [];
    for (let half = 0; half < 4; half++) {
      const row = (
        await client.execute('SELECT n FROM d.b WHERE w = ? AND half = ?', [w, half])
      ).first();
      halves.push(row === null ? 0 : row['n']);
    }
    assert.equal(
      new Set(halves).size,
      1,
      `writer ${w}: a logged batch is half there: ${halves.join(', ')}`,
    );
    assert.ok(
      halves[0] >= history.batchAcknowledged,
      `writer ${w}: batch ${history.batchAcknowledged} was acknowledged, ${halves[0]} found`,
    );
  }
}
