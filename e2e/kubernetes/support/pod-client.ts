/** A driver of this machine that speaks to one pod of the cluster. */
import cassandra from 'cassandra-driver';
import type { Kubernetes } from './cluster.ts';

const CQL_PORT = 9042;
const { AllowListPolicy, DCAwareRoundRobinPolicy } = cassandra.policies.loadBalancing;

export interface PodAddress {
  readonly namespace: string;
  readonly pod: string;
  /** It is in. */
  readonly datacenter: string;
}

/** By a way through the API server; the pod asks the others. */
export async function withPod<T>(
  kube: Kubernetes,
  { namespace, pod, datacenter }: PodAddress,
  run: (client: cassandra.Client) => Promise<T>,
): Promise<T> {
  using forward = await kube.forward(namespace, `pod/${pod}`, CQL_PORT);
  const contact = `127.0.0.1:${forward.port}`;
  const client = new cassandra.Client({
    contactPoints: [contact],
    localDataCenter: datacenter,
    policies: {
      loadBalancing: new AllowListPolicy(new DCAwareRoundRobinPolicy(datacenter), [contact]),
    },
  });
  try {
    await client.connect();
    return await run(client);
  } finally {
    await client.shutdown();
  }
}
