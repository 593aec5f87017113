/**
 * Conditional writes: Paxos for each partition. A proposer has a quorum of replicas promise its ballot (they send the rows
 * along that the condition looks at), finishes what it finds unfinished, decides, has a quorum accept what it
 * writes, and commits that. Linearizable because any two quorums share a replica, and replicas keep their promises over a
 * restart. Source: Lamport, Paxos Made Simple; Cassandra's StorageProxy.cas for levels and errors.
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { type CqlError, casWriteUnknown, unavailable, writeTimeout } from '../common/errors.ts';
import { request, Verb } from '../internode/links.ts';
import type { ConditionalTarget, Decision } from '../query/data-path.ts';
import type { RecordSource } from '../storage/record-source.ts';
import { parseUuid } from '../types/uuid.ts';
import { type CoordinatorContext, staleEpochOf } from './context.ts';
import type { Levels } from './coordinated-path.ts';
import { CoordinatedSource } from './coordinated-source.ts';
import { Level, quorumOf } from './levels.ts';
import { Lines } from './lines.ts';
import { encodeMutations, locateRecords } from './messages.ts';
import { gatherVotes } from './paxos-quorum.ts';
import { PaxosReplica } from './paxos-replica.ts';
import { rowsOf } from './paxos-rows.ts';
import {
  type Ballot,
  ballotMicros,
  decodeAccepted,
  decodePromised,
  encodePrepare,
  encodeProposal,
  HISTORY_MAX,
  historyAfter,
  isAfter,
  NO_BALLOT,
  newBallot,
  type PaxosTarget,
  type Promised,
  type Proposal,
  targetOf,
} from './paxos-state.ts';
import { PrefetchedSource } from './prefetched-source.ts';
import type { Replica } from './replica.ts';
import { type Replicated, Tally } from './replicated.ts';
import type { Topology } from './topology.ts';

const BACKOFF_MILLIS_MAX = 64;
/** Of one commit; the ring changes rarely. */
const RESTARTS_MAX = 8;

/** A promise that was given. */
type GivenPromise = Extract<Promised, { isPromised: true }>;

/** Who takes part in the Paxos of one partition at one serial level. */
interface Round {
  readonly target: ConditionalTarget;
  readonly at: PaxosTarget;
  readonly replicated: Replicated;
  /** Who is written to. */
  readonly replicas: readonly NodeInfo[];
  /** Those of them that are read: what the others have may not be all. */
  readonly readers: readonly NodeInfo[];
  readonly live: readonly NodeInfo[];
  readonly required: number;
  readonly levels: Levels;
  /** By which one of the replicas refused: others take part now; 0: none did. */
  staleEpoch: number;
}

/** What was proposed here and may have been accepted by too few. */
interface Pending<T> {
  readonly ballot: Ballot;
  readonly result: T;
  readonly acceptedCount: number;
}

type Proposed =
  | { readonly kind: 'accepted' }
  /** Nobody has it, nobody will. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'unknown'; readonly acceptedCount: number };

export class Paxos {
  private readonly context: CoordinatorContext;
  private readonly topology: Topology;
  private readonly replica: PaxosReplica;
  private readonly hostId: Buffer;
  private readonly lines: Lines;

  constructor(context: CoordinatorContext, topology: Topology, replica: Replica) {
    this.context = context;
    this.topology = topology;
    this.replica = new PaxosReplica(context, replica);
    this.hostId = parseUuid(context.deps.self.hostId) ?? Buffer.alloc(16);
    this.lines = new Lines(context.deps.timers);
  }

  /**
   * Decides and writes in one step.
   * @throws CqlError Unavailable; WriteTimeout CAS (nothing written), or SIMPLE (decided, but not yet on as many replicas as the
   * level asks for); CasWriteUnknown; what `decide` throws
   */
  async run<T>(
    target: ConditionalTarget,
    levels: Levels,
    decide: (source: RecordSource) => Promise<Decision<T>>,
  ): Promise<T> {
    const round = this.roundOf(target, levels);
    this.refuse(round);
    // Proposers of one worker do not have to fight each other.
    const { casContentionTimeoutMillis } = this.context.options;
    const name = Buffer.concat([round.at.table, round.at.partition]).toString('latin1');
    const leave = await this.lines.enter(name, casContentionTimeoutMillis);
    if (leave === null) throw this.timeout(round, 0, 0);
    try {
      return await this.compete(round, decide);
    } finally {
      leave();
    }
  }

  /** @throws CqlError Unavailable */
  private refuse({ live, required, levels }: Round): void {
    if (live.length >= required) return;
    this.context.metrics.unavailables++;
    throw unavailable(levels.serialConsistency, required, live.length);
  }

  /** Who takes part as the ring is now. */
  private roundOf(target: ConditionalTarget, levels: Levels): Round {
    const { context, topology } = this;
    const { handle, partition } = target;
    const replicated = topology.replicatedOf(handle.table);
    const replicas = replicated.writes.ofKey(partition);
    const readers = replicated.placement.ofKey(partition);
    const { serialConsistency } = levels;
    const takingPart = (nodes: readonly NodeInfo[]) =>
      serialConsistency === Level.LOCAL_SERIAL
        ? nodes.filter(({ datacenter }) => datacenter === context.deps.self.datacenter)
        : nodes;
    const live = context.live(takingPart(replicas));
    const extras = takingPart(replicated.writes.extrasOf(replicas));
    const required = Math.floor(takingPart(readers).length / 2) + 1 + extras.length;
    const at = targetOf(handle.table, partition, replicated.epoch);
    const owners = { replicated, replicas, readers, live, required };
    return { target, at, ...owners, levels, staleEpoch: 0 };
  }

  private timeout({ levels, required }: Round, received: number, contentions: number): CqlError {
    this.context.metrics.writeTimeouts++;
    const consistency = levels.serialConsistency;
    return writeTimeout({ consistency, received, required }, 'CAS', contentions);
  }

  /** The same round by the ring as it is now, if it is another one. */
  private async current(round: Round): Promise<Round> {
    const { context, topology } = this;
    if (round.staleEpoch > round.replicated.epoch) await context.catchUp(round.staleEpoch);
    return round.replicated.epoch === topology.epoch
      ? round
      : this.roundOf(round.target, round.levels);
  }

  private async compete<T>(
    first: Round,
    decide: (source: RecordSource) => Promise<Decision<T>>,
  ): Promise<T> {
    const { deps, options, metrics } = this.context;
    const deadline = deps.clock.monotonicMillis() + options.casContentionTimeoutMillis;
    let pending: readonly Pending<T>[] = [];
    let least = 0n;
    let round = first;
    for (let contentions = 0; ; contentions++) {
      if (contentions > 0) {
        metrics.casContentions++;
        await this.backOff(contentions);
        if (deps.clock.monotonicMillis() > deadline) {
          throw this.gaveUp(round, pending, 0, contentions);
        }
      }
      const before = round;
      round = await this.current(before);
      // What was proposed may still be chosen: then nobody may be told that nothing was done.
      if (round !== before && pending.length === 0) this.refuse(round);
      const now = deps.serialMicros();
      const ballot = newBallot(now > least ? now : least + 1n, this.hostId);
      const prepared = await this.prepare(round, ballot);
      if (prepared.seenMicros > least) least = prepared.seenMicros;
      const { promises } = prepared;
      if (promises === null) {
        if (prepared.isContended || round.staleEpoch > 0) continue;
        throw this.gaveUp(round, pending, prepared.promisedCount, contentions);
      }
      const found = await this.finish(round, ballot, promises);
      const chosen = pending.find((one) => includes(found.finished, one.ballot));
      if (chosen !== undefined) return chosen.result;
      if (!found.isClean) continue;
      pending = this.stillOpen(round, pending, found);
      const decision = await decide(this.sourceOf(round, promises, found.last));
      const mutations = decision.applies ? await decision.mutations(ballotMicros(ballot)) : [];
      // What was proposed before and not chosen is still on some replica: nothing, chosen now, keeps it from ever being.
      if (mutations.length === 0 && pending.length === 0) return decision.result;
      const history = historyAfter(found.last, ballot);
      const proposal = { ballot, origin: ballot, history, message: encodeMutations(mutations) };
      const proposed = await this.propose(round, proposal);
      if (proposed.kind === 'accepted') {
        await this.commit(round, proposal, round.levels.consistency);
        return decision.result;
      }
      if (proposed.kind === 'unknown') {
        const { acceptedCount } = proposed;
        pending = [...pending, { ballot, result: decision.result, acceptedCount }];
      }
    }
  }

  /**
   * Without those that can never be chosen any more, because something later was committed.
   * @throws CqlError CasWriteUnknown: so much was committed since that nobody knows whether they were
   */
  private stillOpen<T>(
    round: Round,
    pending: readonly Pending<T>[],
    { last }: Found,
  ): readonly Pending<T>[] {
    if (last === null) return pending;
    const isCut = last.history.length === HISTORY_MAX;
    const oldest = last.history.at(-1) ?? NO_BALLOT;
    return pending.filter((one) => {
      if (!isAfter(last.ballot, one.ballot)) return true;
      if (isCut && isAfter(oldest, one.ballot)) throw this.unknown(round, one);
      return false;
    });
  }

  private gaveUp<T>(
    round: Round,
    pending: readonly Pending<T>[],
    received: number,
    contentions: number,
  ): CqlError {
    const last = pending.at(-1);
    if (last === undefined) return this.timeout(round, received, contentions);
    return this.unknown(round, last);
  }

  private unknown<T>({ levels, required }: Round, { acceptedCount }: Pending<T>): CqlError {
    const consistency = levels.serialConsistency;
    return casWriteUnknown({ consistency, received: acceptedCount, required });
  }

  private backOff(contentions: number): Promise<void> {
    const { random, timers } = this.context.deps;
    const millis = random() * Math.min(BACKOFF_MILLIS_MAX, 2 ** contentions);
    return new Promise((resolve) => {
      timers.after(millis, resolve);
    });
  }

  private async prepare(round: Round, ballot: Ballot): Promise<Prepared> {
    const { keys } = round.target;
    const body = encodePrepare(round.at, ballot, keys);
    const votes = await gatherVotes(
      round.live,
      round.required,
      async (node): Promise<Promised> => {
        const promised = this.context.isSelf(node)
          ? await watched(
              round,
              this.replica.prepare({ target: round.at, ballot, keys: keys.map(asBuffer) }),
            )
          : decodePromised(await this.ask(round, node, Verb.PaxosPrepare, body));
        if (promised.isPromised && keys.length > 0) locateRecords(promised.records, keys.length);
        return promised;
      },
      ({ isPromised }) => isPromised,
    );
    let seenMicros = 0n;
    for (const { answer } of votes.refused) {
      if (answer.isPromised) continue;
      const micros = ballotMicros(answer.ballot);
      if (micros > seenMicros) seenMicros = micros;
    }
    const promises: Given[] = [];
    for (const { node, answer } of votes.agreed) {
      if (answer.isPromised) promises.push({ node, promise: answer });
    }
    return {
      promises: promises.length >= round.required ? promises : null,
      promisedCount: promises.length,
      isContended: votes.refused.length > 0,
      seenMicros,
    };
  }

  private ask(round: Round, node: NodeInfo, verb: Verb, body: Uint8Array): Promise<Uint8Array> {
    const { deps, options } = this.context;
    return watched(round, request(deps.links, node, verb, body, options.writeTimeoutMillis));
  }

  /** Brings the last commit to all that promised, and finishes what was accepted but not committed. */
  private async finish(round: Round, ballot: Ballot, promises: readonly Given[]): Promise<Found> {
    let last: Proposal | null = null;
    let open: Proposal | null = null;
    for (const { promise } of promises) {
      last = later(last, promise.committed);
      open = later(open, promise.accepted);
    }
    const finished = last === null ? [] : [last.origin, ...last.history];
    if (last !== null && !(await this.spread(round, last, promises))) {
      return { last, finished: [], isClean: false };
    }
    if (open === null || !isAfter(open.ballot, last?.ballot ?? NO_BALLOT)) {
      return { last, finished, isClean: true };
    }
    const again = { ...open, ballot };
    const proposed = await this.propose(round, again);
    if (proposed.kind !== 'accepted') return { last, finished, isClean: false };
    try {
      await this.commit(round, again, quorumOf(round.levels.serialConsistency));
    } catch {
      // It is decided, but not known to a quorum: looked at again.
      return { last, finished, isClean: false };
    }
    return { last: again, finished: [...finished, open.origin], isClean: false };
  }

  /** Sends a commit to those that promised and do not have it. @returns whether all of them have it now */
  private async spread(round: Round, last: Proposal, promises: readonly Given[]): Promise<boolean> {
    const lacking = promises.filter(
      ({ promise }) => promise.committed === null || isAfter(last.ballot, promise.committed.ballot),
    );
    const body = encodeProposal(round.at, last);
    const done = await Promise.all(
      lacking.map(({ node }) =>
        this.commitOn(round, node, last, body).then(
          () => true,
          () => false,
        ),
      ),
    );
    return !done.includes(false);
  }

  private async commitOn(
    round: Round,
    node: NodeInfo,
    proposal: Proposal,
    body: Uint8Array,
  ): Promise<void> {
    if (this.context.isSelf(node)) await watched(round, this.replica.commit(round.at, proposal));
    else await this.ask(round, node, Verb.PaxosCommit, body);
  }

  private async propose(round: Round, proposal: Proposal): Promise<Proposed> {
    const body = encodeProposal(round.at, proposal);
    const votes = await gatherVotes(
      round.live,
      round.required,
      async (node) =>
        this.context.isSelf(node)
          ? watched(round, this.replica.propose(round.at, proposal))
          : decodeAccepted(await this.ask(round, node, Verb.PaxosPropose, body)),
      (refusedBy) => refusedBy === null,
    );
    const acceptedCount = votes.agreed.length;
    if (acceptedCount >= round.required) return { kind: 'accepted' };
    if (acceptedCount === 0 && votes.unknownCount === 0) return { kind: 'refused' };
    return { kind: 'unknown', acceptedCount };
  }

  /** @throws CqlError WriteTimeout SIMPLE */
  private async commit(round: Round, proposal: Proposal, level: number): Promise<void> {
    let at = round;
    for (let restarts = 0; ; restarts++) {
      try {
        await this.commitOnce(at, proposal, level);
        return;
      } catch (error) {
        // What is decided stays so, whoever takes part: those who own the rows now shall have it.
        if (at.staleEpoch === 0 || restarts === RESTARTS_MAX) throw error;
        if (!(await this.context.catchUp(at.staleEpoch))) throw error;
        at = this.roundOf(round.target, round.levels);
      }
    }
  }

  /** To all replicas; what is not there in time comes as a hint. @throws CqlError WriteTimeout SIMPLE */
  private commitOnce(round: Round, proposal: Proposal, level: number): Promise<void> {
    const { context } = this;
    const { replicated, replicas } = round;
    const tally = new Tally(replicated, level, replicated.writes.extrasOf(replicas));
    const body = encodeProposal(round.at, proposal);
    return new Promise((resolve, reject) => {
      const pending = new Set<NodeInfo>();
      const look = () => {
        if (tally.isMet || level === Level.ANY) resolve();
        else if (!tally.canBeMet([...pending])) {
          context.metrics.writeTimeouts++;
          reject(writeTimeout(tally.told, 'SIMPLE'));
        }
      };
      const lost = (node: NodeInfo) => {
        if (!context.isSelf(node)) context.hints.store(node.hostId, proposal.message, null);
      };
      for (const node of replicas) {
        if (!context.isAlive(node)) {
          lost(node);
          continue;
        }
        pending.add(node);
        this.commitOn(round, node, proposal, body)
          .then(
            () => tally.add(node),
            () => lost(node),
          )
          .finally(() => {
            pending.delete(node);
            look();
          });
      }
      look();
    });
  }

  /** The rows as those that promised, and are read, have them. */
  private sourceOf(round: Round, promises: readonly Given[], last: Proposal | null): RecordSource {
    const { keys } = round.target;
    const level = quorumOf(round.levels.serialConsistency);
    const rest = new CoordinatedSource(this.context, this.topology, level);
    if (keys.length === 0) return rest;
    const answers = promises
      .filter(({ node }) => round.readers.includes(node))
      .map(({ promise }) => promise.records);
    return new PrefetchedSource(rowsOf(round.at, keys, answers, last), rest);
  }
}

interface Given {
  readonly node: NodeInfo;
  readonly promise: GivenPromise;
}

interface Prepared {
  /** Of a quorum; null: there is none. */
  readonly promises: readonly Given[] | null;
  readonly promisedCount: number;
  readonly isContended: boolean;
  /** The greatest ballot that others have been promised. */
  readonly seenMicros: bigint;
}

/** What there was before. */
interface Found {
  /** The last that was committed. */
  readonly last: Proposal | null;
  /** Origins of what is known to be committed now. */
  readonly finished: readonly Ballot[];
  /** Nothing was left open: the ballot may be used. */
  readonly isClean: boolean;
}

/** Notes in the round if a replica refuses it because others take part now. */
async function watched<T>(round: Round, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    round.staleEpoch = Math.max(round.staleEpoch, staleEpochOf(error, round.replicated.epoch));
    throw error;
  }
}

function includes(ballots: readonly Ballot[], ballot: Ballot): boolean {
  return ballots.some((one) => one.equals(ballot));
}

function later(a: Proposal | null, b: Proposal | null): Proposal | null {
  if (a === null || b === null) return a ?? b;
  return isAfter(b.ballot, a.ballot) ? b : a;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes);
}
