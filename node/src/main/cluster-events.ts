/** What clients are told when the cluster changes. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import type { StatusChangeEvent, TopologyChangeEvent } from '../transport/index.ts';
import { addressBytes, type ClusterView } from './cluster-view.ts';

type NodeEvent = StatusChangeEvent | TopologyChangeEvent;

function members({ state }: ClusterView): ReadonlyMap<string, NodeInfo> {
  return new Map([...state.nodes].filter(([, node]) => isMember(node)));
}

/** Owns something: also while it gives that up. */
function isMember({ state }: NodeInfo): boolean {
  return state === 'normal' || state === 'leaving';
}

function place(node: NodeInfo): { readonly address: Uint8Array; readonly port: number } {
  return { address: addressBytes(node.rpcAddress), port: node.rpcPort };
}

/** Of other nodes: a client that hears this is connected to this one. New nodes come before they are up. */
export function clusterEvents(before: ClusterView, after: ClusterView): readonly NodeEvent[] {
  const events: NodeEvent[] = [];
  const old = members(before);
  const now = members(after);
  for (const [id, node] of now) {
    if (!old.has(id)) events.push({ type: 'TOPOLOGY_CHANGE', change: 'NEW_NODE', ...place(node) });
  }
  for (const [id, node] of now) {
    if (id === after.node.hostId) continue;
    const wasUp = old.has(id) && before.alive.has(id);
    const isUp = after.alive.has(id);
    if (wasUp === isUp) continue;
    events.push({ type: 'STATUS_CHANGE', change: isUp ? 'UP' : 'DOWN', ...place(node) });
  }
  for (const [id, node] of old) {
    if (!now.has(id))
      events.push({ type: 'TOPOLOGY_CHANGE', change: 'REMOVED_NODE', ...place(node) });
  }
  return events;
}
