/** What is there under the names that a cluster needs, and is not its own: nothing is changed about that, or begun beside it. */
import type { ClusterView } from '../observe/view.ts';
import type { Blocked } from './actions.ts';

export function takenNames({ cluster, foreign, predecessors }: ClusterView): readonly Blocked[] {
  const reason = 'NameTaken';
  const others = foreign.map((one) => {
    const message = `${one} is there and is not this cluster's: it stays as it is. Remove it, or give this cluster another name`;
    return { reason, message };
  });
  const [first] = predecessors;
  if (first === undefined) return others;
  const more = predecessors.length > 1 ? ` and ${predecessors.length - 1} more` : '';
  const message = `${first}${more} of another DatacenterCluster with the name ${cluster.metadata.name} is there still. Kubernetes removes what a deleted one leaves; what stays (--cascade=orphan, a machine that is gone), remove, or give this cluster another name`;
  return [...others, { reason, message }];
}
