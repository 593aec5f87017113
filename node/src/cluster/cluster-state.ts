/** What all nodes agree on by the metadata log, as immutable values: who is a member, who owns which tokens, the schema. */
import type { Peer } from '../internode/links.ts';
import type { SchemaJson } from '../schema/schema-json.ts';
import type { SchemaChange } from './schema-change.ts';

/**
 * joining: known, owns nothing yet. normal: owns its tokens. leaving: owns them still, and gives them up. left: gone for
 * good; its host id is never taken back.
 */
export type NodeState = 'joining' | 'normal' | 'leaving' | 'left';

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
  /** While it is joining in the place of a dead node: the host id of that one. */
  readonly replaces?: string;
}

/**
 * join: a new node takes tokens. leave: a node gives all of its up, by itself or (it is dead) not. replace: a new node
 * takes those of a dead one. move: a node takes other tokens.
 */
export type OperationKind = 'join' | 'leave' | 'replace' | 'move';

/**
 * streaming: old and new owners are written to, the old ones are read, the new ones get the data.
 * switched: both are written to, the new ones are read.
 */
export type OperationPhase = 'streaming' | 'switched';

/** What is asked for by whoever begins an operation. */
export interface OperationPlan {
  /** UUID text, drawn by who proposes it. */
  readonly id: string;
  readonly kind: OperationKind;
  /** The node that joins, leaves, replaces or moves. */
  readonly hostId: string;
  /** The dead node whose place is taken; null: not a replace. */
  readonly replaces: string | null;
  /** What `hostId` owns afterwards. */
  readonly tokens: readonly bigint[];
  /** Of a leave: the node is dead and gives nothing. Not given: it is waited for where nobody else has its data. */
  readonly dead?: true;
}

/** A change of who owns what, from its first entry in the log to its last. */
export interface TopologyOperation extends OperationPlan {
  readonly phase: OperationPhase;
  /** Index of the entry that began it, and of the one that began its phase. */
  readonly startEpoch: number;
  readonly phaseEpoch: number;
  /** Host ids of nodes that have all of what they get. */
  readonly done: readonly string[];
}

/** One that is over, for people. */
export interface EndedOperation extends Omit<OperationPlan, 'tokens' | 'dead'> {
  readonly outcome: 'finished' | 'cancelled';
  /** Why it was cancelled; otherwise empty. */
  readonly reason: string;
  /** Index of the entry that ended it. */
  readonly epoch: number;
}

export interface ClusterState {
  /** Index of the last entry of the metadata log in it. Grows with every change. */
  readonly epoch: number;
  readonly clusterName: string;
  /** UUID text, drawn when the cluster was started: names may be the same. Empty: not in a cluster. */
  readonly clusterId: string;
  readonly nodes: ReadonlyMap<string, NodeInfo>;
  /** Index of the last entry that changed who owns, or is to own, what. */
  readonly topologyEpoch: number;
  /** In progress, in the order in which they began. No two are about the same range. */
  readonly operations: readonly TopologyOperation[];
  /** The last few, oldest first. */
  readonly ended: readonly EndedOperation[];
  /** Of user keyspaces. */
  readonly schema: SchemaJson;
}

/** One change, as the log holds it. */
export type ClusterCommand =
  | { readonly kind: 'add-node'; readonly node: NodeInfo }
  /** A member's new addresses, or that one which is joining and in no operation has left. */
  | { readonly kind: 'update-node'; readonly node: NodeInfo }
  /** Refused (the state stays) if what it was planned on is not so any more: whoever proposed it plans again. */
  | { readonly kind: 'schema'; readonly change: SchemaChange }
  | OperationCommand;

/** One step of a topology change. What is not so any more when its entry comes is refused. */
export type OperationCommand =
  /** @property base `topologyEpoch` of the state that it was planned on */
  | {
      readonly kind: 'begin-operation';
      readonly plan: OperationPlan;
      readonly base: number;
    }
  /** A node has all of what it gets by the operation, durably. */
  | { readonly kind: 'operation-done'; readonly id: string; readonly hostId: string }
  /** From now on those are read who own the ranges afterwards. */
  | { readonly kind: 'switch-operation'; readonly id: string }
  | { readonly kind: 'finish-operation'; readonly id: string }
  /** Only before it is switched. @property reason for people */
  | { readonly kind: 'cancel-operation'; readonly id: string; readonly reason: string };

/** Who is there now, by gossip: never in the log. */
export interface Liveness {
  isAlive(hostId: string): boolean;
}
