/** Cuts the files of tables finer as they grow, so that a token range is made of whole files however large a table is. */
import { familyName, type TableDef } from '../schema/schema.ts';
import { gridBitsOf } from '../storage/families.ts';
import type { KvStore } from '../storage/kv.ts';

const LOOK_MILLIS = 30_000;

export interface GridKeeperDeps {
  readonly stores: readonly Pick<KvStore, 'families' | 'property' | 'setGridBits'>[];
  tables(): readonly TableDef[];
  /** Of the token space, what this node has of a table: in (0, 1]. */
  ownedShare(table: TableDef): number;
}

/** Looks at every table once. Files that are there are cut when they are compacted. */
export function adjustGrids({ stores, tables, ownedShare }: GridKeeperDeps): void {
  for (const table of tables()) {
    const name = familyName(table);
    let bytes = 0;
    for (const store of stores) {
      const family = store.families().get(name);
      const size = family && store.property(family, 'rocksdb.total-sst-files-size');
      bytes += Number(size ?? 0);
    }
    const bits = gridBitsOf(bytes / ownedShare(table));
    for (const store of stores) {
      const family = store.families().get(name);
      if (family !== undefined) store.setGridBits(family, bits);
    }
  }
}

/** @returns stops it */
export function keepGrids(deps: GridKeeperDeps): () => void {
  adjustGrids(deps);
  const timer = setInterval(() => adjustGrids(deps), LOOK_MILLIS);
  timer.unref();
  return () => clearInterval(timer);
}
