/** Who has written to the API server, by its own counters. */
import type { Kubernetes } from './cluster.ts';

const WRITES: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE', 'APPLY']);
/** Leases and heartbeats of nodes, which never stand still; and questions that are asked by POST. */
const ALWAYS: ReadonlySet<string> = new Set([
  'leases',
  'nodes/status',
  'tokenreviews',
  'subjectaccessreviews',
  'serviceaccounts/token',
]);

/** @returns so far, by what was written, such as `PATCH pods/status`, without what always goes on */
export async function countWrites(kube: Kubernetes): Promise<ReadonlyMap<string, number>> {
  const text = await kube.kubectl(['get', '--raw', '/metrics']);
  const counts = new Map<string, number>();
  for (const [, labels, value] of text.matchAll(/^apiserver_request_total\{(.*)\} (\S+)$/gm)) {
    const label = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
    const part = label('subresource');
    const what = `${label('resource')}${part === '' ? '' : `/${part}`}`;
    if (!WRITES.has(label('verb')) || ALWAYS.has(what)) continue;
    const key = `${label('verb')} ${what}`;
    counts.set(key, (counts.get(key) ?? 0) + Number(value));
  }
  return counts;
}

/** @returns what has been written between the two, such as `PATCH pods/status: 3` */
export function writesBetween(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): readonly string[] {
  return [...after]
    .map(([key, count]) => [key, count - (before.get(key) ?? 0)] as const)
    .filter(([, more]) => more > 0)
    .map(([key, more]) => `${key}: ${more}`);
}
