/** Finds the tables that messages name, and waits a little for those that this node has not heard of yet. */
import type { Schema, TableDef } from '../schema/schema.ts';
import type { TableHandle } from '../storage/record-source.ts';
import { tableName, tableRef } from './messages.ts';
import type { LocalRecords, Timers } from './ports.ts';

export class Tables {
  private readonly store: LocalRecords;
  private readonly timers: Timers;
  private byRef = new Map<string, TableDef>();
  private waiting = new Set<() => void>();

  constructor(store: LocalRecords, timers: Timers) {
    this.store = store;
    this.timers = timers;
  }

  /** From now on these tables are there. */
  set(schema: Schema): void {
    this.byRef = new Map();
    for (const keyspace of schema.keyspaces.values()) {
      for (const table of keyspace.tables.values()) {
        this.byRef.set(tableName(tableRef(table)), table);
      }
    }
    const waiting = this.waiting;
    this.waiting = new Set();
    for (const look of waiting) look();
  }

  /** @param ref 20 bytes */
  find(ref: Buffer): TableHandle | null {
    const table = this.byRef.get(tableName(ref));
    return table === undefined ? null : this.store.handle(table);
  }

  /** Resolves when all of the tables are there, or with false after `millis`. */
  wait(refs: readonly Buffer[], millis: number): Promise<boolean> {
    const there = () => refs.every((ref) => this.byRef.has(tableName(ref)));
    return new Promise((resolve) => {
      const look = () => {
        if (!there()) {
          this.waiting.add(look);
          return;
        }
        cancel();
        resolve(true);
      };
      const cancel = this.timers.after(millis, () => {
        this.waiting.delete(look);
        resolve(there());
      });
      look();
    });
  }
}
