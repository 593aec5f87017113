/** What a node that was joining fails with when the cluster does not take it in. */
import type { ClusterState } from '../cluster/cluster-state.ts';

/** The message says why, and what to do. */
export class JoinUndoneError extends Error {
  readonly code = 'JOIN_UNDONE';
  /** @param state in which the node has left */
  constructor({ ended }: Pick<ClusterState, 'ended'>, hostId: string) {
    const last = ended.findLast((operation) => operation.hostId === hostId);
    const reason = last?.reason || 'the cluster did not take this node in';
    super(`the join was undone: ${reason}. Start the node again with a new data directory`);
    this.name = 'JoinUndoneError';
  }
}
