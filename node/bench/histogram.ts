/** Latencies as counts by class. */

const CLASS_MICROS = 5;
const CLASSES = 1 << 20;

/** Classes of 5 us up to 5 s; what is longer counts as that. */
export class Histogram {
  private readonly counts = new Uint32Array(CLASSES);
  private total = 0;

  /** @param millis not negative */
  add(millis: number): void {
    this.counts[Math.min(CLASSES - 1, Math.floor((millis * 1000) / CLASS_MICROS))]++;
    this.total++;
  }

  clear(): void {
    this.counts.fill(0);
    this.total = 0;
  }

  /** @param share in [0, 1] @returns milliseconds that as much of all took at most; 0 if there are none */
  quantileMillis(share: number): number {
    const wanted = this.total * share;
    let seen = 0;
    for (let place = 0; place < CLASSES && this.total > 0; place++) {
      seen += this.counts[place];
      if (seen > wanted || seen === this.total) return ((place + 1) * CLASS_MICROS) / 1000;
    }
    return 0;
  }
}
