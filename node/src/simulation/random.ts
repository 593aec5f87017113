/** Randomness that depends on a seed alone. Source of the generator: sfc32 of PractRand (Chris Doty-Humphrey). */

/** FNV-1a. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

export class SeededRandom {
  private readonly seed: number;
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  /** @param label what it is for: generators of one seed and different labels know nothing of each other */
  constructor(seed: number, label = '') {
    this.seed = seed;
    this.a = seed | 0;
    this.b = Math.floor(seed / 2 ** 32) | 0;
    this.c = hashText(label);
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** One for another purpose, the same for the same seed and label. */
  fork(label: string): SeededRandom {
    return new SeededRandom(this.seed, label);
  }

  uint32(): number {
    const sum = (this.a + this.b + this.counter++) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** In [min, max). */
  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** @param probability in [0, 1] */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** @param values not empty */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }

  shuffle<T>(values: readonly T[]): T[] {
    const shuffled = [...values];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
    }
    return shuffled;
  }
}
