/** Parses per second of usual statements: `node parser.bench.ts`. */

import { parseStatement } from './parser.ts';

const statements: Readonly<Record<string, string>> = {
  'select by key': 'SELECT v FROM blast.kv WHERE k = ?',
  'insert two columns': 'INSERT INTO blast.kv (k, v) VALUES (?, ?)',
  'insert with literals':
    "INSERT INTO ks.users (id, name, email, age, tags) VALUES (550e8400-e29b-41d4-a716-446655440000, 'Ann Example', 'ann@example.org', 42, {'a', 'b', 'c'}) USING TTL 3600",
  'update with condition':
    "UPDATE ks.users SET name = 'x', visits = visits + 1, tags['a'] = ? WHERE id = ? AND day >= 3 IF name = 'y'",
  'select of many clauses':
    'SELECT a, b AS c, writetime(d), count(*) FROM t WHERE k IN (1, 2, 3) AND (c, d) > (?, ?) AND e CONTAINS 1 GROUP BY a, b ORDER BY c DESC LIMIT 100 ALLOW FILTERING',
  'create table':
    "CREATE TABLE IF NOT EXISTS ks.t (a int, b text, c frozen<list<int>>, d map<text, frozen<udt>>, PRIMARY KEY ((a, b), c)) WITH CLUSTERING ORDER BY (c DESC) AND compaction = {'class': 'LeveledCompactionStrategy'} AND gc_grace_seconds = 10",
};

function parsesPerSecond(text: string, millis: number): number {
  let count = 0;
  const started = performance.now();
  let elapsed = 0;
  while (elapsed < millis) {
    for (let i = 0; i < 100; i++) parseStatement(text);
    count += 100;
    elapsed = performance.now() - started;
  }
  return Math.round((count * 1000) / elapsed);
}

for (const [name, text] of Object.entries(statements)) {
  parsesPerSecond(text, 300);
  console.log(`${name.padEnd(24)} ${parsesPerSecond(text, 1000)} parses/s`);
}
