/** Who makes and renews the certificates of a cluster. */
import type { DatabaseNode, DatacenterCluster } from '../api/objects.ts';

/** Secret with `tls.crt`, `tls.key` and `ca.crt` (all authorities that are to be trusted) of a node. */
export function certificateSecretName(nodeName: string): string {
  return `${nodeName}-tls`;
}

export interface CertificateState {
  /** Names of the DatabaseNodes whose Secret is there and valid. */
  readonly ready: ReadonlySet<string>;
  /** What is in the way, and what to do; null: nothing. */
  readonly problem: string | null;
  /** Objects that were written. */
  readonly writes: number;
  /** Until something is due; null: nothing is. */
  readonly dueMillis: number | null;
}

export interface Certificates {
  /**
   * Makes what is missing and renews what is due: the authority, a Secret `<node>-tls` for each node, those of the operator itself.
   * Level-triggered: it can end between any two writes. Not called with tls.mode None.
   * @throws KubeError
   */
  ensure(cluster: DatacenterCluster, nodes: readonly DatabaseNode[]): Promise<CertificateState>;
}
