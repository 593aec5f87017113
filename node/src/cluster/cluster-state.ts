/** What all nodes agree on by the metadata log, as immutable values: who is a member, who owns which tokens, the schema. */
import type { Peer } from '../internode/links.ts';
import type { SchemaJson } from '../schema/schema-json.ts';
import type { SchemaChange } from './schema-change.ts';

/**
 * joining: known, owns nothing yet. normal: owns its tokens. left: gone for good; its host id is never taken back.
 */
export type NodeState = 'joining' | 'normal' | 'left';

export interface NodeInfo extends Peer {
  readonly datacenter: string;
  readonly rack: string;
  /** For CQL clients. */
  readonly rpcAddress: string;
  readonly rpcPort: number;
  /** int64, ascending, all on the grid of 2^16 points. */
  readonly tokens: readonly bigint[];
  readonly state: NodeState;
  readonly releaseVersion: string;
}

export interface ClusterState {
  /** Index of the last entry of the metadata log in it. Grows with every change. */
  readonly epoch: number;
  readonly clusterName: string;
  /** UUID text, drawn when the cluster was started: names may be the same. Empty: not in a cluster. */
  readonly clusterId: string;
  readonly nodes: ReadonlyMap<string, NodeInfo>;
  /** Of user keyspaces. */
  readonly schema: SchemaJson;
}

/** One change, as the log holds it. */
export type ClusterCommand =
  | { readonly kind: 'add-node'; readonly node: NodeInfo }
  /** A member's new addresses, or its state. */
  | { readonly kind: 'update-node'; readonly node: NodeInfo }
  /** Refused (the state stays) if what it was planned on is not so any more: whoever proposed it plans again. */
  | { readonly kind: 'schema'; readonly change: SchemaChange };

/** Who is there now, by gossip: never in the log. */
export interface Liveness {
  isAlive(hostId: string): boolean;
}
