import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Keeper, KeptAside } from './kept-aside.ts';
import type { StreamStores } from './ports.ts';

/** One shard, of which only the families' names are real. */
function world(...there: string[]) {
  const families = new Set(there);
  let failures = 0;
  const store = {
    families: () => new Map([...families].map((name, i) => [name, i])),
    dropFamily: (name: string) => {
      if (failures-- > 0) return Promise.reject(new Error('the disk is full'));
      families.delete(name);
      return Promise.resolve();
    },
  };
  const kept = new KeptAside({
    stores: { count: 1, store: () => store } as unknown as StreamStores,
    clock: {
      nowMillis: () => 0,
      after: (_millis, run) => {
        queueMicrotask(run);
        return () => {};
      },
    },
    logger: { warn: () => {} },
  });
  const keeper = (...names: string[]): Keeper => ({
    asideFamilies: () => names,
    prepare: async () => {
      for (const name of names) families.add(name);
    },
  });
  const fail = (times: number) => {
    failures = times;
  };
  return { kept, keeper, fail, names: () => [...families].sort() };
}

test('a family stays as long as anybody needs it', async () => {
  const { kept, keeper, names } = world('t', 'u');
  const one = keeper('aside:t', 'aside:u');
  const other = keeper('aside:t');
  await kept.prepare(one);
  await kept.prepare(other);
  await kept.release(one);
  assert.deepEqual(names(), ['aside:t', 't', 'u']);
  await kept.release(other);
  assert.deepEqual(names(), ['t', 'u']);
});

test('what an earlier process left goes, though another operation goes on', async () => {
  const { kept, keeper, names } = world('t', 'aside:old', 'aside:t');
  await kept.prepare(keeper('aside:t'));
  await kept.drop();
  assert.deepEqual(names(), ['aside:t', 't']);
});

test('a disk that refuses is asked again', async () => {
  const { kept, fail, names } = world('t', 'aside:t');
  fail(2);
  await kept.drop();
  assert.deepEqual(names(), ['t']);
});

test('for who could not be prepared nothing is kept', async () => {
  const { kept, names } = world('t');
  const broken: Keeper = {
    asideFamilies: () => ['aside:t'],
    prepare: () => Promise.reject(new Error('the disk is full')),
  };
  await assert.rejects(kept.prepare(broken), /full/);
  await kept.drop();
  assert.deepEqual(names(), ['t']);
});
