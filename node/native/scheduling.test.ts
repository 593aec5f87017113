/** Background threads give way to those that clients wait for. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStore, put, scratchDirectory } from './testing.ts';

const NICE_FIELD = 16; // of what follows the name in /proc/…/stat

/** Nice values of this process's threads of a name. */
function niceOf(name: string): number[] {
  return readdirSync('/proc/self/task').flatMap((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'latin1');
    if (stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')) !== name) return [];
    return [Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[NICE_FIELD])];
  });
}

test('flushes and compactions run at a lower priority than the writer and the readers', async () => {
  const store = await openStore(join(scratchDirectory(), 'db'));
  const rows = store.families().get('rows') ?? 0;
  for (let file = 0; file < 2; file++) {
    await put(store, rows, 'k', `v${file}`);
    await store.flush();
  }
  await store.compact(rows);
  const [own] = niceOf('ilion-write');
  assert.deepEqual([...new Set(niceOf('rocksdb:high'))], [own + 5]);
  assert.deepEqual([...new Set(niceOf('rocksdb:low'))], [own + 10]);
  await store.close();
});
