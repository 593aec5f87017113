/**
 * The nodes of a cluster state, changed one at a time: with an index of the grid points that they own, so that neither a
 * look at a new node's tokens nor the change costs more in a larger cluster.
 */
import type { NodeInfo } from './cluster-state.ts';
import { bucketOfToken, GRID_BUCKETS } from './grid.ts';

type Nodes = ReadonlyMap<string, NodeInfo>;

/**
 * The nodes of a state that nobody has seen yet: entries that are applied one after another change them in place, since a
 * copy for each would take as long as there are nodes.
 */
export interface NodesDraft {
  nodes: Map<string, NodeInfo> | null;
}

/** One bit for each point of the grid that a node which has not left owns. By the map, which is not changed otherwise. */
const pointsOf = new WeakMap<Nodes, Uint8Array>();

function mark(points: Uint8Array, node: NodeInfo | undefined, owned: boolean): void {
  if (node === undefined || node.state === 'left') return;
  for (const token of node.tokens) {
    const bucket = bucketOfToken(token);
    const bit = 1 << (bucket & 7);
    if (owned) points[bucket >> 3] |= bit;
    else points[bucket >> 3] &= ~bit;
  }
}

function lookupPoints(nodes: Nodes): Uint8Array {
  const known = pointsOf.get(nodes);
  if (known !== undefined) return known;
  const points = new Uint8Array(GRID_BUCKETS / 8);
  for (const node of nodes.values()) mark(points, node, true);
  pointsOf.set(nodes, points);
  return points;
}

/** Whether one of the tokens, all on the grid, belongs to a node that has not left. */
export function ownsAny(nodes: Nodes, tokens: readonly bigint[]): boolean {
  const points = lookupPoints(nodes);
  return tokens.some((token) => {
    const bucket = bucketOfToken(token);
    return (points[bucket >> 3] & (1 << (bucket & 7))) !== 0;
  });
}

/**
 * The nodes with this one new or changed.
 * @param draft if it has these nodes they are changed in place; has the result afterwards
 */
export function withNodeIn(nodes: Nodes, node: NodeInfo, draft: NodesDraft): Nodes {
  const before = nodes.get(node.hostId);
  const points = lookupPoints(nodes);
  if (draft.nodes === null || draft.nodes !== nodes) {
    draft.nodes = new Map(nodes);
    pointsOf.set(draft.nodes, points.slice());
  }
  const next = draft.nodes;
  const nextPoints = lookupPoints(next);
  mark(nextPoints, before, false);
  mark(nextPoints, node, true);
  return next.set(node.hostId, node);
}
