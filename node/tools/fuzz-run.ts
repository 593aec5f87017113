/**
 * What all fuzz harnesses share: cases one after another, each from a seed of its own, for `SECONDS` of CPU time (wall
 * time says little of a process that may be stopped or share its core), and one line of JSON in the end.
 *
 * Environment: `SECONDS` (10), `SEED` of the first case (drawn), `CASES` (ends after so many; `SEED=n CASES=1` replays).
 */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const FINDINGS_MAX = 10;
const SETTLE_TURNS_MAX = 40;
/** Cases between two looks at the clock, and two turns of the event loop, where libraries free their buffers. */
const CASES_A_TURN = 32;
const HEAP_GROWTH_MIB_MAX = 32;
const RESIDENT_GROWTH_MIB_MAX = 256;
/** When what a process needs anyway is there: code is compiled, pools are filled. */
const WARM_SHARE = 0.25;

export interface FuzzHarness {
  readonly name: string;
  /**
   * One case. Throws what it finds.
   * @param seed 0 to 2^32 - 1; the same seed makes the same case
   * @returns what came of it, for the counts
   */
  run(seed: number): string;
  /** What is known of the case that has just failed. */
  describe?(): string;
  /** CPU time of one case above which it is a finding, in ms: far above what is usual and what a pause of the collector costs. */
  readonly caseMillisMax: number;
}

interface Memory {
  readonly heapMib: number;
  readonly residentMib: number;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function threadMillis(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

const toMib = (bytes: number) => Math.round((bytes / (1 << 20)) * 10) / 10;

/** What is left when nothing more is freed: buffers go in turns after the collection that found them unused. */
async function memoryAfter(collect: () => void): Promise<Memory> {
  let least = Number.POSITIVE_INFINITY;
  for (let unchanged = 0, i = 0; unchanged < 3 && i < SETTLE_TURNS_MAX; i++) {
    collect();
    await setTimeout(1);
    const { heapUsed, external } = process.memoryUsage();
    unchanged = heapUsed + external < least - (1 << 16) ? 0 : unchanged + 1;
    least = Math.min(least, heapUsed + external);
  }
  return { heapMib: toMib(least), residentMib: toMib(process.memoryUsage().rss) };
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** Runs one case. @returns what came of it, or the finding */
function runCase(harness: FuzzHarness, seed: number): string | Error {
  const before = threadMillis();
  try {
    const outcome = harness.run(seed);
    const millis = threadMillis() - before;
    assert.ok(millis < harness.caseMillisMax, `took ${millis} ms of CPU`);
    return outcome;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Runs a harness as the environment says. The exit code is 1 if anything was found. */
export async function runFuzz(harness: FuzzHarness): Promise<void> {
  const seconds = Number(process.env['SECONDS'] ?? '10');
  const firstSeed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32)) >>> 0;
  const casesMax = Number(process.env['CASES'] ?? Number.POSITIVE_INFINITY);
  const collect = garbageCollector();
  const outcomes: Record<string, number> = {};
  let crashes = 0;
  let cases = 0;
  let warm: Memory | null = null;
  while (cpuSeconds() < seconds && cases < casesMax && crashes < FINDINGS_MAX) {
    for (let i = 0; i < CASES_A_TURN && cases < casesMax; i++) {
      const seed = (firstSeed + cases++) >>> 0;
      const outcome = runCase(harness, seed);
      if (typeof outcome === 'string') {
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        continue;
      }
      crashes++;
      console.error(`SEED=${seed} CASES=1 ${harness.describe?.() ?? ''}\n${outcome.stack}`);
    }
    if (warm === null && cpuSeconds() >= seconds * WARM_SHARE) warm = await memoryAfter(collect);
    await new Promise(setImmediate);
  }
  const end = await memoryAfter(collect);
  console.log(
    JSON.stringify({
      harness: harness.name,
      firstSeed,
      cases,
      outcomes,
      crashes,
      cpuSeconds: Math.round(cpuSeconds() * 10) / 10,
      peakResidentMib: Math.round(process.resourceUsage().maxRSS / 1024),
      warm,
      end,
    }),
  );
  assert.equal(crashes, 0, 'there are findings');
  if (warm === null) return;
  assert.ok(end.heapMib - warm.heapMib < HEAP_GROWTH_MIB_MAX, 'the heap grew');
  assert.ok(end.residentMib - warm.residentMib < RESIDENT_GROWTH_MIB_MAX, 'the process grew');
}
