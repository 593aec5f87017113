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

/** Clients know nodes by their addresses: one with another address is another node to them. */
function isKnown(node: NodeInfo, nodes: ReadonlyMap<string, NodeInfo>): boolean {
  const { rpcAddress, rpcPort } = nodes.get(node.hostId) ?? {};
  return rpcAddress === node.rpcAddress && rpcPort === node.rpcPort;
}

/** Of other nodes: a client that hears this is connected to this one. New nodes come before they are up. */
export function clusterEvents(before: ClusterView, after: ClusterView): readonly NodeEvent[] {
  const events: NodeEvent[] = [];
  const old = members(before);
  const now = members(after);
  for (const node of now.values()) {
    if (!isKnown(node, old)) {
      events.push({ type: 'TOPOLOGY_CHANGE', change: 'NEW_NODE', ...place(node) });
    }
  }
  for (const [id, node] of now) {
    if (id === after.node.hostId) continue;
    const wasUp = isKnown(node, old) && before.alive.has(id);
    const isUp = after.alive.has(id);
    if (wasUp === isUp) continue;
    events.push({ type: 'STATUS_CHANGE', change: isUp ? 'UP' : 'DOWN', ...place(node) });
  }
  for (const node of old.values()) {
    if (!isKnown(node, now)) {
      events.push({ type: 'TOPOLOGY_CHANGE', change: 'REMOVED_NODE', ...place(node) });
    }
  }
  return events;
}
