/** Carries out what was decided. One action that fails does not stop the others: whatever is left is decided again. */

import type { Action } from '../decide/actions.ts';
import type { Decision } from '../decide/decide.ts';
import { placeOf } from '../observe/ring.ts';
import type { ClusterView, Refusal } from '../observe/view.ts';
import { hostIdOf, settingsKey } from '../observe/view.ts';
import type { Log } from '../ports/clock.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import { type DatabaseNodes, NodeCallError, type NodePlace } from '../ports/nodes.ts';
import { isSame } from '../resources/values.ts';

export interface ActDeps {
  readonly kube: KubeApi;
  readonly database: DatabaseNodes;
  readonly log: Log;
  /** Asked before each action. Not given: nobody else can lead. */
  isLeader?(): boolean;
}

export interface ActResult {
  /** Writes to the API server that were tried. */
  readonly writes: number;
  /** Actions that came to nothing, but for those that the database refused. */
  readonly failures: readonly { readonly action: string; readonly error: Error }[];
  /** What Kubernetes refused for what it says, or for who says it: with its words, for people. */
  readonly refusedWrites: readonly string[];
  /** What the database refused, by host id. */
  readonly refused: ReadonlyMap<string, Omit<Refusal, 'atMillis'>>;
  /** Host ids about which it did as it was told. */
  readonly granted: ReadonlySet<string>;
  /** Settings that nodes have taken, or may have, by host id. */
  readonly taken: ReadonlyMap<string, string>;
  /** Why keyspaces are not as is wanted, by their keys; null: they are. */
  readonly keyspaces: ReadonlyMap<string, string | null>;
}

/** Failures of the world; anything else is a bug and ends the reconciliation. */
function isExpected(error: unknown): error is KubeError | NodeCallError {
  return error instanceof KubeError || error instanceof NodeCallError;
}

function nameOf(action: Action): string {
  switch (action.do) {
    case 'apply':
    case 'create':
      return `${action.do} ${action.kind} ${action.object.metadata.name}`;
    case 'delete':
      return `delete ${action.kind} ${action.metadata.name}`;
    case 'apply-budgets':
      return 'apply PodDisruptionBudgets';
    case 'annotate':
      return `annotate Pod ${action.pod.name}`;
    case 'ensure-keyspace':
      return `ensure keyspace ${action.keyspace.name}`;
    case 'choose-first':
      return 'choose-first';
    case 'configure':
    case 'remove-node':
    case 'cancel':
      return `${action.do} ${action.hostId}`;
  }
}

export class Actor {
  private readonly deps: ActDeps;
  private readonly view: ClusterView;
  private writes = 0;
  private readonly failures: { action: string; error: Error }[] = [];
  private readonly refusedWrites: string[] = [];
  private readonly refused = new Map<string, Omit<Refusal, 'atMillis'>>();
  private readonly granted = new Set<string>();
  private readonly taken = new Map<string, string>();
  private readonly keyspaces = new Map<string, string | null>();
  /** Keys of keyspaces that were not there before. */
  private readonly made = new Set<string>();

  constructor(deps: ActDeps, view: ClusterView) {
    this.deps = deps;
    this.view = view;
  }

  /** @throws what is neither KubeError nor NodeCallError */
  async run(decision: Decision): Promise<ActResult> {
    await this.writeStatuses(decision);
    for (const action of decision.actions) {
      await this.attempt(nameOf(action), async () => {
        await this.carryOut(action).catch((error: unknown) => this.tellRefusal(action, error));
        if (action.do !== 'ensure-keyspace' || this.made.has(action.key)) await this.tell(action);
      });
    }
    const { writes, failures, refusedWrites, refused, granted, taken, keyspaces } = this;
    return { writes, failures, refusedWrites, refused, granted, taken, keyspaces };
  }

  private async attempt(name: string, run: () => Promise<void>): Promise<void> {
    try {
      if (this.deps.isLeader?.() === false) {
        throw new KubeError('CONFLICT', 'another operator may lead by now');
      }
      await run();
    } catch (error) {
      if (!isExpected(error)) throw error;
      // It is in the status, and asked for again later.
      if (error.code !== 'REFUSED' && error.code !== 'BUSY')
        this.failures.push({ action: name, error });
      const { code, message } = error;
      this.deps.log.warn('an action failed', { action: name, code, reason: message });
    }
  }

  /** Nodes first: what they have been given is written down before anything is made of it. */
  private async writeStatuses({ nodeStatuses, clusterStatus, actions }: Decision): Promise<void> {
    const { kube } = this.deps;
    const { nodes, cluster } = this.view;
    for (const { object, ...node } of nodes) {
      const status = nodeStatuses.get(hostIdOf({ object, ...node }));
      if (status === undefined || isSame(status, object.status)) continue;
      // It would not be deleted as the one that was looked at.
      if (actions.some((one) => one.do === 'delete' && one.metadata.uid === object.metadata.uid))
        continue;
      const { name, namespace, uid, resourceVersion } = object.metadata;
      await this.attempt(`status ${name}`, async () => {
        this.writes++;
        const metadata = { name, namespace, uid, resourceVersion };
        await kube.applyStatus('DatabaseNode', { metadata, status });
      });
    }
    if (isSame(clusterStatus, cluster.status)) return;
    const { name, namespace, uid, resourceVersion } = cluster.metadata;
    await this.attempt(`status ${name}`, async () => {
      this.writes++;
      // Of two operators one is refused: neither forgets what the other has decided.
      const metadata = { name, namespace, uid, resourceVersion };
      await kube.applyStatus('DatacenterCluster', { metadata, status: clusterStatus });
    });
  }

  private async carryOut(action: Action): Promise<void> {
    const { kube, database } = this.deps;
    switch (action.do) {
      case 'apply':
        this.writes++;
        // Each kind with its own objects: the compiler cannot follow the pair through a union.
        if (action.kind === 'Service') await kube.apply(action.kind, action.object);
        else await kube.apply(action.kind, action.object);
        return;
      case 'create':
        this.writes++;
        if (action.kind === 'Pod') await kube.create(action.kind, action.object);
        else await kube.create(action.kind, action.object);
        return;
      case 'delete': {
        this.writes++;
        const { name, namespace } = action.metadata;
        return kube.delete(action.kind, { name, namespace }, action.precondition);
      }
      case 'apply-budgets':
        for (const object of action.objects) {
          this.writes++;
          await kube.apply('PodDisruptionBudget', object);
        }
        return;
      case 'annotate':
        this.writes++;
        return kube.annotate(action.pod);
      case 'choose-first':
        return this.chooseFirst(action.uid);
      case 'remove-node':
        return this.told(action.hostId, (place) =>
          database.removeNode(place, action.hostId, action.dead),
        );
      case 'ensure-keyspace':
        return this.ensureKeyspace(action);
      case 'configure':
        return this.configure(action);
      case 'cancel':
        return this.told(action.hostId, (place) => database.cancel(place, action.operationId));
    }
  }

  private async ensureKeyspace({
    keyspace,
    key,
  }: Extract<Action, { readonly do: 'ensure-keyspace' }>): Promise<void> {
    const { ring } = this.view;
    if (!ring.known) throw new NodeCallError('UNREACHABLE', ring.why);
    try {
      const isNew = await this.deps.database.ensureKeyspace(ring.places[0], keyspace);
      this.keyspaces.set(key, null);
      if (isNew) this.made.add(key);
    } catch (error) {
      if (error instanceof NodeCallError && error.code === 'REFUSED') {
        this.keyspaces.set(key, error.message);
      }
      throw error;
    }
  }

  private async configure(action: Extract<Action, { readonly do: 'configure' }>): Promise<void> {
    const { hostId, address, settings, unknown, taken } = action;
    const { database } = this.deps;
    const place = placeOf(this.view.cluster, address);
    try {
      const found = await database.status(place, false);
      if (found.hostId !== hostId) throw new NodeCallError('UNREACHABLE', 'another node is there');
      // An answer that is lost leaves it open what it has.
      this.taken.set(hostId, unknown);
      await database.configure(place, settings);
      this.granted.add(settingsKey(hostId));
      this.taken.set(hostId, taken);
    } catch (error) {
      if (error instanceof NodeCallError && error.code === 'REFUSED') {
        this.refused.set(settingsKey(hostId), { reason: error.message, waits: false });
      }
      throw error;
    }
  }

  /** By the newest version of the cluster object: of two operators one is refused. */
  private async chooseFirst(uid: string): Promise<void> {
    const { kube } = this.deps;
    const { name, namespace } = this.view.cluster.metadata;
    const live = await kube.get('DatacenterCluster', { name, namespace });
    const known = this.view.cluster.status?.firstNode ?? '';
    if (live === null || (live.status?.firstNode ?? '') !== known) {
      throw new KubeError('CONFLICT', 'who starts the cluster was decided by somebody else');
    }
    const { resourceVersion, uid: own } = live.metadata;
    this.writes++;
    await kube.applyStatus('DatacenterCluster', {
      metadata: { name, namespace, uid: own, resourceVersion },
      status: { ...live.status, firstNode: uid },
    });
  }

  private async told(hostId: string, call: (place: NodePlace) => Promise<void>): Promise<void> {
    const { ring } = this.view;
    if (!ring.known) throw new NodeCallError('UNREACHABLE', ring.why);
    // Who is to go may stop in the middle of the answer.
    const own = ring.members.get(hostId)?.address.split(':')[0];
    const [place] = [...ring.places].sort(
      (a, b) => Number(a.address === own) - Number(b.address === own),
    );
    try {
      await call(place);
      this.granted.add(hostId);
    } catch (error) {
      if (error instanceof NodeCallError && (error.code === 'REFUSED' || error.code === 'BUSY')) {
        this.refused.set(hostId, { reason: error.message, waits: error.code === 'BUSY' });
      }
      throw error;
    }
  }

  /** A quota, a policy, a field that is wrong: what people have to know of. @throws the error */
  private async tellRefusal(action: Action, error: unknown): Promise<never> {
    const isRefusal =
      error instanceof KubeError && (error.code === 'INVALID' || error.code === 'FORBIDDEN');
    if (!isRefusal) throw error;
    const { apiVersion, kind, metadata } = action.about;
    const note = `Kubernetes refuses to ${nameOf(action)}: ${error.message}`;
    this.refusedWrites.push(note);
    await this.deps.kube.event({
      regarding: { apiVersion, kind, metadata },
      ...{ type: 'Warning', reason: 'Refused', action: action.do, note },
    });
    throw error;
  }

  private async tell({ about, reason, note, ...action }: Action): Promise<void> {
    this.deps.log.info(note, { reason, object: about.metadata.name, do: action.do });
    const { apiVersion, kind, metadata } = about;
    await this.deps.kube.event({
      regarding: { apiVersion, kind, metadata },
      ...{ type: 'Normal', reason, action: action.do, note },
    });
  }
}
