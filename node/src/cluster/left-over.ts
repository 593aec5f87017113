/**
 * What a node still keeps for others: writes for nodes that were away, batches that it finishes if their coordinators do
 * not. One that leaves stays until nothing is left.
 *
 *   u8 1 | u8 1 if all is known | u32 hints | u64 bytes of hints | u32 batches
 */

const VERSION = 1;
const BYTES = 18;

export interface LeftOver {
  readonly hints: number;
  readonly hintBytes: number;
  /** Null: it has not looked yet. */
  readonly batches: number | null;
}

export const NOTHING_LEFT: LeftOver = { hints: 0, hintBytes: 0, batches: 0 };

/** Of all workers of a node. */
export function sumOf(parts: readonly LeftOver[]): LeftOver {
  return parts.reduce(
    (sum, { hints, hintBytes, batches }) => ({
      hints: sum.hints + hints,
      hintBytes: sum.hintBytes + hintBytes,
      batches: sum.batches === null || batches === null ? null : sum.batches + batches,
    }),
    NOTHING_LEFT,
  );
}

export function isNothing({ hints, batches }: LeftOver): boolean {
  return hints === 0 && batches === 0;
}

/** For people. */
export function describeLeftOver({ hints, hintBytes, batches }: LeftOver): string {
  const mib = (hintBytes / 2 ** 20).toFixed(1);
  return `${hints} hints (${mib} MiB) and ${batches ?? 'some'} logged batches`;
}

export function encodeLeftOver({ hints, hintBytes, batches }: LeftOver): Uint8Array {
  const out = Buffer.alloc(BYTES);
  out[0] = VERSION;
  out[1] = batches === null ? 0 : 1;
  out.writeUInt32BE(hints, 2);
  out.writeBigUInt64BE(BigInt(hintBytes), 6);
  out.writeUInt32BE(batches ?? 0, 14);
  return out;
}

/** @returns null: malformed */
export function decodeLeftOver(body: Uint8Array): LeftOver | null {
  if (body.length !== BYTES || body[0] !== VERSION) return null;
  const isKnown = body[1] === 1;
  const bytes = Buffer.from(body);
  const batches = bytes.readUInt32BE(14);
  return {
    hints: bytes.readUInt32BE(2),
    hintBytes: Number(bytes.readBigUInt64BE(6)),
    batches: isKnown ? batches : null,
  };
}
