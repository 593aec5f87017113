/**
 * Waiting for a schema, or a topology, to be everywhere: whoever changed it goes on when all nodes that are up have it.
 * Peers wait here until this node has it.
 */
import type { Responder } from '../internode/links.ts';

const WAITS_MAX = 4_096;
const EPOCH_BYTES = 8;

interface Wait {
  readonly epoch: number;
  readonly responder: Responder;
}

export function encodeEpoch(epoch: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(EPOCH_BYTES);
  bytes.writeBigUInt64BE(BigInt(epoch));
  return bytes;
}

/** @returns null if malformed */
export function decodeEpoch(body: Uint8Array): number | null {
  if (body.length !== EPOCH_BYTES) return null;
  return Number(Buffer.from(body).readBigUInt64BE());
}

/**
 * Many changes at one time need not ask the others for each of them.
 * @param round resolves when they have a schema of this epoch
 * @returns the same; who asks while a round for this epoch, or a later one, is under way waits for that
 */
export function sharedRounds(
  round: (epoch: number) => Promise<void>,
): (epoch: number) => Promise<void> {
  const under = new Map<number, Promise<void>>();
  return (epoch) => {
    for (const [later, running] of under) if (later >= epoch) return running;
    const running = round(epoch).finally(() => under.delete(epoch));
    under.set(epoch, running);
    return running;
  };
}

export class EpochWaits {
  /** Of what this node has. */
  epoch = 0;
  private waiting: Wait[] = [];

  /** This node has what is of this epoch. */
  reached(epoch: number): void {
    this.epoch = epoch;
    const done = this.waiting.filter((wait) => wait.epoch <= epoch);
    this.waiting = this.waiting.filter((wait) => wait.epoch > epoch);
    for (const { responder } of done) responder.answer(new Uint8Array(0));
  }

  /** @param body of `encodeEpoch` */
  serve(body: Uint8Array, responder: Responder): void {
    const epoch = decodeEpoch(body);
    if (epoch === null) {
      responder.fail('FAILED', 'not an epoch');
      return;
    }
    if (epoch <= this.epoch) {
      responder.answer(new Uint8Array(0));
      return;
    }
    // Who asked has given up on the oldest ones by then.
    if (this.waiting.length === WAITS_MAX) this.waiting.shift()?.responder.fail('OVERLOADED', '');
    this.waiting.push({ epoch, responder });
  }
}
