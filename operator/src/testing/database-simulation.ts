/**
 * Operator and database in one world, under a seed: the real reconciler over an API server in memory, real database nodes in the
 * pods, clients that write and check. Edits and faults, then peace; then all must be as the spec says, and nothing lost that was acknowledged.
 */
import { SeededRandom } from '../../../node/src/simulation/random.ts';
import { agreeOnSchema, verdictOf } from '../../../node/src/simulation/run.ts';
import { simulationSchema } from '../../../node/src/simulation/simulation-schema.ts';
import { Workload } from '../../../node/src/simulation/workload.ts';
import type { ClusterSpec, ClusterStatus } from '../api/datacenter-cluster.ts';
import { MemoryApi } from '../memory/memory-api.ts';
import type { Log } from '../ports/clock.ts';
import type { KubeApi } from '../ports/kube.ts';
import { LABELS } from '../resources/names.ts';
import { liveSource } from '../runtime/cache.ts';
import { type Engine, startEngine } from '../runtime/engine.ts';
import { Reconciler } from '../runtime/reconcile.ts';
import { DatabaseWorld, EPOCH_MILLIS } from './database-world.ts';
import { type Bug, SIMULATED_SPEC } from './simulation.ts';

export interface DatabaseSimulationOptions {
  readonly seed: number;
  /** Edits and faults. */
  readonly steps?: number;
  /** Names of those that are to come, in the place of chance. */
  readonly script?: readonly string[];
  readonly clients?: number;
  /** A mistake of an operator, to be found. */
  readonly bug?: Bug;
  /** Gets what the operator does and what befalls it. */
  tell?(seconds: number, text: string): void;
}

export interface DatabaseSimulationResult {
  readonly violations: readonly string[];
  /** By how they ended. */
  readonly requests: Readonly<Record<string, number>>;
  readonly steps: readonly string[];
  readonly virtualSeconds: number;
}

/** Of bugs that look at the world of the fake ring. */
const NOT_HERE = null as never;
const KEY = { namespace: 'default', name: 'demo' };
const REPLICATION = "{'class': 'NetworkTopologyStrategy', 'dc1': 3}";
const CREATED_MILLIS = 300_000;
const CONVERGED_MILLIS = 900_000;
/** Of it clients go on for so long. */
const SERVED_MILLIS = 120_000;
const LOOK_MILLIS = 1_000;
/** Hints are replayed, what was left open is ended. */
const REST_MILLIS = 40_000;
const NODES_MAX = 5;
const KINDS = ['register', 'cas', 'counter'];
const SPEC: ClusterSpec = {
  ...SIMULATED_SPEC,
  healing: { replaceAfter: '30s', maxReplacements: 1 },
};

/** Calls of a process that has ended never come back. */
function ofLife<T extends object>(
  calls: T,
  life: { readonly isOver: boolean },
  before: () => Promise<void>,
): T {
  return new Proxy(calls, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function' || name === 'watch') {
        return typeof value === 'function' ? value.bind(target) : value;
      }
      return async (...parameters: unknown[]) => {
        const never = new Promise<never>(() => {});
        await before();
        if (life.isOver) await never;
        try {
          return await value.apply(target, parameters);
        } finally {
          if (life.isOver) await never;
        }
      };
    },
  });
}

/** The API as a plain object, where each pod that is deleted is looked at before. */
function watchingDeletions(database: DatabaseWorld): KubeApi {
  const { api } = database;
  const names = Object.getOwnPropertyNames(MemoryApi.prototype) as (keyof KubeApi)[];
  const calls = names
    .filter((name) => typeof api[name] === 'function')
    .map((name) => [name, api[name].bind(api)]);
  const plain = Object.fromEntries(calls) as KubeApi;
  return {
    ...plain,
    delete: (kind, key, precondition) => {
      const found = api.find(kind, key.name, key.namespace);
      if (kind === 'Pod' && found?.metadata.uid === precondition.uid) database.watchDeletion(found);
      return plain.delete(kind, key, precondition);
    },
  };
}

class DatabaseSimulation {
  private readonly options: DatabaseSimulationOptions;
  private readonly schema = simulationSchema(REPLICATION);
  private readonly database: DatabaseWorld;
  private readonly random: SeededRandom;
  private readonly cluster;
  private readonly taken: string[] = [];
  private life = { isOver: false };
  private engine: Engine;

  constructor(options: DatabaseSimulationOptions) {
    this.options = options;
    this.database = new DatabaseWorld(options.seed, this.schema);
    this.random = new SeededRandom(options.seed, 'operator and database');
    const racks = this.random.chance(0.5)
      ? { racks: ['a', 'b', 'c'].map((name) => ({ name })) }
      : {};
    this.cluster = this.database.api.put('DatacenterCluster', {
      ...{ apiVersion: 'ilion.dev/v1alpha1', kind: 'DatacenterCluster', metadata: { ...KEY } },
      spec: { ...SPEC, ...racks },
    });
    this.engine = this.startOperator();
  }

  private get world() {
    return this.database.world;
  }

  private tell(text: string): void {
    this.options.tell?.(this.world.now / 1000, text);
  }

  private startOperator(): Engine {
    const { database, random, options } = this;
    const { scheduler } = this.world;
    const life = { isOver: false };
    this.life = life;
    const line = (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      this.tell(`  ${message} ${JSON.stringify(fields)}`);
    const log: Log = { info: line, warn: line, error: line };
    const delay = (most: number) => () => scheduler.sleep(random.between(1, most));
    const watched = watchingDeletions(database);
    const { bug } = options;
    const kube = ofLife(bug?.kube?.(watched, NOT_HERE) ?? watched, life, delay(20));
    const plain = database.nodes();
    const nodes = ofLife(bug?.database?.(plain, NOT_HERE) ?? plain, life, async () => {});
    const clock = {
      nowMillis: () => EPOCH_MILLIS + scheduler.now,
      after: (millis: number, run: () => void) =>
        scheduler.after(millis, () => {
          if (!life.isOver) run();
        }),
    };
    return startEngine({
      ...{ kube, clock, log, namespaces: [] },
      reconciled: () => {},
      reconciler: (cache) =>
        new Reconciler({
          ...{ kube, cache, log, clock, database: nodes, defaults: { image: 'ilion:1' } },
          live: liveSource(kube, cache),
          certificates: {
            ensure: async () => ({
              ...{ ready: new Set<string>(), problem: null, writes: 0, dueMillis: null },
            }),
          },
          random: () => random.next(),
        }),
    });
  }

  private edit(change: (spec: Record<string, unknown>) => void): void {
    this.database.api.edit('DatacenterCluster', this.cluster, ({ spec = {} }) => change(spec));
  }

  /** Something happens. */
  private step(): void {
    const { random, database } = this;
    const { api } = database;
    const pods = api.all('Pod').filter(({ spec }) => spec?.['nodeName'] !== undefined);
    const nodes = api.all('DatabaseNode');
    const harm = (run: () => void) => {
      database.lastHarmMillis = this.world.now;
      run();
    };
    const events: Readonly<Record<string, () => void>> = {
      scale: () => {
        const now = Number(this.cluster.spec?.['replicas']);
        const next = [3, 4, NODES_MAX].filter((count) => count !== now);
        this.edit((spec) => (spec['replicas'] = random.pick(next)));
      },
      settings: () => this.edit((spec) => (spec['config'] = { numTokens: 8 + random.below(9) })),
      'process killed': () => {
        const { running } = random.pick(this.world.nodes);
        if (running?.isStarted)
          harm(() => this.database.slotOf(running.facts.hostId)?.crash('process'));
      },
      'pod deleted': () => {
        if (!database.isHealthy() || pods.length === 0) return;
        const { metadata } = random.pick(pods);
        harm(() => void api.delete('Pod', metadata, { uid: metadata.uid }));
      },
      'volume lost': () => {
        if (!database.isHealthy() || nodes.length < 3) return;
        harm(() => database.loseVolume(random.pick(nodes).metadata.uid));
      },
      'operator ends': () => {
        // Another one is to come.
        if (this.life.isOver) return;
        this.life.isOver = true;
        void this.engine.stop();
        const downMillis = random.chance(0.3) ? 30_000 : 2_000;
        this.world.scheduler.after(downMillis, () => {
          this.engine = this.startOperator();
        });
      },
      'to be removed': () => {
        if (nodes.length > 3) this.mark(random.pick(nodes).metadata.name, 'remove');
      },
      'to be replaced': () => {
        if (database.isHealthy()) this.mark(random.pick(nodes).metadata.name, 'replace');
      },
    };
    const names = [...Object.keys(events), 'scale', 'volume lost'];
    const name = this.options.script?.[this.taken.length] ?? random.pick(names);
    this.taken.push(name);
    this.tell(`-- ${name}`);
    events[name]();
  }

  private mark(name: string, field: 'remove' | 'replace'): void {
    const { api } = this.database;
    const node = api.find('DatabaseNode', name);
    if (node !== undefined) api.edit('DatabaseNode', node, ({ spec = {} }) => (spec[field] = true));
  }

  /** What is not as it should be yet. */
  private unfinished(): string[] {
    const { database, cluster } = this;
    const wanted = Number(cluster.spec?.['replicas']);
    const status = cluster.status as ClusterStatus | undefined;
    const state = database.state();
    const nodes = database.api.all('DatabaseNode');
    const pods = database.api.all('Pod');
    const claims = database.api.all('PersistentVolumeClaim').filter(({ metadata }) => {
      const labels = metadata['labels'] as Readonly<Record<string, string>>;
      return labels[LABELS.released] !== 'true';
    });
    const members = [...(state?.nodes.values() ?? [])].filter((one) => one.state !== 'left');
    const conditions = status?.conditions?.filter((one) => one.status === 'False') ?? [];
    const why = conditions.map(({ type, reason, message }) => `${type} ${reason} ${message}`);
    const checks: readonly (readonly [boolean, string])[] = [
      [status?.state === 'Ready', `the state is ${status?.state}: ${why.join('; ')}`],
      [nodes.length === wanted, `${nodes.length} objects, not ${wanted}`],
      [members.length === wanted, `${members.length} members, not ${wanted}`],
      [pods.length === wanted, `${pods.length} pods, not ${wanted}`],
      [claims.length === wanted, `${claims.length} volumes, not ${wanted}`],
      [state?.operations.length === 0, `ranges move: ${database.moving().join('; ')}`],
      [database.isHealthy(), 'a member does not serve'],
    ];
    return checks.filter(([isFine]) => !isFine).map(([, message]) => message);
  }

  private async until(open: () => string[], millisMax: number): Promise<string[]> {
    const end = this.world.now + millisMax;
    let left = open();
    while (left.length > 0 && this.world.now < end && this.database.violations.length === 0) {
      await this.world.runFor(LOOK_MILLIS);
      left = open();
    }
    return left;
  }

  private async history(steps: number): Promise<void> {
    const { world, database, random, schema, options } = this;
    const { violations } = database;
    const created = await this.until(() => this.unfinished(), CREATED_MILLIS);
    if (created.length > 0) violations.push(`not created: ${created.join('; ')}`);
    if (violations.length > 0) return;
    await world.settle(agreeOnSchema(world, schema), CREATED_MILLIS);
    const fates = { isRing: true, kills: true };
    const workload = new Workload(world, ['dc1'], fates, 4);
    workload.start(options.clients ?? 2);
    await world.runFor(5_000);
    for (let step = 0; step < steps && violations.length === 0; step++) {
      this.step();
      await world.runFor(random.between(1_000, random.chance(0.5) ? 5_000 : 40_000));
    }
    this.tell('-- peace');
    this.edit((spec) => (spec['config'] = {}));
    await this.until(() => this.unfinished(), SERVED_MILLIS);
    workload.stop();
    const open = await this.until(() => this.unfinished(), CONVERGED_MILLIS);
    if (open.length > 0) violations.push(`not done in the end: ${open.join('; ')}`);
    if (violations.length > 0) return;
    await world.runFor(REST_MILLIS);
    // Volumes that were lost with their nodes have no process any more.
    for (const slot of world.nodes) if (slot.running === null) slot.isRetired = true;
    violations.push(...(await verdictOf(world, { ...fates, workload, schema }, [])));
  }

  async run(steps: number): Promise<DatabaseSimulationResult> {
    await this.history(steps);
    this.life.isOver = true;
    const requests: Record<string, number> = {};
    for (const kind of KINDS) {
      for (const [outcome, count] of Object.entries(this.world.history.outcomes(kind))) {
        requests[outcome] = (requests[outcome] ?? 0) + count;
      }
    }
    return {
      violations: this.database.violations,
      requests,
      steps: this.taken,
      virtualSeconds: Math.round(this.world.now / 1000),
    };
  }
}

export function simulateDatabase(
  options: DatabaseSimulationOptions,
): Promise<DatabaseSimulationResult> {
  const steps = options.steps ?? options.script?.length ?? 6;
  return new DatabaseSimulation(options).run(steps);
}
