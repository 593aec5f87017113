/** Two processes with one host id, as when a data directory was copied: the second one must not start. */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { encodeEpoch } from '../cluster/epoch-waits.ts';
import { LinkError, type Links, request, Verb } from '../internode/links.ts';

/** Whoever is there answers in milliseconds; an address where nothing is must not keep the start up for long. */
const ANSWER_MILLIS = 1_500;

/** Another process runs with this node's identity; the message says where, and what to do. */
export class TwinError extends Error {
  readonly code = 'TWIN';
  constructor({ hostId, address, controlPort }: NodeInfo) {
    super(
      `a node with the host id of this one, ${hostId}, is alive at ${address}:${controlPort}: was its data directory copied? Stop that one first, or start this one with a new data directory`,
    );
    this.name = 'TwinError';
  }
}

/**
 * Asks where this node was before, if that is elsewhere: a link there is refused by any other node.
 * @param known what the cluster has of this node; undefined: it is new
 * @param self what its settings say
 * @throws TwinError
 */
export async function refuseTwin(
  links: Links,
  known: NodeInfo | undefined,
  self: NodeInfo,
): Promise<void> {
  if (known === undefined) return;
  if (known.address === self.address && known.controlPort === self.controlPort) return;
  if (await answers(links, known)) throw new TwinError(known);
}

async function answers(links: Links, peer: NodeInfo): Promise<boolean> {
  try {
    await request(links, peer, Verb.AwaitSchema, encodeEpoch(0), ANSWER_MILLIS);
    return true;
  } catch (error) {
    // Its handler has failed, so that there is one.
    return error instanceof LinkError && error.code === 'FAILED';
  }
}
