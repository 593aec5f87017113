/** Objects of Kubernetes that several tests make. */

/** Number of the user that our images run as. */
export const USER = 65_532;

export interface PodOptions {
  readonly name: string;
  readonly image: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  /** Name of the Kubernetes node it must run on. */
  readonly node?: string;
  /** Name of the claim that holds its data. Not given: the data goes with the pod. */
  readonly claim?: string;
  /** Of whole CPUs. */
  readonly cpus?: number;
  readonly memory?: string;
  readonly graceSeconds?: number;
}

/** One database node alone, in a pod as strict as a namespace may demand (`restricted`), and more. */
export function databasePod({
  name,
  image,
  labels = {},
  finalizers = [],
  node,
  claim,
  cpus = 1,
  memory = '640Mi',
  graceSeconds = 60,
}: PodOptions): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels, finalizers },
    spec: {
      restartPolicy: 'Never',
      ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
      hostname: name,
      subdomain: 'all',
      terminationGracePeriodSeconds: graceSeconds,
      securityContext: {
        runAsNonRoot: true,
        fsGroup: USER,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'ilion',
          image,
          imagePullPolicy: 'Never',
          securityContext: {
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
          },
          // Of CPUs libuv sees only the limits of some kernels' cgroups; Kubernetes says it for sure.
          env: [
            {
              name: 'ILION_WORKERS',
              valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } },
            },
          ],
          resources: { requests: { cpu: '100m', memory }, limits: { cpu: String(cpus), memory } },
          readinessProbe: { httpGet: { path: '/readyz', port: 9180 }, periodSeconds: 1 },
          volumeMounts: [
            { name: 'data', mountPath: '/var/lib/ilion' },
            { name: 'tmp', mountPath: '/tmp' },
          ],
        },
      ],
      volumes: [
        {
          name: 'data',
          ...(claim === undefined
            ? { emptyDir: {} }
            : { persistentVolumeClaim: { claimName: claim } }),
        },
        { name: 'tmp', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } },
      ],
    },
  };
}

/** A claim of the class `standard`. */
export function volumeClaim(name: string, size: string): object {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'default' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: size } } },
  };
}

/** Names for the pods of `databasePod` with these labels: `NAME.all`, ready or not. */
export function namesOfPods(labels: Readonly<Record<string, string>>): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'all', namespace: 'default' },
    spec: { clusterIP: 'None', publishNotReadyAddresses: true, selector: labels },
  };
}
