/** Two clusters may have one name: those who belong to different ones do not speak with each other. */
import type { LinkContext } from './context.ts';

/**
 * @param theirs id of the peer's cluster; empty: it is not in one yet, and may come into this one
 * @returns why this node does not speak with the peer; null: it does
 */
export function clusterProblem(
  { clusterId, clusterName }: Pick<LinkContext, 'clusterId' | 'clusterName'>,
  theirs: string,
): string | null {
  const own = clusterId();
  if (own === '' || theirs === '' || own === theirs) return null;
  return `there are two clusters named '${clusterName}', ${own} and ${theirs}: a node is of one of them. Give them different names, or look at seeds and addresses`;
}
