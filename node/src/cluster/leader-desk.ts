/** Asking the leader of the metadata log, and answering as the leader: proposals and barriers. */
import { type Links, type Peer, type Responder, request, Verb } from '../internode/links.ts';
import { decodeCommand, encodeCommand, type ProposedCommand } from './command-codec.ts';
import { MetadataError } from './metadata-errors.ts';
import {
  decodeLeaderAnswer,
  decodeLeaderRequest,
  encodeLeaderAnswer,
  encodeLeaderRequest,
  type LeaderAnswer,
  type LeaderRequest,
} from './metadata-messages.ts';
import type { MetadataReplica } from './metadata-replica.ts';
import type { ClusterClock } from './ports.ts';
import type { RaftNode } from './raft.ts';
import { ENTRY_BYTES_MAX } from './raft-types.ts';

export interface LeaderDeskDeps {
  readonly hostId: string;
  readonly links: Links;
  readonly clock: ClusterClock;
  /** In [0, 1). */
  random(): number;
  readonly replica: MetadataReplica;
  peerOf(hostId: string): Peer | null;
}

const ASK_MILLIS_MAX = 2_000;
const READS_MAX = 1_024;

export class LeaderDesk {
  private readonly deps: LeaderDeskDeps;
  private readonly reads = new Map<number, (index: number | null) => void>();
  private counter = 0;

  constructor(deps: LeaderDeskDeps) {
    this.deps = deps;
  }

  /** @param deadline monotonic milliseconds @returns null: no leader was reached */
  async ask(ask: LeaderRequest, deadline: number): Promise<LeaderAnswer | null> {
    const { hostId, replica, random } = this.deps;
    if (replica.raft === null) return null;
    const { leader, voters } = replica.raft.state;
    if (leader === hostId) return this.serve(ask);
    const others = voters.filter((id) => id !== hostId);
    const first = leader ?? others[Math.floor(random() * others.length)];
    if (first === undefined) return null;
    const answer = await this.askNode(first, ask, deadline);
    if (answer?.kind !== 'not-leader') return answer;
    const { leader: hint } = answer;
    if (hint === null || hint === first || hint === hostId) return null;
    const second = await this.askNode(hint, ask, deadline);
    return second?.kind === 'not-leader' ? null : second;
  }

  private async askNode(
    hostId: string,
    ask: LeaderRequest,
    deadline: number,
  ): Promise<LeaderAnswer | null> {
    const { links, clock, replica } = this.deps;
    const peer = this.deps.peerOf(hostId) ?? replica.current.nodes.get(hostId);
    const millis = Math.min(ASK_MILLIS_MAX, deadline - clock.nowMillis());
    if (peer === undefined || peer === null || millis <= 0) return null;
    try {
      const body = encodeLeaderRequest(ask);
      return decodeLeaderAnswer(await request(links, peer, Verb.Propose, body, millis));
    } catch {
      // Any LinkError: another node is asked, or this one again.
      return null;
    }
  }

  /** Answers another node. @param from its host id @param body of Verb.Propose, lent */
  receive(from: string, body: Uint8Array, responder: Responder): void {
    // It may have been removed while it was down, and does not know.
    this.deps.replica.tellDeparted(from);
    const ask = decodeLeaderRequest(body);
    if (ask === null || ask.clusterId !== this.deps.replica.current.clusterId) {
      responder.fail('FAILED', 'malformed, of another version, or of another cluster');
      return;
    }
    if (ask.kind === 'propose' && decodeCommand(ask.entry) === null) {
      responder.fail('FAILED', 'the change is malformed, or of a later version');
      return;
    }
    void this.serve(ask).then((answer) => responder.answer(encodeLeaderAnswer(answer)));
  }

  private async serve(ask: LeaderRequest): Promise<LeaderAnswer> {
    const { replica } = this.deps;
    const { raft } = replica;
    if (raft === null || raft.state.role !== 'leader') {
      return { kind: 'not-leader', leader: raft?.state.leader ?? null };
    }
    if (ask.kind === 'barrier') {
      const index = await this.readIndex(raft);
      return index === null ? { kind: 'not-leader', leader: null } : { kind: 'accepted', index };
    }
    const proposed = raft.propose(ask.entry);
    void replica.pump();
    if ('index' in proposed) return { kind: 'accepted', index: proposed.index };
    const { refused } = proposed;
    return refused === 'NOT_LEADER'
      ? { kind: 'not-leader', leader: null }
      : { kind: 'refused', code: refused };
  }

  private readIndex(raft: RaftNode): Promise<number | null> {
    if (this.reads.size >= READS_MAX) return Promise.resolve(null);
    return new Promise((resolve) => {
      const context = this.counter++;
      this.reads.set(context, resolve);
      raft.readIndex(context);
      void this.deps.replica.pump();
    });
  }

  /** What came of a read. @param index null: not the leader any more */
  finishRead(context: number, index: number | null): void {
    this.reads.get(context)?.(index);
    this.reads.delete(context);
  }

  /** Answers all who wait. */
  stop(): void {
    for (const context of [...this.reads.keys()]) this.finishRead(context, null);
  }
}

/** A proposal as the leader takes it. @throws MetadataError TOO_LARGE */
export function encodeEntry(proposed: ProposedCommand): Uint8Array {
  let entry: Uint8Array;
  try {
    entry = encodeCommand(proposed);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new MetadataError('TOO_LARGE', 'the schema is too large', { cause: error });
  }
  if (entry.length <= ENTRY_BYTES_MAX) return entry;
  throw new MetadataError('TOO_LARGE', `the change has ${entry.length} bytes, compressed`);
}
