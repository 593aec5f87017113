/** Which keys clients meet at: a few hot ones, and those that have come up lately. */
import type { SeededRandom } from './random.ts';

const RECENT_MAX = 8;

export class RecentKeys {
  private readonly random: SeededRandom;
  private readonly hotCount: number;
  private next: number;

  constructor(random: SeededRandom, hotCount: number) {
    this.random = random;
    this.hotCount = hotCount;
    this.next = hotCount;
  }

  hot(): number {
    return this.random.below(this.hotCount);
  }

  /** One that nobody has used. */
  fresh(): number {
    return this.next++;
  }

  /** A hot one, or one of the last that were fresh. */
  any(): number {
    const recent = Math.min(RECENT_MAX, this.next - this.hotCount);
    if (recent === 0 || this.random.chance(0.5)) return this.hot();
    return this.next - 1 - this.random.below(recent);
  }

  /** All that were used. */
  all(): number[] {
    return Array.from({ length: this.next }, (_, key) => key);
  }
}
