/** A DatacenterCluster as tests look at it. */
import type { Kubernetes } from './cluster.ts';
import type { Operator } from './operator.ts';
import { until } from './processes.ts';

const SETTLE_MILLIS = 300_000;

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export interface KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly generation?: number;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
}

export interface ClusterObject extends KubeObject {
  readonly status?: {
    readonly observedGeneration?: number;
    readonly ready?: number;
    readonly desired?: number;
    readonly replicas?: number;
    readonly state?: string;
    readonly conditions?: readonly Condition[];
  };
}

export interface PodObject extends KubeObject {
  readonly spec: { readonly nodeName?: string };
  readonly status: { readonly podIP?: string; readonly conditions?: readonly Condition[] };
}

export interface DatabaseNodeObject extends KubeObject {
  readonly spec: { readonly datacenter: string; readonly rack: string };
  readonly status?: { readonly phase?: string; readonly conditions?: readonly Condition[] };
}

function isReady({ status: { conditions = [] } }: PodObject): boolean {
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

/** Ways to ask and change one DatacenterCluster. Everything throws ToolError, and Error when time is up. */
export class DatabaseCluster {
  readonly kube: Kubernetes;
  readonly name: string;
  readonly namespace: string;
  private readonly operator: Operator;

  constructor(operator: Operator, name: string, namespace: string) {
    this.operator = operator;
    this.kube = operator.kube;
    this.name = name;
    this.namespace = namespace;
  }

  /** In the cluster's namespace. */
  kubectl(args: readonly string[], milliseconds = 60_000): Promise<string> {
    return this.kube.kubectl(['-n', this.namespace, ...args], { milliseconds });
  }

  /** Makes it, and its namespace. @param manifest of one object, as text */
  async create(manifest: string): Promise<void> {
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: this.namespace } };
    await this.kube.apply(namespace);
    await this.kube.kubectl(['-n', this.namespace, 'apply', '-f', '-'], { input: manifest });
  }

  async look(): Promise<ClusterObject> {
    return (await this.kube.get(['-n', this.namespace, 'dcc', this.name])) as ClusterObject;
  }

  /** @param spec what changes */
  async patch(spec: Readonly<Record<string, unknown>>): Promise<void> {
    await this.kubectl([
      ...['patch', 'dcc', this.name],
      ...['--type=merge', '-p', JSON.stringify({ spec })],
    ]);
  }

  async scale(replicas: number): Promise<void> {
    await this.kubectl(['scale', `dcc/${this.name}`, `--replicas=${replicas}`]);
  }

  /** Objects of this cluster. */
  private async list<T>(kind: string): Promise<readonly T[]> {
    const selector = ['-l', `ilion.dev/cluster=${this.name}`];
    const list = (await this.kube.get(['-n', this.namespace, kind, ...selector])) as {
      readonly items: readonly T[];
    };
    return list.items;
  }

  pods(): Promise<readonly PodObject[]> {
    return this.list('pods');
  }

  claims(): Promise<readonly KubeObject[]> {
    return this.list('pvc');
  }

  nodes(): Promise<readonly DatabaseNodeObject[]> {
    return this.list('databasenodes');
  }

  /**
   * The operator has seen the spec as it is, all nodes that are wanted serve, and none is there that is not. The status alone
   * does not say so: while the operator is dead it is of before.
   */
  async settled(count: number, milliseconds = SETTLE_MILLIS): Promise<void> {
    await this.explained(`${count} nodes`, milliseconds, async () => {
      const { metadata, status = {} } = await this.look();
      const { observedGeneration, ready, desired, replicas, state } = status;
      const isSeen = observedGeneration === metadata.generation && state === 'Ready';
      if (!isSeen || [ready, desired, replicas].some((one) => one !== count)) return false;
      const pods = await this.pods();
      return pods.length === count && pods.every(isReady);
    });
  }

  /** Every pod is another one than these, and the cluster is settled. */
  async replacedPods(before: readonly PodObject[]): Promise<void> {
    const old = new Set(before.map(({ metadata }) => metadata.uid));
    await this.explained('new pods', SETTLE_MILLIS, async () => {
      const pods = await this.pods();
      return pods.length === before.length && pods.every(({ metadata }) => !old.has(metadata.uid));
    });
    await this.settled(before.length);
  }

  /** Waits for a condition of the cluster. */
  async condition(
    milliseconds: number,
    isMeant: (condition: Condition) => boolean,
  ): Promise<Condition> {
    return this.explained('the condition', milliseconds, async () =>
      (await this.look()).status?.conditions?.find(isMeant),
    );
  }

  async reaches(
    what: string,
    milliseconds: number,
    isSo: (cluster: ClusterObject) => boolean,
  ): Promise<void> {
    await this.explained(what, milliseconds, async () => isSo(await this.look()));
  }

  /** Shows all there is when time is up. */
  private async explained<T>(
    what: string,
    milliseconds: number,
    ask: () => Promise<T | null | false | undefined>,
  ): Promise<T> {
    try {
      return await until(what, milliseconds, ask);
    } catch (error) {
      await this.show();
      throw error;
    }
  }

  private async show(): Promise<void> {
    const parts = [
      this.kubectl(['get', 'dcc,dbn,pods,pvc', '-o', 'wide']),
      this.look().then(({ status }) => JSON.stringify(status?.conditions, null, 1)),
      this.operator.log(40),
    ];
    for (const part of parts) console.log(await part.catch(String));
  }
}
