/**
 * What is to be done with certificates that somebody else issues, from what there is: pure, decided anew each time.
 *
 * Their issuer renews each of them by itself, one weeks after the other, and may come with another authority any time: after a change of
 * its own, or of which issuer is meant. So nodes do not mount what it writes. They mount copies, and a copy is made when all nodes have
 * been told of its authority, and have had the time to hear it:
 *
 *     shown       believed, and copies show certificates of them
 *     announced   believed, nothing of them is shown yet; all together become shown `settleMillis` after all nodes were told
 *     unused      shown until now; no longer believed when for `settleMillis` no copy has needed them
 *
 * Any number of authorities can be on their way at one time: what counts is what copies need, not which change it belongs to.
 */
import {
  bundleFrom,
  certificatesIn,
  endOf,
  isBelievedBy,
  type LeafState,
  type PlanTimes,
} from './certificate-plan.ts';
import type { KeyPair } from './x509.ts';

/** Authorities of a cluster, each a certificate. */
export interface Trust {
  readonly shown: readonly string[];
  readonly announced: readonly string[];
  /** Of those that are shown. */
  readonly unused: readonly string[];
  /** Since when all copies have been as this stage wants them, milliseconds since 1970; null: not yet. */
  readonly settledSince: number | null;
}

/** @see LeafState for the copy */
export interface IssuedLeaf extends LeafState {
  /** What the issuer has written, if it can be used. */
  readonly issued: { readonly pair: KeyPair; readonly authorities: readonly string[] } | null;
}

/** A copy that is to be written. */
export interface CopyStep {
  readonly leaf: IssuedLeaf;
  readonly pair: KeyPair;
  readonly bundle: string;
}

const unionOf = (lists: readonly (readonly string[])[]) => [...new Set(lists.flat())];
const without = (all: readonly string[], some: readonly string[]) =>
  all.filter((one) => !some.includes(one));

/** What nodes are to believe. */
export function bundleOfTrust({ shown, announced }: Trust): string {
  return bundleFrom([...shown, ...announced]);
}

/** Until when anybody takes it: its issuer may have an authority that ends first. Milliseconds since 1970; 0: nobody does. */
export function believedUntil(chain: string, authorities: readonly string[]): number {
  const roots = authorities.filter((one) => isBelievedBy(chain, [one]));
  const [, ...between] = certificatesIn(chain);
  return Math.min(...between.map(endOf), Math.max(0, ...roots.map(endOf)));
}

function firstTrust(
  leaves: readonly IssuedLeaf[],
  issuing: readonly string[],
): Omit<Trust, 'unused' | 'settledSince'> | null {
  const copies = leaves.flatMap(({ found }) => (found === null ? [] : [found]));
  if (copies.length === 0) return issuing.length === 0 ? null : { shown: issuing, announced: [] };
  // What was known of it is lost. That all believe what is shown is sure; of the rest nothing is.
  const believed = unionOf(copies.map(({ bundle }) => certificatesIn(bundle)));
  const shown = believed.filter((one) =>
    copies.some(({ pair }) => isBelievedBy(pair.certificate, [one])),
  );
  return { shown, announced: without(unionOf([believed, issuing]), shown) };
}

/** Those that neither the issuer uses nor a copy needs. Where that is not clear, none. */
function unusedOf(
  shown: readonly string[],
  leaves: readonly IssuedLeaf[],
  issuing: readonly string[],
) {
  const kept = shown.filter((one) => issuing.includes(one));
  const isEnough = leaves.every(
    ({ found }) => found === null || isBelievedBy(found.pair.certificate, kept),
  );
  return isEnough ? without(shown, kept) : [];
}

/**
 * @param trust null: there is none yet
 * @returns what it is to be next; null: it stays
 */
export function planTrust(
  trust: Trust | null,
  leaves: readonly IssuedLeaf[],
  now: number,
  { settleMillis }: PlanTimes,
): Trust | null {
  const issuing = unionOf(leaves.map(({ issued }) => issued?.authorities ?? []));
  const fresh = { unused: [], settledSince: null };
  if (trust === null) {
    const first = firstTrust(leaves, issuing);
    return first === null ? null : { ...first, ...fresh };
  }
  const { shown, announced, unused, settledSince } = trust;
  const isNew = without(issuing, [...shown, ...announced]);
  if (isNew.length > 0) {
    // Where there is no copy there is nobody who does not believe it.
    return leaves.every(({ found }) => found === null)
      ? { ...fresh, announced, shown: [...shown, ...isNew] }
      : { ...fresh, shown, announced: [...announced, ...isNew] };
  }
  const bundle = bundleOfTrust(trust);
  // One that is not there gets the bundle with its first certificate.
  const isEverywhere = leaves.every(({ found }) => found === null || found.bundle === bundle);
  const marked = isEverywhere ? { ...trust, settledSince: now } : null;
  const isSettled = settledSince !== null && now - settledSince >= settleMillis;
  if (announced.length > 0) {
    if (settledSince === null) return marked;
    return isSettled ? { ...fresh, shown: [...shown, ...announced], announced: [] } : null;
  }
  const found = unusedOf(shown, leaves, issuing);
  // One may be used again: the time of all begins anew.
  if (found.join() !== unused.join()) return { ...fresh, shown, announced, unused: found };
  if (unused.length === 0) return settledSince === null ? null : { ...trust, settledSince: null };
  if (settledSince === null) return marked;
  return isSettled ? { ...fresh, shown: without(shown, unused), announced } : null;
}

/** What a node is to show; null: nothing that all believe is there yet. */
function pairFor({ found, issued }: IssuedLeaf, trust: Trust, now: number): KeyPair | null {
  const current = found?.pair ?? null;
  if (issued === null) return current;
  const { certificate } = issued.pair;
  if (isBelievedBy(certificate, trust.shown)) return issued.pair;
  // Nobody takes one that has ended; some may take this one.
  const hasEnded = current !== null && now >= endOf(current.certificate);
  return hasEnded ? issued.pair : current;
}

/** Copies that are missing, or are not as they are to be. */
export function planCopies(
  trust: Trust,
  leaves: readonly IssuedLeaf[],
  now: number,
): readonly CopyStep[] {
  const bundle = bundleOfTrust(trust);
  return leaves.flatMap((leaf) => {
    const pair = pairFor(leaf, trust, now);
    if (pair === null) return [];
    const { found } = leaf;
    const isSame =
      found?.bundle === bundle &&
      found.pair.certificate === pair.certificate &&
      found.pair.key === pair.key;
    return isSame ? [] : [{ leaf, pair, bundle }];
  });
}
