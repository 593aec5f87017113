/** Finds the tables that messages name. */
import type { Schema, TableDef } from '../schema/schema.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { tableName, tableRef } from './messages.ts';
import type { LocalRecords } from './ports.ts';

export class Tables {
  private readonly store: LocalRecords;
  private byRef = new Map<string, TableDef>();

  constructor(store: LocalRecords) {
    this.store = store;
  }

  /** From now on these tables are there. */
  set(schema: Schema): void {
    this.byRef = new Map();
    for (const keyspace of schema.keyspaces.values()) {
      for (const table of keyspace.tables.values()) {
        this.byRef.set(tableName(tableRef(table)), table);
      }
    }
  }

  /** @param ref 20 bytes */
  find(ref: Buffer): TableHandle | null {
    const table = this.byRef.get(tableName(ref));
    return table === undefined ? null : this.store.handle(table);
  }

  areThere(refs: readonly Buffer[]): boolean {
    return refs.every((ref) => this.byRef.has(tableName(ref)));
  }
}
