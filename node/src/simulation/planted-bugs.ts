/** The bugs by name, and where they are looked for. What they do: `sabotage.ts`. */
import { Verb } from '../internode/links.ts';
import type { SimulationOptions } from './run.ts';
import {
  acceptAnything,
  acceptorOf,
  answerFirst,
  countAgain,
  countersOf,
  countTwice,
  forgetPromises,
  ignoreUnfinished,
  keepPaxosInMemory,
  matchDigests,
  type Propose,
  patch,
  readOne,
  type Sabotage,
  skipBatchlog,
  skipHints,
  stampByClock,
  takeOnePromise,
  tellTimeoutAsDone,
  tellUnknownAsFailed,
  unlock,
  waitForOne,
} from './sabotage.ts';

export interface PlantedBug extends Sabotage {
  /** One line. */
  readonly breaks: string;
  /** Found within so many seeds, wherever one begins (measured: the README's table). */
  readonly seeds: number;
  /** Tests begin here, so that they are quick; not given: 1. */
  readonly from?: number;
  /** Where it shows, if not in the cluster of `huntBug`. */
  readonly cluster?: Partial<SimulationOptions>;
}

/** Coordinators are not always replicas. */
const FIVE: Partial<SimulationOptions> = { datacenters: { dc1: 5 } };

/** All lose power at once, again and again, amid other troubles. */
const BLACKOUTS: Partial<SimulationOptions> = {
  faults: ['datacenter', 'partition', 'slow-link', 'loss'],
};

/** By name. */
export const PLANTED_BUGS: Readonly<Record<string, PlantedBug>> = {
  'fsync-lies': {
    breaks: 'fsync says that it is done, and is not',
    seeds: 20,
    disk: ({ planted }) => {
      planted.syncLies = true;
    },
  },
  'periodic-told-durable': {
    breaks: 'writes are told to be durable up to a second before they are synced',
    seeds: 20,
    cluster: BLACKOUTS,
    durability: 'periodic',
  },
  'last-arrival-wins': {
    breaks: 'the merge keeps what arrived last, not what is newer',
    seeds: 20,
    disk: ({ planted }) => {
      planted.lastArrivalWins = true;
    },
  },
  'acknowledged-before-applied': {
    breaks: 'a replica answers a mutation before it is applied',
    seeds: 20,
    before: answerFirst(Verb.Mutation),
  },
  'commit-before-applied': {
    breaks: 'a replica answers a Paxos commit before it is applied',
    seeds: 20,
    cluster: { faults: ['aimed', 'slow-disk', 'crash'], moments: ['answers PaxosCommit'] },
    before: answerFirst(Verb.PaxosCommit),
  },
  'one-answer-counts-twice': {
    breaks: 'an answer of one replica counts for two',
    seeds: 20,
    cluster: FIVE,
    before: countTwice,
  },
  'hint-not-stored': {
    breaks: 'a hint is told to be stored, and is not',
    seeds: 20,
    after: skipHints,
  },
  'quorum-waits-for-one': {
    breaks: 'QUORUM waits for one replica',
    seeds: 20,
    after: waitForOne,
  },
  'reads-ask-one': {
    breaks: 'QUORUM reads ask one replica',
    seeds: 20,
    after: readOne,
  },
  'timeout-told-as-done': {
    breaks: 'a write that timed out is told as done',
    seeds: 20,
    cluster: { faults: ['partition'], pace: { intervalMillis: 2000, lengthMillis: 4000 } },
    after: tellTimeoutAsDone,
  },
  'read-repair-off': {
    breaks: 'reads do not repair what differs',
    seeds: 20,
    readRepair: 'NONE',
  },
  'digests-always-match': {
    breaks: 'digests are taken for equal',
    seeds: 20,
    before: matchDigests,
  },
  'promise-not-stored': {
    breaks: 'an acceptor forgets what it promised',
    seeds: 20,
    after: forgetPromises,
  },
  'acceptance-not-stored': {
    breaks: 'an acceptor forgets what it accepted',
    seeds: 20,
    after: (node) => patch<Propose>(acceptorOf(node), 'propose', () => async () => null),
  },
  'paxos-in-memory': {
    breaks: 'promises and acceptances end with the process',
    seeds: 50,
    cluster: {
      clients: 12,
      faults: ['slow-disk', 'slow-disk', 'slow-disk', 'blackout'],
      pace: { intervalMillis: 250, lengthMillis: 1000 },
    },
    after: keepPaxosInMemory,
  },
  'lower-ballots-accepted': {
    breaks: 'an acceptor takes ballots below its promise',
    seeds: 20,
    after: acceptAnything,
  },
  'acceptor-without-lock': {
    breaks: 'two requests change the Paxos state of a partition at once',
    seeds: 20,
    after: (node) => unlock(acceptorOf(node)),
  },
  'unfinished-ignored': {
    breaks: 'a proposer does not finish what others left accepted',
    seeds: 20,
    after: ignoreUnfinished,
  },
  'one-promise-is-enough': {
    breaks: 'a proposer waits for one promise and one acceptance',
    seeds: 20,
    after: takeOnePromise,
  },
  'cas-stamped-by-clock': {
    breaks: 'conditional writes get the time of the wall clock, not of their ballot',
    seeds: 20,
    after: stampByClock,
  },
  'unknown-told-as-failed': {
    breaks: 'a conditional write with an unknown end is told as not done',
    seeds: 20,
    cluster: { faults: ['partition', 'one-way', 'aimed'] },
    after: tellUnknownAsFailed,
  },
  'serial-is-quorum': {
    breaks: 'SERIAL reads are plain quorum reads',
    seeds: 20,
    after: ({ coordinator }) => patch(coordinator, 'settle', () => async () => {}),
  },
  'counter-without-lock': {
    breaks: 'increments of a counter read and write it at the same time',
    seeds: 20,
    cluster: { clients: 24, faults: ['slow-disk'] },
    after: (node) => unlock(countersOf(node)),
  },
  'counter-parts-shared': {
    breaks: 'all leaders count in the same part of a counter',
    seeds: 20,
    after: (node) => void Reflect.set(countersOf(node), 'hostId', Buffer.alloc(16)),
  },
  'counter-asked-again': {
    breaks: 'an increment whose leader does not answer is given to another',
    seeds: 50,
    cluster: {
      ...FIVE,
      clients: 12,
      faults: ['aimed', 'break', 'slow-link'],
      moments: ['answers Counter', 'hears Mutation'],
    },
    after: countAgain,
  },
  'batchlog-not-stored': {
    breaks: 'nodes answer that they keep a batch, and do not',
    seeds: 50,
    cluster: {
      ...FIVE,
      faults: ['aimed'],
      moments: ['hears BatchStore'],
      pace: { intervalMillis: 300, lengthMillis: 600 },
    },
    before: skipBatchlog,
  },
};
