/**
 * Ranges of tables whose records a node has not got yet: what is written into them is kept in families of their own, since
 * the files that are on their way go only where nothing is.
 * @hot
 */
import { overloaded } from '../common/errors.ts';
import { familyName, type TableDef } from '../schema/schema.ts';
import { asideName } from './families.ts';
import type { FamilyId, KvStore } from './kv.ts';
import type { TableHandle } from './record-source.ts';

export interface TableAside {
  readonly table: TableDef;
  /** Buckets of the token grid, the first two bytes of keys, both inclusive. */
  readonly ranges: readonly { readonly first: number; readonly last: number }[];
}

const BUCKETS = 0x10000;

interface Entry {
  /** One byte for each bucket. */
  readonly isAside: Uint8Array;
  /** By shard. */
  readonly families: readonly (FamilyId | undefined)[];
}

/** Where records of one moment go. */
export class Aside {
  private readonly byFamily = new Map<string, Entry>();
  private readonly byHandle = new Map<TableHandle, Entry | null>();

  constructor(tables: readonly TableAside[], stores: readonly KvStore[]) {
    for (const { table, ranges } of tables) {
      const isAside = new Uint8Array(BUCKETS);
      for (const { first, last } of ranges) isAside.fill(1, first, last + 1);
      const name = familyName(table);
      const families = stores.map((store) => store.families().get(asideName(name)));
      this.byFamily.set(name, { isAside, families });
    }
  }

  /** @throws CqlError Overloaded: it would have to be kept aside and cannot; another replica, or a hint, takes it */
  familyOf(handle: TableHandle, shard: number, key: Uint8Array): FamilyId {
    let entry = this.byHandle.get(handle);
    if (entry === undefined) {
      entry = this.byFamily.get(familyName(handle.table)) ?? null;
      this.byHandle.set(handle, entry);
    }
    if (entry === null || entry.isAside[(key[0] << 8) | key[1]] === 0)
      return handle.families[shard];
    const family = entry.families[shard];
    if (family === undefined) throw overloaded('This node is not ready for the range that moves');
    return family;
  }
}
