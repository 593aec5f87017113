/**
 * One reconciliation of a cluster: look at what watches have brought; if that calls for anything, look at what is really there,
 * decide by that, and do it. Old news is never acted on, and what needs nothing costs the API server nothing.
 */
import { type ActDeps, Actor } from '../act/act.ts';
import { type Decision, decide } from '../decide/decide.ts';
import { type ObserveDeps, observe } from '../observe/observe.ts';
import type { Source } from '../observe/source.ts';
import {
  type ClusterView,
  type Defaults,
  type DiskUse,
  disruptionKey,
  type KeyspaceState,
  type Refusal,
} from '../observe/view.ts';
import type { CertificateState, Certificates } from '../ports/certificates.ts';
import type { Clock } from '../ports/clock.ts';
import { type Key, KubeError } from '../ports/kube.ts';
import type { Volume } from '../ports/kube-objects.ts';
import { type DisruptionReply, NodeCallError } from '../ports/nodes.ts';

export interface ReconcileDeps extends ActDeps {
  readonly clock: Clock;
  readonly certificates: Certificates;
  readonly defaults: Defaults;
  /** What watches have brought. */
  readonly cache: Source;
  /** The API server. */
  readonly live: Source;
  /** Evenly in [0, 1). */
  random(): number;
}

export interface ReconcileResult {
  /** To the API server. */
  readonly writes: number;
  readonly failures: number;
  /** When to look again if nothing is heard, seconds; null: never. */
  readonly again: number | null;
}

/** Answers lead to more questions at most so often. */
const ASKING_ROUNDS = 3;
/** Kept of what the database refused. */
const REFUSALS_MAX = 1_000;
const VOLUMES_MAX = 1_000;
const KEYSPACES_MAX = 10_000;
const DISK_KEPT_MILLIS = 3_600_000;
/** What is forgotten is in the status by then. */
const TAKEN_MAX = 10_000;
/** What watches have brought is not relied on for longer. */
const RESYNC_MILLIS = 600_000;

export class Reconciler {
  private readonly deps: ReconcileDeps;
  /** By cluster, as long as something is refused. */
  private readonly refusedWrites = new Map<string, readonly string[]>();
  private readonly refusals = new Map<string, Refusal>();
  private readonly taken = new Map<string, string>();
  private readonly keyspaces = new Map<string, KeyspaceState>();
  private readonly disks = new Map<string, DiskUse>();
  /** By name, of those whose pods have found no place. */
  private readonly volumes = new Map<string, Volume>();
  /** When a cluster was last looked at as it is; clusters that are gone are taken out. */
  private readonly looked = new Map<string, number>();

  constructor(deps: ReconcileDeps) {
    this.deps = deps;
  }

  /** @throws KubeError if what there is cannot be read */
  async reconcile(key: Key): Promise<ReconcileResult> {
    const { cache, live } = this.deps;
    const seen = await this.look(cache, key);
    const name = `${key.namespace}/${key.name}`;
    if (seen === null) {
      this.looked.delete(name);
      this.refusedWrites.delete(name);
      return { writes: 0, failures: 0, again: null };
    }
    const first = this.decide(seen.view);
    // What was refused is not wanted any more.
    if (first.actions.length === 0) this.refusedWrites.delete(name);
    const isCalm = first.actions.length === 0 && first.asks.length === 0 && !first.isStatusNew;
    const now = this.deps.clock.nowMillis();
    const isFresh = now - (this.looked.get(name) ?? 0) < RESYNC_MILLIS;
    if (isCalm && isFresh) return { writes: seen.writes, failures: 0, again: first.again };
    this.looked.set(name, now);
    const real = await this.look(live, key);
    this.forgetDisks();
    if (real === null) return { writes: seen.writes, failures: 0, again: null };
    const { view, decision } = await this.decideWithAnswers(real.view);
    const result = await new Actor(this.deps, view).run(decision);
    const atMillis = this.deps.clock.nowMillis();
    this.noteRefusals(name, result.refusedWrites);
    for (const hostId of result.granted) this.refusals.delete(hostId);
    for (const [hostId, refusal] of result.refused) this.refuse(hostId, { ...refusal, atMillis });
    for (const [key, problem] of result.keyspaces) this.noteKeyspace(key, { problem, atMillis });
    for (const [hostId, settings] of result.taken) this.take(hostId, settings);
    const { failures } = result;
    const writes = result.writes + seen.writes + real.writes;
    return { writes, failures: failures.length, again: decision.again };
  }

  /** Of nodes that nobody has asked for long: they are gone. */
  private forgetDisks(): void {
    const old = this.deps.clock.nowMillis() - DISK_KEPT_MILLIS;
    for (const [hostId, { atMillis }] of this.disks) if (atMillis < old) this.disks.delete(hostId);
  }

  private noteRefusals(cluster: string, refused: readonly string[]): void {
    if (refused.length === 0) this.refusedWrites.delete(cluster);
    else this.refusedWrites.set(cluster, refused);
  }

  private noteKeyspace(key: string, state: KeyspaceState): void {
    this.keyspaces.delete(key);
    this.keyspaces.set(key, state);
    const [oldest] = this.keyspaces.keys();
    if (this.keyspaces.size > KEYSPACES_MAX) this.keyspaces.delete(oldest);
  }

  private take(hostId: string, settings: string): void {
    this.taken.delete(hostId);
    this.taken.set(hostId, settings);
    const [oldest] = this.taken.keys();
    if (this.taken.size > TAKEN_MAX) this.taken.delete(oldest);
  }

  private refuse(hostId: string, refusal: Refusal): void {
    this.refusals.delete(hostId);
    this.refusals.set(hostId, refusal);
    const [oldest] = this.refusals.keys();
    if (this.refusals.size > REFUSALS_MAX) this.refusals.delete(oldest);
  }

  /** Where a volume can be never changes. Null is looked for again. */
  private async volume(name: string): Promise<Volume | null> {
    const known = this.volumes.get(name);
    if (known !== undefined) return known;
    try {
      const found = await this.deps.kube.get('PersistentVolume', { namespace: '', name });
      if (found === null) return null;
      const [oldest] = this.volumes.keys();
      if (this.volumes.size >= VOLUMES_MAX) this.volumes.delete(oldest);
      this.volumes.set(name, found);
      return found;
    } catch (error) {
      // Without the right to read volumes less is known of why a pod has no place.
      if (!(error instanceof KubeError) || error.code !== 'FORBIDDEN') throw error;
      return null;
    }
  }

  private decide(view: ClusterView): Decision {
    const { defaults, random } = this.deps;
    return decide(view, { defaults, random });
  }

  private async look(
    source: Source,
    key: Key,
  ): Promise<{ readonly view: ClusterView; readonly writes: number } | null> {
    const { certificates, clock, database } = this.deps;
    let writes = 0;
    const deps: ObserveDeps = {
      database,
      volume: (volume) => this.volume(volume),
      nowMillis: clock.nowMillis(),
      refusedWrites: this.refusedWrites.get(`${key.namespace}/${key.name}`) ?? [],
      refusals: this.refusals,
      taken: this.taken,
      keyspaces: this.keyspaces,
      disks: this.disks,
      certificates: async (cluster, nodes): Promise<CertificateState | null> => {
        if (cluster.spec.tls.mode === 'None') return null;
        const state = await certificates.ensure(
          cluster,
          nodes.map(({ object }) => object),
        );
        writes += state.writes;
        return state;
      },
    };
    const view = await observe(source, key, deps);
    return view === null ? null : { view, writes };
  }

  private async decideWithAnswers(
    view: ClusterView,
  ): Promise<{ readonly view: ClusterView; readonly decision: Decision }> {
    const disruptions = new Map<string, DisruptionReply>();
    let current = view;
    let decision = this.decide(current);
    for (let round = 0; round < ASKING_ROUNDS && decision.asks.length > 0; round++) {
      for (const hostIds of decision.asks) {
        disruptions.set(disruptionKey(hostIds), await this.ask(view, hostIds));
      }
      current = { ...view, disruptions: new Map(disruptions) };
      decision = this.decide(current);
    }
    return { view: current, decision };
  }

  /** Who does not know says no. */
  private async ask({ ring }: ClusterView, hostIds: readonly string[]): Promise<DisruptionReply> {
    if (!ring.known) return { allowed: false, reason: ring.why };
    try {
      return await this.deps.database.checkDisruption(ring.places[0], hostIds);
    } catch (error) {
      if (!(error instanceof NodeCallError)) throw error;
      return { allowed: false, reason: error.message };
    }
  }
}
