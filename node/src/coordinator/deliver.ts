/** Brings mutations to each of their replicas, or to a hint for it: for what must arrive in the end. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { request, Verb } from '../internode/links.ts';
import { applyMutations } from '../query/apply-mutations.ts';
import type { Mutation } from '../query/modify.ts';
import { type CoordinatorContext, staleEpochOf } from './context.ts';
import { encodeMutations, readMutations } from './messages.ts';
import type { Replicated } from './replicated.ts';
import type { Topology } from './topology.ts';

/** Everyone who is written to. */
const toAll = ({ writes }: Replicated, key: Uint8Array) => writes.ofKey(key);

/**
 * @param message a Mutation; what is of tables that are gone is left out
 * @param replicasOf those of a key that are meant
 * @returns whether every replica has its part, or a durable hint waits for it
 */
export async function deliver(
  context: CoordinatorContext,
  topology: Topology,
  message: Buffer,
  replicasOf: (replicated: Replicated, key: Uint8Array) => readonly NodeInfo[] = toAll,
): Promise<boolean> {
  const byNode = new Map<NodeInfo, Mutation[]>();
  const { epoch } = topology;
  readMutations(message, (ref, key, record) => {
    const handle = context.tables.find(ref);
    if (handle === null) return;
    for (const node of replicasOf(topology.replicatedOf(handle.table), key)) {
      const own = byNode.get(node) ?? [];
      own.push({ handle, key, record });
      byNode.set(node, own);
    }
  });
  const delivered = await Promise.all(
    [...byNode].map(([node, mutations]) => deliverTo(context, epoch, node, mutations)),
  );
  return !delivered.includes(false);
}

async function deliverTo(
  context: CoordinatorContext,
  epoch: number,
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
  const body = encodeMutations(mutations, epoch);
  if (context.isAlive(node)) {
    const failure = await request(
      deps.links,
      node,
      Verb.Mutation,
      body,
      options.writeTimeoutMillis,
    ).then(
      () => null,
      (error: unknown) => error,
    );
    if (failure === null) return true;
    // Others own it now: whoever wants it delivered tries again.
    if (staleEpochOf(failure, epoch) > 0) return false;
  }
  return new Promise((resolve) => hints.store(node.hostId, body, resolve));
}
