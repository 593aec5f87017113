/** Brings mutations to each of their replicas, or to a hint for it: for what must arrive in the end. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Writer } from '../common/bytes.ts';
import { request, Verb } from '../internode/links.ts';
import { applyMutations } from '../query/apply-mutations.ts';
import type { Mutation } from '../query/modify.ts';
import type { CoordinatorContext } from './context.ts';
import { addMutation, beginMutations, readMutations } from './messages.ts';
import type { Topology } from './topology.ts';

/**
 * @param message a Mutation; what is of tables that are gone is left out
 * @returns whether every replica has its part, or a durable hint waits for it
 */
export async function deliver(
  context: CoordinatorContext,
  topology: Topology,
  message: Buffer,
): Promise<boolean> {
  const byNode = new Map<NodeInfo, Mutation[]>();
  readMutations(message, (ref, key, record) => {
    const handle = context.tables.find(ref);
    if (handle === null) return;
    for (const node of topology.replicatedOf(handle.table).writes.ofKey(key)) {
      const own = byNode.get(node) ?? [];
      own.push({ handle, key, record });
      byNode.set(node, own);
    }
  });
  const delivered = await Promise.all(
    [...byNode].map(([node, mutations]) => deliverTo(context, node, mutations)),
  );
  return !delivered.includes(false);
}

async function deliverTo(
  context: CoordinatorContext,
  node: NodeInfo,
  mutations: readonly Mutation[],
): Promise<boolean> {
  const { deps, options, hints } = context;
  if (context.isSelf(node)) {
    return applyMutations(deps.store, mutations).then(
      () => true,
      () => false,
    );
  }
  const out = new Writer(1024);
  beginMutations(out);
  for (const { handle, key, record } of mutations) {
    addMutation(out, handle.table, key, key.length, record, record.length);
  }
  const body = out.copy();
  if (context.isAlive(node)) {
    const isThere = await request(
      deps.links,
      node,
      Verb.Mutation,
      body,
      options.writeTimeoutMillis,
    ).then(
      () => true,
      () => false,
    );
    if (isThere) return true;
  }
  return new Promise((resolve) => hints.store(node.hostId, body, resolve));
}
