/** Who should vote on the metadata log, as its leader sees it from one look to the next. */
import type { ClusterState } from './cluster-state.ts';
import type { RaftNode } from './raft.ts';
import { nodesThatVote, planVoters } from './voters.ts';

/** Entries that a new voter may lack: who follows is always a little behind while there are changes. */
const BEHIND_MAX = 16;

export interface VoterKeeperDeps {
  /** This node. */
  readonly hostId: string;
  /** Who is dead for so long is replaced. */
  readonly graceMillis: number;
  nowMillis(): number;
  state(): ClusterState;
  /** Of any member, this node among them. */
  isAlive(hostId: string): boolean;
}

export class VoterKeeper {
  private readonly deps: VoterKeeperDeps;
  private readonly deadSince = new Map<string, number>();

  constructor(deps: VoterKeeperDeps) {
    this.deps = deps;
  }

  /** @returns the voters as they should be next; null: they are right, or it cannot be now, or this node does not lead */
  next(raft: Pick<RaftNode, 'state' | 'matchOf'>): readonly string[] | null {
    const { role, voters, commit } = raft.state;
    if (role !== 'leader') {
      this.deadSince.clear();
      return null;
    }
    const { deps, deadSince } = this;
    const state = deps.state();
    const now = deps.nowMillis();
    for (const id of voters) {
      if (deps.isAlive(id)) deadSince.delete(id);
      else if (!deadSince.has(id)) deadSince.set(id, now);
    }
    // It is not expected back.
    const isReplaced = (id: string) => state.operations.some(({ replaces }) => replaces === id);
    const isLate = (id: string) => now - (deadSince.get(id) ?? now) >= deps.graceMillis;
    return planVoters({
      nodes: nodesThatVote(state),
      voters,
      self: deps.hostId,
      isAlive: (id) => deps.isAlive(id),
      isGone: (id) => isLate(id) || (isReplaced(id) && !deps.isAlive(id)),
      isCaughtUp: (id) => (raft.matchOf(id) ?? 0) >= commit - BEHIND_MAX,
    });
  }
}
