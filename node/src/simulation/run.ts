/** One seed: a cluster, its clients, what goes wrong, and in the end what the checkers say. */
import { JoinRefusedError } from '../cluster/metadata-errors.ts';
import { OwnPlaceError } from '../cluster/own-place.ts';
import { schemaChangeOf } from '../cluster/schema-change.ts';
import { withoutSystemKeyspaces } from '../query/virtual/definitions.ts';
import { EMPTY_SCHEMA, type Schema } from '../schema/schema.ts';
import { KvError } from '../storage/kv.ts';
import type {
  CounterInput,
  CounterOutput,
  RegisterInput,
  RegisterOutput,
  ReplicaContents,
} from './checkers.ts';
import { checkBatches, checkConvergence, checkCounter, checkRegister } from './checkers.ts';
import { ClusterNode } from './cluster-node.ts';
import type { Fates } from './contracts.ts';
import { FreshTables } from './fresh-tables.ts';
import type { History } from './history.ts';
import {
  CAS_REGISTER,
  type CasInput,
  type CasOutput,
  checkLinearizable,
  withoutTraceless,
} from './linearizability.ts';
import {
  DEFAULT_NEMESIS,
  type FaultKind,
  Nemesis,
  type NemesisOptions,
  RING_NEMESIS,
} from './nemesis.ts';
import { contentsOf, ownersBy, REPLICATED_TABLES, SINGLE_TABLES } from './replica-contents.ts';
import { RingChanges } from './ring-changes.ts';
import { checkLeftovers, checkRing } from './ring-checks.ts';
import type { Sabotage } from './sabotage.ts';
import { simulationSchema } from './simulation-schema.ts';
import { Tallies } from './tallies.ts';
import type { Moment } from './watched-links.ts';
import { Workload } from './workload.ts';
import { placesOf, World } from './world.ts';

export interface SimulationOptions {
  /** Nodes of each datacenter. */
  readonly datacenters: Readonly<Record<string, number>>;
  /** As in CREATE KEYSPACE. */
  readonly replication: string;
  readonly clients: number;
  /** How long things go wrong, of the world's time. */
  readonly faultMillis: number;
  readonly faults: readonly FaultKind[];
  /** Steps that aimed crashes are aimed at. */
  readonly moments: readonly Moment[];
  /** Of faults. */
  readonly pace: Partial<Pick<NemesisOptions, 'intervalMillis' | 'lengthMillis'>>;
  /** A bug to be found. */
  readonly sabotage?: Sabotage;
  /** Nodes join, leave, die for good, move; those of `datacenters` are there at the beginning. */
  readonly ring?: boolean;
  /** Between two changes of the ring, on average. */
  readonly ringMillis: number;
  /** Where the ring changes: see `Workload`. */
  readonly quiet: number;
  /** Nodes die for good; not given: in half of the seeds. */
  readonly kills?: boolean;
  /** Tables are made and dropped while the ring changes. */
  readonly tables?: boolean;
}

export const DEFAULT_SIMULATION: SimulationOptions = {
  datacenters: { dc1: 3 },
  replication: "{'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  clients: 6,
  faultMillis: 20_000,
  faults: DEFAULT_NEMESIS.faults,
  moments: DEFAULT_NEMESIS.moments,
  pace: { intervalMillis: 700 },
  ringMillis: 3_000,
  quiet: 4,
};

export interface SeedResult {
  readonly seed: number;
  /** In words; none: all is well. */
  readonly problems: readonly string[];
  /** Keys of conditional writes whose histories were too long to judge. */
  readonly undecided: readonly string[];
  /** By kind, and by how they ended. */
  readonly operations: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** By levels how operations ended; faults; what coordinators counted. */
  readonly tallies: Tallies;
  readonly fingerprint: string;
  /** What clients did. */
  readonly history: History;
  /** The last lines of the nodes' logs. */
  readonly trace: readonly string[];
}

const START_MILLIS = 120_000;
/** Hints are replayed, batches and proposals that were left open are ended. */
const REST_MILLIS = 40_000;
const READ_MILLIS = 60_000;
/** Clients go on while what was begun ends. */
const RING_REST_MILLIS = 10_000;
const RING_END_MILLIS = 300_000;
const METRICS = [
  'hintsStored',
  'hintsReplayed',
  'readRepairs',
  'batchesReplayed',
  'casContentions',
  'speculativeRetries',
] as const;
const KINDS = ['register', 'cas', 'counter'];

/** @param undecided gets the keys whose histories were too long to judge @returns problems */
function judge(world: World<ClusterNode>, workload: Workload, undecided: string[]): string[] {
  const { history } = world;
  const problems: string[] = [];
  for (const [key, operations] of history.byKey<RegisterInput, RegisterOutput>('register')) {
    problems.push(...checkRegister(key, operations, workload.isMonotonic(key)));
  }
  for (const [key, operations] of history.byKey<CounterInput, CounterOutput>('counter')) {
    problems.push(...checkCounter(key, operations));
  }
  for (const [key, operations] of history.byKey<CasInput, CasOutput>('cas')) {
    const verdict = checkLinearizable(withoutTraceless(operations), CAS_REGISTER);
    if (verdict.kind === 'undecided') undecided.push(key);
    else if (verdict.kind !== 'linearizable') problems.push(`${key}: ${JSON.stringify(verdict)}`);
  }
  return problems;
}

/** Those that have replicas of what clients write. */
function datacentersWithReplicas(world: World<ClusterNode>): string[] {
  const { topology } = world.node(0).node.coordinator;
  return [...topology.replicatedOf({ keyspace: 'sim' }).quorums.keys()];
}

/** @param lives all processes that there were */
function talliesOf(
  workload: Workload,
  nemesis: Nemesis<ClusterNode>,
  lives: readonly ClusterNode[],
  changes: RingChanges | null,
  tables: FreshTables | null,
): Tallies {
  const tallies = new Tallies();
  if (tables !== null) tallies.addAll(tables.tallies);
  if (changes !== null) {
    tallies.addAll(changes.tallies);
    for (const { kind, outcome } of changes.state()?.ended ?? []) {
      tallies.add(kind, outcome);
      tallies.add('all changes of the ring', outcome);
    }
  }
  tallies.addAll(workload.tallies);
  for (const [fault, count] of nemesis.counts) tallies.add('faults', fault, count);
  for (const node of lives) {
    if (!node.isStarted) continue;
    const { metrics } = node.coordinator;
    for (const name of METRICS) tallies.add('coordinators', name, metrics[name]);
  }
  return tallies;
}

/** Reads everything at ALL, by which replicas that differ are repaired. @returns problems */
async function repairAll(world: World<ClusterNode>, tables: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  for (const name of tables) {
    const answer = await world.nodes[0].node.query(`SELECT * FROM ${name}`, { consistency: 5 });
    if (answer.body.readInt32BE(0) !== 2) problems.push(`${name} cannot be read at ALL`);
  }
  return problems;
}

/** How the ring of a seed changes: with or without deaths for good, in files or row by row. */
function ringStyle({ random }: World<ClusterNode>): { kills: boolean; moves: 'files' | 'rows' } {
  const style = random.fork('ring style');
  return { kills: style.chance(0.5), moves: style.chance(0.2) ? 'rows' : 'files' };
}

/** The metadata log knows the tables, so that nodes get what is theirs. */
export async function agreeOnSchema(world: World<ClusterNode>, schema: Schema): Promise<void> {
  const change = schemaChangeOf(EMPTY_SCHEMA, withoutSystemKeyspaces(schema));
  const { log } = world.nodes[0].node.control;
  const { reason } = await log.propose({ kind: 'schema', change }, START_MILLIS);
  if (reason !== null) throw new TypeError(reason);
  await world.scheduler.sleep(2_000);
}

/** Waits until all that was begun is over. @returns what never was */
async function changesEnd(world: World<ClusterNode>, changes: RingChanges): Promise<string[]> {
  const end = world.now + RING_END_MILLIS;
  while (changes.unfinished().length > 0 && world.now < end) await world.runFor(1_000);
  // Those that a node stopped with may have been down when it did.
  for (const { running } of world.nodes) {
    if (running === null) return ['a node is down'];
  }
  return changes.unfinished();
}

/** When all has come to rest: reads everything once more. @param undecided see `judge` @returns problems */
export async function verdictOf(
  world: World<ClusterNode>,
  { workload, schema, isRing, kills }: Fates & { workload: Workload; schema: Schema },
  undecided: string[],
): Promise<string[]> {
  const batches = await world.settle(workload.readAll(), READ_MILLIS);
  const problems = judge(world, workload, undecided);
  problems.push(
    ...checkBatches(
      workload.batches.map(({ acknowledged }, i) => ({ ...batches[i], acknowledged })),
    ),
  );
  const tables = [...REPLICATED_TABLES, ...(isRing && !kills ? SINGLE_TABLES : [])];
  problems.push(...(await world.settle(repairAll(world, tables), READ_MILLIS)));
  await world.runFor(2_000);
  let held: readonly ReplicaContents[];
  try {
    held = await world.settle(contentsOf(world, schema, tables), READ_MILLIS);
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    return [...problems, `a replica cannot be read: ${error.message}`];
  }
  problems.push(...checkConvergence(held, ownersBy(world)));
  if (isRing) problems.push(...checkRing(world, schema), ...checkLeftovers(world, held));
  return problems;
}

export async function runSeed(
  seed: number,
  options: Partial<SimulationOptions> = {},
): Promise<SeedResult> {
  const isRing = options.ring === true;
  const {
    datacenters,
    replication,
    clients,
    faultMillis,
    faults,
    moments,
    pace,
    sabotage,
    ...rest
  } = { ...DEFAULT_SIMULATION, ...(isRing ? RING_NEMESIS : {}), ...options };
  const schema = simulationSchema(replication, sabotage?.readRepair);
  const lives: ClusterNode[] = [];
  const world = new World(seed, {
    places: placesOf(datacenters),
    isOver: (error) => error instanceof JoinRefusedError || error instanceof OwnPlaceError,
    create: (facts) => {
      const options = {
        schema,
        ...(sabotage === undefined ? {} : { sabotage }),
        ...(isRing ? { moves: ringStyle(world).moves } : {}),
      };
      const node = new ClusterNode(facts, options);
      lives.push(node);
      return node;
    },
  });
  for (const { disk } of world.nodes) sabotage?.disk?.(disk);
  await world.startAll(START_MILLIS);
  await world.runFor(5_000);
  const kills = isRing && (rest.kills ?? ringStyle(world).kills);
  const nodesMin = Math.max(...Object.values(datacenters));
  const changes = isRing
    ? new RingChanges(world, {
        ...{ nodesMin, nodesMax: nodesMin + 3, kills },
        intervalMillis: rest.ringMillis,
        prepare: ({ disk }) => sabotage?.disk?.(disk),
      })
    : null;
  if (changes !== null) await world.settle(agreeOnSchema(world, schema), START_MILLIS);
  const nemesis = new Nemesis(world, { faults, moments, ...pace });
  const quiet = isRing ? rest.quiet : 0;
  const fates = { isRing, kills };
  const workload = new Workload(world, datacentersWithReplicas(world), fates, quiet);
  const tables = isRing && rest.tables === true ? new FreshTables(world, kills) : null;
  workload.start(clients);
  tables?.start();
  nemesis.start();
  changes?.start();
  await world.runFor(faultMillis);
  changes?.stop();
  await nemesis.stop();
  await world.runFor(2_000);
  const problems: string[] = [];
  if (changes !== null) await world.runFor(RING_REST_MILLIS);
  workload.stop();
  tables?.stop();
  if (changes !== null) problems.push(...(await changesEnd(world, changes)));
  await world.runFor(REST_MILLIS);
  changes?.end();
  const undecided: string[] = [];
  problems.push(...(await verdictOf(world, { workload, schema, isRing, kills }, undecided)));
  if (tables !== null) problems.push(...(await world.settle(tables.check(), READ_MILLIS)));
  return {
    seed,
    problems,
    undecided,
    operations: Object.fromEntries(KINDS.map((kind) => [kind, world.history.outcomes(kind)])),
    tallies: talliesOf(workload, nemesis, lives, changes, tables),
    fingerprint: world.fingerprint(),
    history: world.history,
    trace: world.trace,
  };
}
