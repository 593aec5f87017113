/** A Kubernetes with the operator of this tree, installed with its chart, and what can be asked of it and done to it. */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Kubernetes, startKubernetes } from './cluster.ts';
import { packImage } from './image.ts';
import { until } from './processes.ts';

export const TREE = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const NAMESPACE = 'ilion';
const RELEASE = 'ilion-operator';
const INSTALL_MILLIS = 150_000;

export interface OperatorOptions {
  /** Of Kubernetes. */
  readonly nodes: number;
  /** As of `startKubernetes`. */
  readonly net?: number;
  /** Of the chart, as `--set` takes them. */
  readonly values?: readonly string[];
  /** The image of the load is wanted, too. */
  readonly hasLoad?: boolean;
}

/** Names of images that every node of Kubernetes has. */
export interface Images {
  readonly node: string;
  readonly operator: string;
  readonly load: string;
}

export interface Operator extends AsyncDisposable {
  readonly kube: Kubernetes;
  readonly images: Images;
  /** From `helm install` until its pod was ready, seconds. */
  readonly installSeconds: number;
  /** The most memory that the running process ever had, bytes; null: it is not running. */
  peakBytes(): Promise<number | null>;
  /** A metric's sum over its labels. */
  metric(name: string): Promise<number>;
  /** SIGKILL; Kubernetes makes another pod. */
  kill(): Promise<void>;
  /** As an update of its chart would stop it. */
  stop(): Promise<void>;
  log(lines: number): Promise<string>;
}

const chartImage = (key: string, name: string): string[] => {
  const colon = name.lastIndexOf(':');
  const set = `${key}.repository=${name.slice(0, colon)},${key}.tag=${name.slice(colon + 1)}`;
  return ['--set', set];
};

/** Of the only child of its first process, which passes on signals. */
const PEAK = `read pid < /proc/1/task/1/children
  while read -r name value unit; do [ "$name" != VmHWM: ] || echo "$value"; done < /proc/$pid/status`;
const KILL = 'read pid < /proc/1/task/1/children; kill -9 "$pid"';

async function install(kube: Kubernetes, images: Images, values: readonly string[]) {
  const began = performance.now();
  await kube.helm(
    [
      ...['install', RELEASE, join(TREE, 'helm/ilion-operator'), '--namespace', NAMESPACE],
      ...['--create-namespace', '--wait', '--timeout', `${INSTALL_MILLIS - 30_000}ms`],
      ...chartImage('image', images.operator),
      ...chartImage('databaseImage', images.node),
      ...values.flatMap((value) => ['--set', value]),
    ],
    { milliseconds: INSTALL_MILLIS },
  );
  return (performance.now() - began) / 1000;
}

/** @throws ToolError if this machine cannot run it (ask `unavailable` first) */
export async function startOperator(options: OperatorOptions): Promise<Operator> {
  const { nodes, net, values = [], hasLoad = false } = options;
  const programs = ['node', 'operator', ...(hasLoad ? (['load'] as const) : [])] as const;
  const packed = programs.map((program) => packImage(program));
  const images = { node: '', operator: '', load: '' };
  const kube = await startKubernetes({ nodes, ...(net === undefined ? {} : { net }) });
  const run = (args: readonly string[]) => kube.kubectl(['-n', NAMESPACE, ...args]);
  const pods = ['pods', '-l', `app.kubernetes.io/instance=${RELEASE}`];
  try {
    for (const [i, { name, archive }] of packed.entries()) {
      images[programs[i]] = name;
      await kube.loadImage(archive);
    }
    const installSeconds = await install(kube, images, values);
    return {
      kube,
      images,
      installSeconds,
      peakBytes: async () => {
        try {
          const text = await run(['exec', `deploy/${RELEASE}`, '--', 'sh', '-c', PEAK]);
          return Number(text) * 1024;
        } catch {
          return null;
        }
      },
      metric: async (name) => {
        const { items } = (await kube.get(['-n', NAMESPACE, ...pods])) as {
          items: { metadata: { name: string } }[];
        };
        const path = `/api/v1/namespaces/${NAMESPACE}/pods/${items[0].metadata.name}:8080/proxy/metrics`;
        return sumOf(name, await kube.kubectl(['get', '--raw', path]));
      },
      kill: async () => {
        await run(['exec', `deploy/${RELEASE}`, '--', 'sh', '-c', KILL]);
        // In the same pod it would be started again later and later.
        await run(['delete', ...pods, '--grace-period=0', '--force', '--wait=false']);
      },
      stop: async () => {
        await run(['delete', ...pods, '--wait=false']);
      },
      log: (lines) => run(['logs', `deploy/${RELEASE}`, `--tail=${lines}`]),
      [Symbol.asyncDispose]: () => kube[Symbol.asyncDispose](),
    };
  } catch (error) {
    await kube[Symbol.asyncDispose]();
    throw error;
  }
}

/** @param text in the form of Prometheus @returns the sum of all samples of the name that `isMeant` */
export function sumOf(
  name: string,
  text: string,
  isMeant: (labels: ReadonlyMap<string, string>) => boolean = () => true,
): number {
  let sum = 0;
  for (const [, labels = '', value] of text.matchAll(
    new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'),
  )) {
    const all = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, is]) => [key, is] as const);
    if (isMeant(new Map(all))) sum += Number(value);
  }
  return sum;
}

/** Between two kills: the next may come while the successor of the last waits for the Lease, which takes 15 s. */
const PAUSE_MILLIS: readonly [least: number, most: number] = [12_000, 45_000];

/** Kills or stops the operator again and again, at moments that chance chooses, until it is disposed of. */
export class OperatorKills implements AsyncDisposable {
  private count = 0;
  private peak = 0;
  private isGoing = true;
  private wake: () => void = () => {};
  private readonly operator: Operator;
  private readonly ended: Promise<void>;

  constructor(operator: Operator) {
    this.operator = operator;
    this.ended = this.run();
  }

  /** How often it was. */
  get kills(): number {
    return this.count;
  }

  /** The most memory that any of the killed had, bytes. */
  get peakBytes(): number {
    return this.peak;
  }

  private async run(): Promise<void> {
    const [least, most] = PAUSE_MILLIS;
    for (;;) {
      const { promise, resolve: wake } = Promise.withResolvers<void>();
      this.wake = wake;
      const timer = setTimeout(wake, least + Math.random() * (most - least));
      await promise;
      clearTimeout(timer);
      if (!this.isGoing) return;
      this.peak = Math.max(this.peak, (await this.operator.peakBytes()) ?? 0);
      // The API server may be busy: the next one comes.
      await (Math.random() < 0.7 ? this.operator.kill() : this.operator.stop()).catch(() => {});
      this.count++;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isGoing = false;
    this.wake();
    await this.ended;
    const isUp = async () => (await this.operator.peakBytes()) !== null;
    await until('the operator', 60_000, isUp);
  }
}
