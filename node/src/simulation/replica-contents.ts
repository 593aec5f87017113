/** What the nodes of a world have of the clients' tables, and who has to have it. */
import { familyName, type Schema } from '../schema/schema.ts';
import { withoutHiddenDeletion } from '../storage/whole-row.ts';
import type { ReplicaContents } from './checkers.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { World } from './world.ts';

/** Those that are held to be the same on all replicas. */
export const REPLICATED_TABLES: readonly string[] = ['sim.r', 'sim.a', 'sim.l', 'sim.c', 'sim.b'];
/** Those of one replica. */
export const SINGLE_TABLES: readonly string[] = ['single.r', 'single.l'];

/** Entries are named by their table and key: `sim.r 0a1b`. */
export async function contentsOf(
  world: World<ClusterNode>,
  schema: Schema,
  tables: readonly string[],
): Promise<ReplicaContents[]> {
  return Promise.all(
    world.nodes.map(async ({ hostId, node }) => {
      const entries = new Map<string, string>();
      for (const name of tables) await readTable(node, schema, name, entries);
      return { name: hostId, entries };
    }),
  );
}

async function readTable(
  { kv }: ClusterNode,
  schema: Schema,
  name: string,
  entries: Map<string, string>,
): Promise<void> {
  const [keyspace, short] = name.split('.');
  const table = schema.keyspaces.get(keyspace)?.tables.get(short);
  const family = table === undefined ? undefined : kv.families().get(familyName(table));
  if (table === undefined || family === undefined) throw new TypeError(`no table ${name}`);
  const iterator = kv.iterator(family, null, null);
  const out = Buffer.alloc(1 << 20);
  for (;;) {
    const count = await iterator.nextAsync(out, 1 << 16);
    if (count <= 0) break;
    let at = 0;
    for (let i = 0; i < count; i++) {
      const keyEnd = at + 8 + out.readUInt32LE(at);
      const end = keyEnd + out.readUInt32LE(at + 4);
      const key = out.toString('hex', at + 8, keyEnd);
      const shown = withoutHiddenDeletion(out.subarray(keyEnd, end), table);
      entries.set(`${name} ${key}`, Buffer.from(shown).toString('hex'));
      at = end;
    }
  }
  iterator.close();
}

/** @param entry as in `contentsOf` */
export function placeOf(entry: string): { readonly keyspace: string; readonly key: Buffer } {
  const [name, key = ''] = entry.split(' ');
  return { keyspace: name.split('.')[0], key: Buffer.from(key, 'hex') };
}

/** Who has to hold an entry, by the ring as a node sees it. */
export function ownersBy(world: World<ClusterNode>): (entry: string) => readonly string[] {
  const { topology } = world.nodes[0].node.coordinator;
  return (entry) => {
    const { keyspace, key } = placeOf(entry);
    const { placement } = topology.replicatedOf({ keyspace });
    return placement.ofKey(key).map(({ hostId }) => hostId);
  };
}
