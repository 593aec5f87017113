/** Looks for a planted bug: seed after seed, until a checker sees it. */
import type { PlantedBug } from './planted-bugs.ts';
import { runSeed } from './run.ts';

/** Of the world's time, unless the bug asks for more. */
const FAULT_MILLIS = 10_000;

export interface Found {
  readonly seed: number;
  readonly problems: readonly string[];
}

/** @param from the first seed @returns null: not found within `bug.seeds` */
export async function huntBug(bug: PlantedBug, from = 1): Promise<Found | null> {
  const options = { faultMillis: FAULT_MILLIS, ...bug.cluster, sabotage: bug };
  for (let seed = from; seed < from + bug.seeds; seed++) {
    const { problems } = await runSeed(seed, options);
    if (problems.length > 0) return { seed, problems };
  }
  return null;
}
