/**
 * What is to be done about a cluster's certificates, from what there is: pure, one step after the other, each decided anew.
 *
 * An authority changes with overlap, so that at no time a node shows what another does not believe:
 *
 *     steady      signer A             believed: A      certificates of A
 *     announced   signer A, next B     believed: A, B   certificates of A, until all nodes have had both for `settleMillis`
 *     signing     signer B, old A      believed: B, A   certificates of A are made anew by B, the same wait
 *     steady      signer B             believed: B
 *
 * An authority that was lost (its Secret deleted) is one without a key that has a next one.
 */
import { X509Certificate } from 'node:crypto';
import { isSignedBy, type KeyPair, type Names, validityOf } from './x509.ts';

/** Parts of their lives after which certificates are renewed. */
const RENEWED_AT = 2 / 3;
const FACTS_MAX = 4_096;
/** Of certificates between one and its root. */
const CHAIN_MAX = 8;
/** Extended key usage: serverAuth, clientAuth. */
const BOTH_SIDES = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];

export interface AuthorityState {
  /** Its key is empty if it was lost. */
  readonly signer: KeyPair;
  readonly next: KeyPair | null;
  /** Certificates that are believed still. */
  readonly old: readonly string[];
  /** Since when all nodes have had what this stage is about, milliseconds since 1970; null: not yet. */
  readonly settledSince: number | null;
  /** Somebody wants another authority. */
  readonly renewalWanted: boolean;
}

/** A certificate that is wanted, and what there is of it. */
export interface LeafState {
  /** Of its Secret. */
  readonly secret: string;
  readonly names: Names;
  /** Null: there is none. */
  readonly found: { readonly pair: KeyPair; readonly bundle: string } | null;
}

/** Where authorities come from: made here, or given. */
export type AuthoritySource =
  | { readonly kind: 'own' }
  /** Null: not to be had at this time; what there is goes on. */
  | { readonly kind: 'given'; readonly pair: KeyPair | null };

export interface PlanTimes {
  /** That nodes take at the longest until they use what is in their Secrets. */
  readonly settleMillis: number;
}

export type AuthorityStep =
  /** There is none. @see AuthorityState for `believed`: what nodes have of one that was lost */
  | { readonly kind: 'make'; readonly believed: readonly string[] }
  | { readonly kind: 'announce' }
  | { readonly kind: 'mark' }
  | { readonly kind: 'promote' }
  | { readonly kind: 'forget-old' };

export interface LeafStep {
  readonly leaf: LeafState;
  /** Null: the certificate stays. */
  readonly signer: KeyPair | null;
  /** That goes with it. */
  readonly bundle: string;
}

interface Facts {
  readonly from: number;
  readonly until: number;
  readonly altNames: string;
  /** What it may be used for, by number; empty: anything. */
  readonly uses: readonly string[];
}

const factsOf = bounded((certificate): Facts | null => {
  try {
    const { subjectAltName, keyUsage } = new X509Certificate(certificate);
    const names = { altNames: subjectAltName ?? '', uses: keyUsage ?? [] };
    return { ...validityOf(certificate), ...names };
  } catch {
    return null;
  }
});
const signedBy = bounded((both) => {
  const [certificate, authority] = JSON.parse(both) as [string, string];
  try {
    return isSignedBy(certificate, authority);
  } catch {
    return false;
  }
});

/** Reading certificates costs time, and they are the same for weeks. */
function bounded<T>(compute: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    if (known.has(text)) return known.get(text) as T;
    const value = compute(text);
    for (const oldest of known.keys()) {
      if (known.size < FACTS_MAX) break;
      known.delete(oldest);
    }
    known.set(text, value);
    return value;
  };
}

export function isIssuedBy(certificate: string, authority: string): boolean {
  return signedBy(JSON.stringify([certificate, authority]));
}

/** When it is renewed, milliseconds since 1970; at once if it cannot be read. */
export function renewalOf(certificate: string): number {
  const facts = factsOf(certificate);
  if (facts === null) return 0;
  return facts.from + (facts.until - facts.from) * RENEWED_AT;
}

export function endOf(certificate: string): number {
  return factsOf(certificate)?.until ?? 0;
}

/** @returns the certificates in a bundle, each with its line end */
export function certificatesIn(bundle: string): readonly string[] {
  const found = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((one) => `${one}\n`);
}

/** @returns one text of all of them, each once */
export function bundleFrom(certificates: readonly string[]): string {
  return [...new Set(certificates.map((one) => `${one.trim()}\n`))].join('');
}

/** All that are to be believed, the same order every time. */
export function bundleOf({ signer, next, old }: AuthorityState): string {
  return bundleFrom([signer.certificate, ...(next === null ? [] : [next.certificate]), ...old]);
}

/** @param chain a certificate, and those between it and its root if there are any */
export function isBelievedBy(chain: string, authorities: readonly string[]): boolean {
  const [leaf = '', ...between] = certificatesIn(chain);
  let current = leaf;
  for (let i = 0; i < CHAIN_MAX && current !== ''; i++) {
    const below = current;
    const makers = authorities.filter((one) => isIssuedBy(below, one));
    if (makers.some((one) => isIssuedBy(one, one))) return true;
    current = [...makers, ...between].find((one) => one !== below && isIssuedBy(below, one)) ?? '';
  }
  return false;
}

export function hasNames(certificate: string, { dns, addresses }: Names): boolean {
  const found = new Set((factsOf(certificate)?.altNames ?? '').split(', '));
  return (
    dns.every((name) => found.has(`DNS:${name}`)) &&
    addresses.every((one) => found.has(`IP Address:${one}`))
  );
}

/** Whether it may be shown by both sides of TLS. */
export function isForBothSides(certificate: string): boolean {
  const uses = factsOf(certificate)?.uses ?? [];
  return uses.length === 0 || BOTH_SIDES.every((one) => uses.includes(one));
}

/** Nothing can be signed: the key of the authority is lost, and not all believe the next one yet. */
export function isKeyLost({ signer }: AuthorityState): boolean {
  return signer.key === '';
}

/** Who signs what is made now, or next. */
function signerOf({ signer, next }: AuthorityState): KeyPair {
  return signer.key === '' && next !== null ? next : signer;
}

/** Whether it does for the time being. */
function isGood({ names, found }: LeafState, authority: AuthorityState, now: number): boolean {
  if (found === null) return false;
  const { certificate } = found.pair;
  const { signer, next } = authority;
  if (!hasNames(certificate, names) || now >= endOf(certificate)) return false;
  // One that ends with its authority gets no longer by being made anew.
  const gains = endOf(certificate) < endOf(signerOf(authority).certificate);
  if (now >= renewalOf(certificate) && gains) return false;
  // What an old one has signed is made anew as soon as the new one signs.
  if (next !== null && isIssuedBy(certificate, next.certificate)) return true;
  // Somebody else's may be several, and have others in between.
  return signer.key === ''
    ? isBelievedBy(certificate, certificatesIn(signer.certificate))
    : isIssuedBy(certificate, signer.certificate);
}

/** Whether all there is has come where this stage wants it. */
function isEverywhere(authority: AuthorityState, leaves: readonly LeafState[]): boolean {
  const bundle = bundleOf(authority);
  return leaves.every(({ found }) =>
    found === null
      ? isKeyLost(authority)
      : found.bundle === bundle &&
        (authority.next !== null ||
          isIssuedBy(found.pair.certificate, authority.signer.certificate)),
  );
}

/**
 * @param authority null: there is none yet
 * @returns the one thing to do next about the authority; null: nothing now
 */
export function planAuthority(
  authority: AuthorityState | null,
  source: AuthoritySource,
  leaves: readonly LeafState[],
  now: number,
  { settleMillis }: PlanTimes,
): AuthorityStep | null {
  if (authority === null) {
    if (source.kind === 'given' && source.pair === null) return null;
    const found = leaves.flatMap((leaf) => certificatesIn(leaf.found?.bundle ?? ''));
    return { kind: 'make', believed: [...new Set(found)] };
  }
  const { signer, next, old, settledSince, renewalWanted } = authority;
  // Those of others have no key here: the cluster had an issuer until now.
  const isAtHand = source.kind === 'own' || source.pair !== null;
  if (next === null && signer.key === '') return isAtHand ? { kind: 'announce' } : null;
  if (next === null && old.length === 0) {
    const isDue =
      source.kind === 'own'
        ? now >= renewalOf(signer.certificate) || renewalWanted
        : source.pair !== null && source.pair.certificate.trim() !== signer.certificate.trim();
    return isDue ? { kind: 'announce' } : null;
  }
  if (settledSince === null) return isEverywhere(authority, leaves) ? { kind: 'mark' } : null;
  if (now - settledSince < settleMillis) return null;
  return next === null ? { kind: 'forget-old' } : { kind: 'promote' };
}

/** What is to be written for leaves: those that are missing, wrong, due, or have another bundle. */
export function planLeaves(
  authority: AuthorityState,
  leaves: readonly LeafState[],
  now: number,
): readonly LeafStep[] {
  const bundle = bundleOf(authority);
  const steps: LeafStep[] = [];
  for (const leaf of leaves) {
    const isMade = !isGood(leaf, authority, now) && !isKeyLost(authority);
    if (isMade) steps.push({ leaf, signer: authority.signer, bundle });
    else if (leaf.found !== null && leaf.found.bundle !== bundle) {
      steps.push({ leaf, signer: null, bundle });
    }
  }
  return steps;
}

/** @returns when something is due next if nobody changes anything, milliseconds since 1970 */
export function dueAt(
  authority: AuthorityState,
  leaves: readonly LeafState[],
  source: AuthoritySource,
  { settleMillis }: PlanTimes,
): number {
  const signerEnd = endOf(signerOf(authority).certificate);
  const times = leaves.flatMap(({ found }) => {
    if (isKeyLost(authority)) return [];
    const certificate = found?.pair.certificate ?? '';
    return endOf(certificate) < signerEnd ? renewalOf(certificate) : signerEnd;
  });
  if (authority.settledSince !== null) times.push(authority.settledSince + settleMillis);
  else if (source.kind === 'own') times.push(renewalOf(authority.signer.certificate));
  return Math.min(...times);
}
