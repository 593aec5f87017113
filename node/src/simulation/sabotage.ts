/**
 * Bugs that are put into a running cluster on purpose, to see that the checkers find them: in the world's disks, in the
 * ports that nodes are given, or in place of methods of the running parts. The product's code has no branch for them.
 */
import { type CqlError, ErrorCode, unavailable } from '../common/errors.ts';
import type { Ballot, PaxosState, PaxosTarget, Proposal } from '../coordinator/paxos-state.ts';
import { NO_STATE } from '../coordinator/paxos-state.ts';
import {
  type AnswerSink,
  type Links,
  type RequestHandler,
  type Responder,
  Verb,
} from '../internode/links.ts';
import type { ConditionalTarget, Decision } from '../query/data-path.ts';
import type { PartitionLocks } from '../query/execute.ts';
import type { WriteSink } from '../storage/local-store.ts';
import type { RecordSource } from '../storage/record-source.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { VirtualDisk } from './virtual-disk.ts';

/** What a bug does to a cluster. */
export interface Sabotage {
  /** Of each node, before the first start. */
  readonly disk?: (disk: VirtualDisk) => void;
  /** Of each life of a node, before its parts are made: its links are there. */
  readonly before?: (node: ClusterNode) => void;
  /** What it moves is there, and nothing has begun to move. */
  readonly moving?: (node: ClusterNode) => void;
  /** And when it serves. */
  readonly after?: (node: ClusterNode) => void;
  readonly durability?: 'periodic';
  /** As a table's option. */
  readonly readRepair?: 'NONE';
}

type Method = (...values: never[]) => unknown;

/** Puts another method in the place of one of a running object. */
export function patch<T extends Method>(
  owner: object,
  name: string,
  make: (original: T) => T,
): void {
  const method: unknown = Reflect.get(owner, name);
  if (typeof method !== 'function') throw new TypeError(`there is no method ${name}`);
  const bound: T = method.bind(owner);
  Reflect.set(owner, name, make(bound));
}

/** A part of a running object, by its path. */
export function part(owner: object, ...path: readonly string[]): object {
  let found = owner;
  for (const name of path) {
    const next: unknown = Reflect.get(found, name);
    if (typeof next !== 'object' || next === null) throw new TypeError(`there is no ${name}`);
    found = next;
  }
  return found;
}

export const paxosOf = ({ coordinator }: ClusterNode) => part(coordinator, 'parts', 'paxos');
export const acceptorOf = (node: ClusterNode) => part(paxosOf(node), 'replica');
export const countersOf = ({ coordinator }: ClusterNode) => part(coordinator, 'parts', 'counters');

const NO_LOCKS: PartitionLocks = { acquire: async () => () => {} };
const DONE = Uint8Array.of(1);

/** Without the locks that the other parts of the node share. */
export function unlock(owner: object): void {
  const context = part(owner, 'context');
  const deps = { ...part(context, 'deps'), locks: NO_LOCKS };
  Reflect.set(owner, 'context', Object.assign(Object.create(context), { deps }));
}

/** What is done for requests of this verb; in its place. */
function patchHandler(
  { dataLinks }: ClusterNode,
  verb: Verb,
  make: (handler: RequestHandler) => RequestHandler,
): void {
  patch<Links['handle']>(dataLinks, 'handle', (handle) => (registered, handler) => {
    handle(registered, registered === verb ? make(handler) : handler);
  });
}

const MUTE: Responder = { answer: () => {}, fail: () => {} };

/** Answers first, and then does it. */
export const answerFirst = (verb: Verb) => (node: ClusterNode) =>
  patchHandler(node, verb, (handler) => (from, body, responder) => {
    responder.answer(DONE);
    handler(from, body, MUTE);
  });

interface Stored {
  readonly key: Buffer;
  readonly state: PaxosState;
  readonly timestamp: bigint;
}
type Write = (replicated: object, write: object, level: number, sink: WriteSink) => void;
type Save = (stored: Stored, state: PaxosState) => Promise<void>;
export type Propose = (target: PaxosTarget, proposal: Proposal) => Promise<Ballot | null>;
type Given = { readonly promise: { readonly accepted: Proposal | null } };
type Finish = (round: object, ballot: Ballot, promises: readonly Given[]) => Promise<unknown>;
type Run = <T>(
  target: ConditionalTarget,
  levels: object,
  decide: (source: RecordSource) => Promise<Decision<T>>,
) => Promise<T>;
type Locked = <T>(
  target: PaxosTarget,
  table: object,
  work: (stored: Stored) => Promise<T>,
) => Promise<T>;

const QUORUM = 4;
const ONE = 1;
const SERIAL = 8;

function failsWith(error: unknown, ...codes: readonly number[]): boolean {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : null;
  return typeof code === 'number' && codes.includes(code);
}

export function forgetPromises(node: ClusterNode): void {
  patch<Save>(acceptorOf(node), 'save', (save) => async (stored, state) => {
    const { accepted, committed } = stored.state;
    if (state.accepted === accepted && state.committed === committed) return;
    await save(stored, state);
  });
}

/** A proposal finds that nothing was promised. */
export function acceptAnything(node: ClusterNode): void {
  const acceptor = acceptorOf(node);
  const lax: object = Object.create(acceptor);
  patch<Locked>(lax, 'locked', (locked) => (target, table, work) => {
    return locked(target, table, (stored) =>
      work({ ...stored, state: { ...stored.state, promised: NO_STATE.promised } }),
    );
  });
  const propose: Propose = Reflect.get(acceptor, 'propose').bind(lax);
  patch<Propose>(acceptor, 'propose', () => propose);
}

export function ignoreUnfinished(node: ClusterNode): void {
  patch<Finish>(
    paxosOf(node),
    'finish',
    (finish) => (round, ballot, promises) =>
      finish(
        round,
        ballot,
        promises.map((given) => ({ ...given, promise: { ...given.promise, accepted: null } })),
      ),
  );
}

export function takeOnePromise(node: ClusterNode): void {
  patch<(target: object, levels: object) => object>(
    paxosOf(node),
    'roundOf',
    (roundOf) => (target, levels) => ({ ...roundOf(target, levels), required: 1 }),
  );
}

/** The time of what is written by the wall clock, and not by the ballot. */
export function stampByClock(node: ClusterNode): void {
  const { clock } = node.facts;
  patch<Run>(
    paxosOf(node),
    'run',
    (run) => (target, levels, decide) =>
      run(target, levels, async (source) => {
        const decision = await decide(source);
        if (!decision.applies) return decision;
        const micros = BigInt(Math.floor(clock.micros()));
        return { ...decision, mutations: () => decision.mutations(micros) };
      }),
  );
}

export function tellUnknownAsFailed(node: ClusterNode): void {
  patch<Run>(paxosOf(node), 'run', (run) => async (target, levels, decide) => {
    try {
      return await run(target, levels, decide);
    } catch (error) {
      if (!failsWith(error, ErrorCode.CasWriteUnknown, ErrorCode.WriteTimeout)) throw error;
      throw unavailable(SERIAL, 2, 1);
    }
  });
}

export function waitForOne(node: ClusterNode): void {
  const { topology } = node.coordinator;
  patch<(table: object) => object>(topology, 'replicatedOf', (replicatedOf) => (table) => {
    const replicated = replicatedOf(table);
    if (!Object.hasOwn(replicated, 'blockFor')) {
      patch<(level: number) => number>(
        replicated,
        'blockFor',
        (blockFor) => (level) => (level === QUORUM ? 1 : blockFor(level)),
      );
    }
    return replicated;
  });
}

export function readOne(node: ClusterNode): void {
  patch<(level: number) => RecordSource>(
    node.coordinator,
    'source',
    (source) => (level) => source(level === QUORUM ? ONE : level),
  );
}

/** What comes in place of a digest is taken for equal. */
export function matchDigests(node: ClusterNode): void {
  patch<Links['call']>(node.dataLinks, 'call', (call) => (to, verb, body, timeout, sink) => {
    if (verb === Verb.ReadDigest) {
      patch<(answer: Buffer) => void>(sink, 'take', (take) => (answer) => {
        take(Object.assign(answer, { equals: () => true }));
      });
    }
    call(to, verb, body, timeout, sink);
  });
}

/** Kept for as long as the process lives. */
export function keepPaxosInMemory(node: ClusterNode): void {
  const states = new Map<string, PaxosState>();
  const acceptor = acceptorOf(node);
  patch<Save>(acceptor, 'save', () => async ({ key }, state) => {
    states.set(key.toString('hex'), state);
  });
  patch<(key: Buffer) => Promise<Stored>>(acceptor, 'load', () => async (key) => ({
    key,
    state: states.get(key.toString('hex')) ?? NO_STATE,
    timestamp: 0n,
  }));
}

/** An answer to a mutation counts for two replicas. */
export function countTwice(node: ClusterNode): void {
  patch<Links['call']>(node.dataLinks, 'call', (call) => (to, verb, body, timeout, sink) => {
    if (verb !== Verb.Mutation) return call(to, verb, body, timeout, sink);
    const twice: AnswerSink = {
      answered: (answer) => {
        sink.answered(answer);
        sink.answered(answer);
      },
      failed: (error) => sink.failed(error),
    };
    call(to, verb, body, timeout, twice);
  });
}

export function tellTimeoutAsDone(node: ClusterNode): void {
  patch<Write>(node.coordinator, 'write', (write) => (replicated, one, level, sink) => {
    const written = (error: CqlError | null) =>
      sink.written(failsWith(error, ErrorCode.WriteTimeout) ? null : error);
    write(replicated, one, level, { written });
  });
}

export function countAgain(node: ClusterNode): void {
  type Ask = (leader: object, ...rest: readonly unknown[]) => Promise<boolean>;
  patch<Ask>(countersOf(node), 'ask', (ask) => async (leader, ...rest) => {
    try {
      return await ask(leader, ...rest);
    } catch {
      return false;
    }
  });
}

export function skipBatchlog(node: ClusterNode): void {
  patchHandler(node, Verb.BatchStore, () => (_from, _body, responder) => responder.answer(DONE));
}

/** Who asks for a hint hears that it is stored. */
export function skipHints({ coordinator }: ClusterNode): void {
  type Store = (hostId: string, body: Buffer, done: ((stored: boolean) => void) | null) => void;
  const hints = part(coordinator, 'hints');
  patch<Store>(hints, 'store', () => (_hostId, _body, done) => done?.(true));
}
