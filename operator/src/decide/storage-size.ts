/** How large a volume is to be: as the spec says, and more when it gets full, if it may. */
import type { Claim } from '../ports/kube-objects.ts';
import { bytesOf, quantityOf } from '../resources/values.ts';
import type { Facts, NodeFacts } from './facts.ts';

const PERCENT = 20;
/** Of what was asked for: a file system keeps some for itself. */
const LEAST_SHARE = 0.8;
/** A file system that is larger is not the volume's own. */
const MOST_SHARE = 1.25;

export interface TargetSize {
  readonly size: string;
  /** Why it is no larger though it is full, for people; empty: it is not full. */
  readonly problem: string;
}

/** Larger of two quantities. */
function larger(a: string, b: string): string {
  return bytesOf(b) > bytesOf(a) ? b : a;
}

/** What was asked for is there: the volume, and the file system on it. */
function hasGrown({ status, spec }: Claim, fileSystem: number): boolean {
  const wanted = bytesOf(spec.resources.requests.storage);
  const capacity = status?.capacity?.storage;
  if (capacity !== undefined && bytesOf(capacity) < wanted) return false;
  return fileSystem >= wanted * LEAST_SHARE;
}

export function targetSize(node: NodeFacts, { view }: Facts): TargetSize {
  const { storage } = view.cluster.spec;
  const { claim } = node.view;
  const plain = (size: string): TargetSize => ({ size, problem: '' });
  if (claim === null) return plain(storage.size);
  const has = claim.spec.resources.requests.storage;
  // It has grown before, and nobody can take that back.
  const least = larger(storage.size, has);
  const { autogrow } = storage;
  const disk = view.disks.get(node.hostId);
  if (autogrow === undefined || disk === undefined) return plain(least);
  if (bytesOf(least) > bytesOf(has)) return plain(least);
  const used = (1 - disk.freeBytes / disk.bytes) * 100;
  if (used < autogrow.threshold || disk.bytes > bytesOf(has) * MOST_SHARE) return plain(least);
  if (bytesOf(has) >= bytesOf(autogrow.max)) {
    const problem = `the volume of ${node.name} is full to ${autogrow.threshold} % and more, and as large as it may be (${autogrow.max}): raise spec.storage.autogrow.max, or add nodes`;
    return { size: least, problem };
  }
  if (!hasGrown(claim, disk.bytes)) return plain(least);
  const { step, percent = PERCENT } = autogrow;
  const more = step === undefined ? (bytesOf(has) * percent) / 100 : bytesOf(step);
  const next = quantityOf(bytesOf(has) + more);
  return plain(bytesOf(next) > bytesOf(autogrow.max) ? autogrow.max : next);
}
