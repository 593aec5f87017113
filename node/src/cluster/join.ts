/** Joining a cluster: what a new node asks, and what a member answers. */
import {
  LinkError,
  type Links,
  type Peer,
  type Responder,
  request,
  Verb,
} from '../internode/links.ts';
import type { ClusterCommand, ClusterState, Liveness, NodeInfo } from './cluster-state.ts';
import { hasTables, isSameNode, refusalOfNewNode, refusalOfOwning } from './commands.ts';
import { JoinRefusedError, MetadataError } from './metadata-errors.ts';
import {
  decodeJoinAnswer,
  decodeJoinRequest,
  encodeJoinAnswer,
  encodeJoinRequest,
  FORMATS,
  type JoinAnswer,
  type JoinRequest,
  PARTITIONER,
} from './metadata-messages.ts';
import type { ClusterClock } from './ports.ts';
import type { RaftSnapshot } from './raft-types.ts';
import { chooseTokens, TokensExhaustedError } from './tokens.ts';

/** More are told to come again. */
const JOINS_MAX = 64;
const PROPOSE_MILLIS = 10_000;
const ANSWER_MILLIS = 15_000;
const RETRY_MILLIS = 500;

/** The part of the metadata log that takes new nodes in. */
export interface JoinLog {
  current(): ClusterState;
  propose(
    command: ClusterCommand,
    timeoutMillis: number,
  ): Promise<{ readonly applied: boolean; readonly reason: string | null }>;
}

export interface JoinDeskDeps {
  readonly log: JoinLog;
  snapshot(): RaftSnapshot | null;
  /** The leader of the log as this node knows it, which may be this one. */
  leader(): Peer | null;
  readonly hostId: string;
  readonly liveness: Liveness;
  /** Whether data is moved to nodes that join; if not they are taken in only while there is none. */
  readonly movesData: boolean;
  random(): number;
}

/**
 * Answers nodes that want to join. The leader alone takes them in, the others tell who that is: two nodes that choose at
 * one time choose the same tokens, since these are to be where the ring has most room. While there are user tables a node is
 * taken in as `joining`: it owns nothing until an operation has moved its data to it (topology-driver.ts).
 */
export class JoinDesk {
  private readonly deps: JoinDeskDeps;
  private serving = 0;
  /** What is proposed and not decided, by host id: nobody else gets their tokens. */
  private readonly proposed = new Map<string, NodeInfo>();

  constructor(deps: JoinDeskDeps) {
    this.deps = deps;
  }

  serve(body: Uint8Array, responder: Responder): void {
    const ask = decodeJoinRequest(body);
    if (ask === null) {
      responder.fail('FAILED', 'the request to join is malformed, or of another version of Ilion');
      return;
    }
    if (this.serving >= JOINS_MAX) {
      responder.fail('OVERLOADED', 'too many nodes join at once');
      return;
    }
    this.serving++;
    this.take(ask)
      .catch((error: unknown): JoinAnswer => {
        if (error instanceof TokensExhaustedError) {
          return { kind: 'refused', reason: error.message };
        }
        return retry(error instanceof Error ? error.message : String(error));
      })
      .then((answer) => responder.answer(encodeJoinAnswer(answer)))
      .finally(() => {
        this.serving--;
      });
  }

  private async take(ask: JoinRequest): Promise<JoinAnswer> {
    const state = this.deps.log.current();
    if (state.epoch === 0) return retry('this node is not in a cluster yet');
    const mismatch = refusalOfCluster(state.clusterName, ask);
    if (mismatch !== null) return { kind: 'refused', reason: mismatch };
    const leader = this.deps.leader();
    if (leader?.hostId !== this.deps.hostId) {
      return retry('this node does not lead the metadata log, which takes nodes in', leader);
    }
    if (this.proposed.has(ask.node.hostId)) return retry('this node is being taken in already');
    const node = this.nodeOf(ask, state);
    const reason = this.refusal(state, node);
    if (reason !== null) return { kind: 'refused', reason };
    if (isSameNode(state.nodes.get(node.hostId), node)) return this.joinedBefore(node);
    this.proposed.set(node.hostId, node);
    try {
      const outcome = await this.deps.log.propose({ kind: 'add-node', node }, PROPOSE_MILLIS);
      if (outcome.applied) return this.joined(node);
      // Another leader, before this one, has taken a node in that has the tokens: others can be chosen.
      const mayChoose = ask.node.tokens.length === 0;
      const why = outcome.reason ?? '';
      return mayChoose ? retry(why) : { kind: 'refused', reason: why };
    } finally {
      this.proposed.delete(node.hostId);
    }
  }

  private nodeOf({ node, tokenCount, replaces }: JoinRequest, state: ClusterState): NodeInfo {
    const known = state.nodes.get(node.hostId);
    // It has asked before and did not hear the answer.
    if (known !== undefined) {
      const tokens = node.tokens.length > 0 ? node.tokens : known.tokens;
      const place = known.replaces === undefined ? {} : { replaces: known.replaces };
      return { ...node, tokens, state: known.state, ...place };
    }
    if (replaces !== null) return { ...node, state: 'joining', replaces };
    const tokens = node.tokens.length > 0 ? node.tokens : this.choose(node, tokenCount, state);
    const mayOwn = refusalOfOwning(state) === null;
    return { ...node, tokens, state: mayOwn ? 'normal' : 'joining' };
  }

  private choose(
    { datacenter }: NodeInfo,
    count: number,
    { nodes, operations }: ClusterState,
  ): readonly bigint[] {
    const { random } = this.deps;
    const moving = operations.flatMap(({ kind, hostId, tokens }): readonly NodeInfo[] => {
      const node = nodes.get(hostId);
      if (kind !== 'move' || node === undefined) return [];
      return [{ ...node, tokens: tokens.filter((token) => !node.tokens.includes(token)) }];
    });
    const others = [...nodes.values(), ...this.proposed.values(), ...moving];
    return chooseTokens({ nodes: others, datacenter, count, random });
  }

  private refusal(state: ClusterState, node: NodeInfo): string | null {
    const { hostId, liveness, movesData } = this.deps;
    const known = state.nodes.get(node.hostId);
    const isElsewhere =
      known !== undefined &&
      (known.address !== node.address || known.controlPort !== node.controlPort);
    if (isElsewhere && known.state !== 'left' && liveness.isAlive(node.hostId)) {
      return `a node with the host id ${node.hostId} is alive at ${known.address}:${known.controlPort}: was its data directory copied?`;
    }
    const { replaces } = node;
    if (known === undefined && replaces !== undefined) {
      if (replaces === hostId || liveness.isAlive(replaces)) {
        return `the node ${replaces}, which is to be replaced, is alive: stop it first, or decommission it`;
      }
    }
    if (known === undefined && node.state === 'joining' && !movesData) {
      return refusalOfOwning(state) ?? 'data cannot be moved to a new node here';
    }
    return refusalOfNewNode(state, node);
  }

  /** It has not heard the answer, or has lost its disk, or is asked for twice. */
  private joinedBefore(node: NodeInfo): JoinAnswer {
    const { hostId } = node;
    // Where there is nothing it cannot have lost anything.
    if (hasTables(this.deps.log.current()) && node.state !== 'joining') {
      const reason = `the node ${hostId} is a member, and asks to become one: what it has acknowledged is not on its disk. Start it with the data directory that it had, or as a new node in its place (replace_host_id: ${hostId})`;
      return { kind: 'refused', reason };
    }
    if (this.deps.snapshot()?.voters.includes(hostId) !== true) return this.joined(node);
    const reason = `the node ${hostId} votes on the metadata log, and has lost it: what it promised is not known. Start it with a new data directory`;
    return { kind: 'refused', reason };
  }

  private joined(node: NodeInfo): JoinAnswer {
    const snapshot = this.deps.snapshot();
    return snapshot === null
      ? retry('this node has no state to give')
      : { kind: 'joined', snapshot, node };
  }
}

function retry(reason: string, leader: Peer | null = null): JoinAnswer {
  return { kind: 'retry', reason, leader };
}

function refusalOfCluster(clusterName: string, ask: JoinRequest): string | null {
  if (ask.clusterName !== clusterName) {
    return `the cluster is named '${clusterName}', this node is to be in '${ask.clusterName}'`;
  }
  if (ask.partitioner !== PARTITIONER) {
    return `the cluster has the partitioner ${PARTITIONER}, this node ${ask.partitioner}`;
  }
  for (const name of Object.keys(FORMATS) as (keyof typeof FORMATS)[]) {
    if (ask.formats[name] === FORMATS[name]) continue;
    return `format '${name}' is ${FORMATS[name]} in the cluster and ${ask.formats[name]} in this node: the versions of Ilion do not fit together`;
  }
  return null;
}

export interface JoinAsk {
  readonly clusterName: string;
  readonly self: NodeInfo;
  readonly tokenCount: number;
  /** Host id of the dead node whose place is taken; null: none. */
  readonly replaces: string | null;
  readonly timeoutMillis: number;
}

export interface JoinWorld {
  readonly links: Links;
  readonly clock: ClusterClock;
  stopped(): boolean;
}

/**
 * Asks the contacts in turn until one has taken this node in.
 * @returns what this node's log begins with
 * @throws JoinRefusedError, MetadataError
 */
export async function joinByContacts(
  world: JoinWorld,
  contacts: readonly Peer[],
  ask: JoinAsk,
): Promise<RaftSnapshot> {
  const { clock } = world;
  const deadline = clock.nowMillis() + ask.timeoutMillis;
  const { clusterName, self, tokenCount, replaces } = ask;
  const body = encodeJoinRequest({
    clusterName,
    partitioner: PARTITIONER,
    formats: FORMATS,
    node: self,
    tokenCount,
    replaces,
  });
  let reason = 'there are no contacts';
  let leader: Peer | null = null;
  for (let i = 0; ; ) {
    const left = deadline - clock.nowMillis();
    if (world.stopped()) throw new MetadataError('STOPPED', 'this node is stopping');
    if (left <= 0 || contacts.length === 0) {
      throw new MetadataError('NO_MAJORITY', `no contact could take this node: ${reason}`);
    }
    const contact: Peer = leader ?? contacts[i % contacts.length];
    const answer = await askContact(world, contact, body, Math.min(ANSWER_MILLIS, left));
    if (answer.kind === 'joined') return answer.snapshot;
    if (answer.kind === 'refused') throw new JoinRefusedError(answer.reason);
    reason = `${contact.address}:${contact.controlPort}: ${answer.reason}`;
    // The leader is asked at once, and when it has no time for this node it gets some.
    const wasLeader: boolean = leader !== null;
    leader = wasLeader || answer.kind !== 'retry' ? null : answer.leader;
    if (leader !== null) continue;
    i++;
    if (wasLeader || i % contacts.length === 0) {
      await new Promise<void>((resolve) => clock.after(RETRY_MILLIS, resolve));
    }
  }
}

async function askContact(
  { links }: JoinWorld,
  contact: Peer,
  body: Uint8Array,
  timeoutMillis: number,
): Promise<JoinAnswer> {
  try {
    const answer = await request(links, contact, Verb.Join, body, timeoutMillis);
    return (
      decodeJoinAnswer(answer) ?? retry('its answer is malformed, or of another version of Ilion')
    );
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    const { message: reason } = error;
    return error.code === 'REFUSED' ? { kind: 'refused', reason } : retry(reason);
  }
}
