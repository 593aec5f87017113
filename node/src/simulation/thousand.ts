/**
 * Many nodes join one cluster at once, and are idle afterwards: how long it takes, and what each says to the others. It
 * runs the real links, gossip and metadata log; what does not grow with their number here does not in a real cluster.
 */
import { Verb } from '../internode/links.ts';
import { ControlNode } from './control-node.ts';
import { placesOf, World } from './world.ts';

export interface JoinRunOptions {
  readonly nodes: number;
  readonly seed?: number;
  /** Of the world's time, to converge in. */
  readonly millisMax?: number;
  /** Of the world's time, once all are there and before idleness is measured: voters are still chosen then. */
  readonly settleMillis?: number;
  readonly idleMillis?: number;
  /** Called after each second of the world's time until all agree. */
  readonly progress?: (seconds: number, started: number, converged: number) => void;
}

/** Requests by what they are for; each has one answer, which is not counted. */
export interface Requests {
  readonly gossip: number;
  readonly raft: number;
  /** Joining, proposing. */
  readonly other: number;
}

/** All rates are of one node in one second of the world's time. */
export interface Traffic {
  readonly requests: Requests;
  /** Packets of the network; requests and answers of one turn share one. */
  readonly packets: number;
  readonly bytes: number;
  /** Of the node that says most, the leader. */
  readonly packetsMax: number;
}

export interface JoinRun {
  readonly nodes: number;
  /** Seconds of the world's time until all have the same state and see all alive; null: not in time. */
  readonly convergedSeconds: number | null;
  readonly joining: Traffic;
  /** Null if it did not converge. */
  readonly idle: Traffic | null;
  readonly voters: number;
}

interface Counts {
  gossip: number;
  raft: number;
  other: number;
}

interface Sample {
  readonly millis: number;
  readonly counts: Counts;
  readonly packets: number;
  readonly bytes: number;
  readonly bySender: ReadonlyMap<string, number>;
}

const CHECK_MILLIS = 1000;

function countRequests({ links }: ControlNode, counts: Counts): void {
  const call = links.call.bind(links);
  links.call = (to, verb, body, timeoutMillis, sink) => {
    if (verb === Verb.Gossip) counts.gossip++;
    else if (verb === Verb.Raft) counts.raft++;
    else counts.other++;
    call(to, verb, body, timeoutMillis, sink);
  };
}

/** How many have the state of the first, with all in it, and see all alive. */
function countConverged({ nodes }: World<ControlNode>): number {
  const first = nodes[0].running?.logIfStarted?.current();
  if (first === undefined || first.nodes.size !== nodes.length) return 0;
  return nodes.filter(({ running }) => {
    const state = running?.logIfStarted?.current();
    if (!running || state === undefined) return false;
    if (state.epoch !== first.epoch || state.nodes.size !== nodes.length) return false;
    return nodes.every(({ hostId }) => running.gossip.isAlive(hostId));
  }).length;
}

function sampleOf(world: World<ControlNode>, counts: Counts): Sample {
  const bySender = new Map([...world.network.sent].map(([from, { packets }]) => [from, packets]));
  return { millis: world.now, counts: { ...counts }, ...world.network.total(), bySender };
}

function trafficBetween(from: Sample, to: Sample, nodes: number): Traffic {
  const seconds = (to.millis - from.millis) / 1000;
  const rate = (count: number) => count / seconds / nodes;
  const most = Math.max(
    ...[...to.bySender].map(([name, packets]) => packets - (from.bySender.get(name) ?? 0)),
  );
  return {
    requests: {
      gossip: rate(to.counts.gossip - from.counts.gossip),
      raft: rate(to.counts.raft - from.counts.raft),
      other: rate(to.counts.other - from.counts.other),
    },
    packets: rate(to.packets - from.packets),
    bytes: rate(to.bytes - from.bytes),
    packetsMax: most / seconds,
  };
}

/** Starts all nodes of a world at one time. */
export async function runJoin(options: JoinRunOptions): Promise<JoinRun> {
  const { nodes, seed = 1, millisMax = 300_000, progress } = options;
  const { settleMillis = 5_000, idleMillis = 5_000 } = options;
  const counts: Counts = { gossip: 0, raft: 0, other: 0 };
  const world = new World<ControlNode>(seed, {
    places: placesOf({ dc1: nodes }),
    create: (facts) => {
      const node = new ControlNode(facts);
      countRequests(node, counts);
      return node;
    },
  });
  for (const node of world.nodes) void node.startSupervised();
  const begin = sampleOf(world, counts);
  let converged = 0;
  while (converged < nodes && world.now < millisMax) {
    await world.runFor(CHECK_MILLIS);
    converged = countConverged(world);
    const started = world.nodes.filter(({ running }) => running?.logIfStarted).length;
    progress?.(world.now / 1000, started, converged);
  }
  const joined = sampleOf(world, counts);
  const joining = trafficBetween(begin, joined, nodes);
  const voters = world.nodes[0].running?.logIfStarted?.status()?.voters.length ?? 0;
  if (converged < nodes) return { nodes, convergedSeconds: null, joining, idle: null, voters };
  await world.runFor(settleMillis);
  const before = sampleOf(world, counts);
  await world.runFor(idleMillis);
  const idle = trafficBetween(before, sampleOf(world, counts), nodes);
  return { nodes, convergedSeconds: joined.millis / 1000, joining, idle, voters };
}
