import assert from 'node:assert/strict';
import { test } from 'node:test';
import { familyName, type TableDef } from '../schema/schema.ts';
import { adjustGrids } from './grid-keeper.ts';

const MIB = 1 << 20;

function table(name: string): TableDef {
  return { keyspace: 'ks', name, id: name, generation: 0 } as unknown as TableDef;
}

test('the files of a table are cut by what all of its nodes have', () => {
  const small = table('small');
  const large = table('large');
  const huge = table('huge');
  const bytes = new Map([
    [1, 10 * MIB],
    [2, 1024 * MIB],
    [3, 2 ** 40],
  ]);
  const set = new Map<number, number>();
  const store = {
    families: () =>
      new Map([
        [familyName(small), 1],
        [familyName(large), 2],
        [familyName(huge), 3],
      ]),
    property: (family: number) => String(bytes.get(family)),
    setGridBits: (family: number, bits: number) => set.set(family, bits),
  };
  const tables = () => [small, large, huge];
  // Two shards: 2 GiB of the large table, cells of 8 MiB.
  adjustGrids({ stores: [store, store], tables, ownedShare: () => 1 });
  assert.deepEqual([...set.values()], [6, 8, 12]);
  adjustGrids({ stores: [store, store], tables, ownedShare: () => 0.25 });
  assert.deepEqual([...set.values()], [6, 10, 12]);
});
