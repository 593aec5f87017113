/** What only a Kubernetes can give a cluster. */
import type { ClusterSpec } from '../api/datacenter-cluster.ts';

/** What `ilion dev` cannot do of a spec, with the field and the cure; null: it can do all. */
export function notHere({ tls }: Pick<ClusterSpec, 'tls'>): string | null {
  const cure = 'take Operator (as without it) or None';
  switch (tls.mode) {
    case 'Secret':
      return `spec.tls.mode: is 'Secret', and \`ilion dev\` has no Kubernetes to find a Secret in: ${cure}`;
    case 'CertManager':
      return `spec.tls.mode: is 'CertManager', and \`ilion dev\` has no Kubernetes with a cert-manager: ${cure}`;
    default:
      return null;
  }
}
