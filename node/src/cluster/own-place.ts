/** Whether a member may start with the settings that it has. Source: Cassandra's StorageService, which checks the same. */
import type { NodeInfo } from './cluster-state.ts';

/** A member was given another place, or is no member any more: it must not start. The message says what to do. */
export class OwnPlaceError extends Error {
  readonly code = 'OWN_PLACE';
  constructor(message: string) {
    super(message);
    this.name = 'OwnPlaceError';
  }
}

/**
 * @param known what the cluster has of this node; undefined: it is new
 * @param self what its settings say
 * @throws OwnPlaceError
 */
export function requireOwnPlace(
  known: NodeInfo | undefined,
  self: Pick<NodeInfo, 'datacenter' | 'rack'>,
): void {
  if (known === undefined) return;
  if (known.state === 'left') {
    throw new OwnPlaceError(
      `this node (${known.hostId}) has left its cluster for good: start it with a new data directory`,
    );
  }
  requireSame('data_center', 'datacenter', known.datacenter, self.datacenter);
  requireSame('rack', 'rack', known.rack, self.rack);
}

function requireSame(option: string, what: string, old: string, given: string): void {
  if (old === given) return;
  throw new OwnPlaceError(
    `${option} is '${given}', but this node is in the ${what} '${old}' of its cluster and cannot change it: its data would not be where it is looked for. Set ${option} back to '${old}', or start the node with a new data directory`,
  );
}
