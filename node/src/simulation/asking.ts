/** What clients of a simulated cluster ask, and are told. */
import type { CqlError } from '../common/errors.ts';
import { Level } from '../coordinator/levels.ts';
import { type Answer, decodeError } from '../transport/client-codec.ts';
import { readRows } from '../transport/plain-rows.ts';
import { Opcode } from '../transport/protocol.ts';
import { CLIENT_VERSION, type ClusterNode } from './cluster-node.ts';
import type { SeededRandom } from './random.ts';
import type { NodeSlot, World } from './world.ts';

/** A client gives up on an answer. */
const PATIENCE_MILLIS = 12_000;

export type Rows = readonly (readonly (Buffer | null)[])[];
/** What a client was told. */
export type Told = { readonly rows: Rows } | { readonly error: CqlError };

/** How a statement is sent. */
export interface Sending {
  readonly consistency: number;
  readonly serial?: number;
  readonly timestamp?: bigint;
  readonly datacenter?: string | null;
  readonly pageSize?: number;
  /** The node that is asked; null: any. */
  readonly at?: NodeSlot<ClusterNode> | null;
}

function told(answer: Answer): Told {
  if (answer.opcode === Opcode.Error) return { error: decodeError(answer.body, CLIENT_VERSION) };
  const isRows = answer.body.readInt32BE(0) === 2;
  return { rows: isRows ? readRows(answer).rows : [] };
}

/** Asks a node that serves. @returns null: no answer came, or the node died */
export async function ask(
  world: World<ClusterNode>,
  random: SeededRandom,
  text: string,
  sending: Sending,
): Promise<Told | null> {
  const { consistency, serial = Level.SERIAL, timestamp, datacenter = null, pageSize } = sending;
  const { at = null } = sending;
  const nodes = world.alive.filter(
    (slot) =>
      slot.running?.isServing &&
      (datacenter === null || slot.place.datacenter === datacenter) &&
      (at === null || at === slot),
  );
  if (nodes.length === 0) return null;
  const { node, disk } = random.pick(nodes);
  const parameters = {
    consistency,
    serialConsistency: serial,
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(pageSize === undefined ? {} : { pageSize }),
  };
  const answer = await new Promise<Answer | null>((resolve) => {
    const nothing = () => end(null);
    const forget = disk.atCrash(nothing);
    const cancel = world.scheduler.after(PATIENCE_MILLIS, nothing);
    const end = (found: Answer | null) => {
      forget();
      cancel();
      resolve(found);
    };
    void node.query(text, parameters).then(end);
  });
  return answer === null ? null : told(answer);
}
