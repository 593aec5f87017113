import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Coordinator } from '../coordinator/coordinator.ts';
import { EMPTY_SCHEMA } from '../schema/schema.ts';
import type { LocalStore } from '../storage/local-store.ts';
import { DataPaths } from './data-paths.ts';

const LEVELS = { consistency: 1, serialConsistency: 8 };

test('modifications that began while the node was alone are waited for, and no others', async () => {
  const topology = { isAlone: true };
  const coordinator = { topology, setSchema: () => {}, path: () => 'by the ring' };
  const paths = new DataPaths(EMPTY_SCHEMA, {
    store: {} as LocalStore,
    datacenter: 'dc1',
    coordinator: coordinator as unknown as Coordinator,
  });
  await paths.leftAlone();
  const ends: (() => void)[] = [];
  const seen: unknown[] = [];
  const modify = () =>
    paths.modify(LEVELS, (path) => {
      seen.push(path);
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  const running = [modify(), modify()];
  topology.isAlone = false;
  running.push(modify());
  assert.deepEqual(seen, [null, null, 'by the ring']);
  let hasLeft = false;
  const left = paths.leftAlone().then(() => {
    hasLeft = true;
  });
  ends[0]();
  await running[0];
  assert.equal(hasLeft, false);
  ends[1]();
  await left;
  await assert.rejects(
    paths.modify(LEVELS, () => Promise.reject(new TypeError('no'))),
    TypeError,
  );
  await paths.leftAlone();
  ends[2]();
});
