/** The application of ../load, in a pod. */
import type { EndReport, PhaseReport } from '../load/main.ts';
import type { DatabaseCluster } from './database-cluster.ts';
import { USER } from './manifests.ts';
import { until } from './processes.ts';

const NAME = 'load';
const PORT = 8080;
const START_MILLIS = 120_000;
const PAUSE_MILLIS = 25;

export interface LoadPodOptions {
  readonly image: string;
  readonly datacenter: string;
  /** Of its rows. */
  readonly replicas: number;
  /** The node of Kubernetes it runs on. */
  readonly node: string;
}

export interface LoadPod {
  /** What has been since the last call. */
  phase(): Promise<PhaseReport>;
  /** Ends the load and reads all that was acknowledged. */
  end(): Promise<EndReport>;
}

function podOf(cluster: DatabaseCluster, options: LoadPodOptions): object {
  const settings: Readonly<Record<string, string | number>> = {
    CONTACT: `${cluster.name}.${cluster.namespace}.svc`,
    DATACENTER: options.datacenter,
    REPLICAS: options.replicas,
    PORT,
    PAUSE_MILLIS,
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: NAME, namespace: cluster.namespace },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      nodeSelector: { 'kubernetes.io/hostname': options.node },
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: USER },
      containers: [
        {
          name: NAME,
          image: options.image,
          imagePullPolicy: 'Never',
          env: Object.entries(settings).map(([name, value]) => ({
            name: `LOAD_${name}`,
            value: String(value),
          })),
          readinessProbe: { tcpSocket: { port: PORT }, periodSeconds: 1 },
          resources: { requests: { cpu: '50m', memory: '128Mi' } },
        },
      ],
    },
  };
}

/** @returns when requests are under way */
export async function startLoadPod(
  cluster: DatabaseCluster,
  options: LoadPodOptions,
): Promise<LoadPod> {
  const { kube, namespace } = cluster;
  await kube.apply(podOf(cluster, options));
  const ask = async (path: string) => {
    const url = `/api/v1/namespaces/${namespace}/pods/${NAME}:${PORT}/proxy/${path}`;
    return JSON.parse(await kube.kubectl(['get', '--raw', url])) as unknown;
  };
  const phase = async () => (await ask('phase')) as PhaseReport;
  await until('the load', START_MILLIS, async () => (await phase()).requests > 0);
  return { phase, end: async () => (await ask('end')) as EndReport };
}
