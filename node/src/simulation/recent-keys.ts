/** Which keys clients meet at: a few hot ones, and those that have come up lately. At others nobody meets. */
import type { SeededRandom } from './random.ts';

const RECENT_MAX = 8;

export class RecentKeys {
  private readonly random: SeededRandom;
  private readonly hotCount: number;
  private next: number;
  /** The newest last. */
  private recent: readonly number[] = [];

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
    const key = this.next++;
    this.recent = [...this.recent, key].slice(-RECENT_MAX);
    return key;
  }

  /** One that nobody has used, and only who gets it now will: what is wrong with it nobody makes good. */
  quiet(): number {
    return this.next++;
  }

  /** A hot one, or one of the last that were fresh. */
  any(): number {
    const { recent } = this;
    if (recent.length === 0 || this.random.chance(0.5)) return this.hot();
    return recent[recent.length - 1 - this.random.below(recent.length)];
  }

  /** All that were used. */
  all(): number[] {
    return Array.from({ length: this.next }, (_, key) => key);
  }
}
