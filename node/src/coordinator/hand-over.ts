/**
 * Hints of a node that leaves, for nodes that are down: others keep them in its place.
 *
 *   HintKeep   u8 1 | 16 bytes: host id of the node that it is for | 16 bytes: id | a Mutation
 *
 * The id, a time UUID, says when the hint was stored first; under it it is kept, so that one that comes twice is one.
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Reader } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import { request, Verb } from '../internode/links.ts';
import { formatUuid, parseUuid } from '../types/uuid.ts';
import type { CoordinatorContext } from './context.ts';
import { DONE, MESSAGE_VERSION, readMutations } from './messages.ts';

const ID_BYTES = 16;
/** Nodes that are asked for one hint before it is tried again later. */
const KEEPERS_MAX = 4;

/** What one node keeps for another. */
export interface KeptHint {
  /** Of the node that it is for. */
  readonly hostId: string;
  readonly id: Uint8Array;
  /** A Mutation. */
  readonly message: Buffer;
}

/** @throws CqlError ProtocolError: malformed */
export function readKeptHint(body: Uint8Array): KeptHint {
  const reader = new Reader(body);
  if (reader.u8() !== MESSAGE_VERSION) throw protocolError('message version is not known');
  const hostId = formatUuid(Buffer.from(reader.raw(ID_BYTES)));
  const id = Buffer.from(reader.raw(ID_BYTES));
  const message = Buffer.from(body.subarray(1 + 2 * ID_BYTES));
  readMutations(message, () => {});
  return { hostId, id, message };
}

/** Those who may keep it: members that stay and are up, of this datacenter first, in any order. */
function keepersOf(context: CoordinatorContext, hostId: string): readonly NodeInfo[] {
  const { self, random } = context.deps;
  const fit = [...context.topology.nodes.values()].filter(
    (node) =>
      node.state === 'normal' &&
      node.hostId !== hostId &&
      !context.isSelf(node) &&
      context.isAlive(node),
  );
  const far = (node: NodeInfo) => (node.datacenter === self.datacenter ? 0 : 1);
  return fit
    .map((node) => ({ node, place: far(node) + random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ node }) => node)
    .slice(0, KEEPERS_MAX);
}

/** @returns whether another node has it, durably. Never throws. */
export async function handOver(
  context: CoordinatorContext,
  { hostId, id, message }: KeptHint,
): Promise<boolean> {
  const { deps, options } = context;
  const host = parseUuid(hostId) ?? new Uint8Array(ID_BYTES);
  const body = Buffer.concat([DONE, host, id, message]);
  for (const node of keepersOf(context, hostId)) {
    try {
      await request(deps.links, node, Verb.HintKeep, body, options.writeTimeoutMillis);
      return true;
    } catch {
      // It has no room for it, or does not answer: another may.
    }
  }
  return false;
}
