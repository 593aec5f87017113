/** Whether an image may follow what the cluster runs: by the version in its tag, before the first pod is touched. */
import type { Defaults } from '../observe/view.ts';
import type { Facts } from './facts.ts';

/** What is not compatible: the first number, and before 1.0 the second one, too. */
interface Release {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
}

/** @param text such as `v1.2.3`, `0.1.0-rc1`; null: no version */
function releaseOf(text: string): Release | null {
  const match = /^v?(\d+)\.(\d+)\.(\d+)([-+].*)?$/.exec(text);
  return match === null ? null : { text, major: Number(match[1]), minor: Number(match[2]) };
}

/** Of an image; null: its tag says nothing, or it has none. */
export function tagOf(image: string): string | null {
  const [name] = image.split('@');
  return /:([^:/]+)$/.exec(name)?.[1] ?? null;
}

/** Steps from one to the other that data and nodes beside each other have to live with. */
function stepsBetween(from: Release, to: Release): number {
  if (from.major !== to.major) {
    // 0.x to 1.0 is one, however many there were before.
    return to.major - from.major;
  }
  return to.major === 0 ? to.minor - from.minor : 0;
}

/** @param running versions of the members @returns why not, for people; null: it may, or nothing is known */
export function refusalOfImage(image: string, running: readonly string[]): string | null {
  const next = releaseOf(tagOf(image) ?? '');
  if (next === null) return null;
  for (const text of running) {
    const now = releaseOf(text);
    if (now === null) continue;
    const steps = stepsBetween(now, next);
    if (steps < 0) {
      return `the image ${image} is older than ${text}, which nodes run: it may not read their data. Set spec.image to ${text} or later`;
    }
    if (steps > 1) {
      return `the image ${image} is ${steps} steps from ${text}, which nodes run: only one at a time is tried out. Go to a version in between first`;
    }
  }
  return null;
}

/** Versions of the members, as far as they are known, oldest first. */
function running({ view, ring }: Facts): readonly string[] {
  const known = view.cluster.status?.version;
  if (!ring.known) return known === undefined ? [] : [known];
  const found = [...ring.members.values()].flatMap(({ state, version }) =>
    state === 'left' || version === '' ? [] : [version],
  );
  // 0.9.0 comes before 0.10.0.
  return [...new Set(found)].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/** Of the members; undefined: not known. */
export function oldestVersion(facts: Facts): string | undefined {
  return running(facts)[0];
}

/** Why the image of the spec is not rolled out; null: it may be. */
export function refusalOfVersion(facts: Facts, defaults: Defaults): string | null {
  return refusalOfImage(facts.view.cluster.spec.image ?? defaults.image, running(facts));
}
