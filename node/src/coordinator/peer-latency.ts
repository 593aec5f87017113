/**
 * How long each node's answers to reads take: the time after which a second replica is asked. Old times count less and
 * less.
 * @hot `add`
 */

/** Buckets of a quarter of a doubling, from 1/16 ms: up to 65 s. */
const BUCKETS = 80;
const PER_DOUBLING = 4;
const LEAST_MILLIS = 1 / 16;
/** After so many times all counts are halved. */
const WINDOW = 512;
const REFRESH = 32;
const PERCENTILE = 0.99;

class Times {
  private readonly counts = new Uint16Array(BUCKETS);
  private total = 0;
  private sinceRefresh = 0;
  percentileMillis: number | null = null;

  add(millis: number): void {
    const place = Math.ceil(
      Math.log2(Math.max(millis, LEAST_MILLIS) / LEAST_MILLIS) * PER_DOUBLING,
    );
    this.counts[Math.min(place, BUCKETS - 1)]++;
    this.total++;
    if (this.total >= WINDOW) this.fade();
    if (++this.sinceRefresh >= REFRESH) this.refresh();
  }

  private fade(): void {
    this.total = 0;
    for (let i = 0; i < BUCKETS; i++) {
      this.counts[i] >>= 1;
      this.total += this.counts[i];
    }
  }

  private refresh(): void {
    this.sinceRefresh = 0;
    let above = this.total * (1 - PERCENTILE);
    let place = BUCKETS - 1;
    while (place > 0 && above >= this.counts[place]) above -= this.counts[place--];
    this.percentileMillis = LEAST_MILLIS * 2 ** (place / PER_DOUBLING);
  }
}

export class PeerLatencies {
  private readonly peers = new Map<string, Times>();

  add(hostId: string, millis: number): void {
    let times = this.peers.get(hostId);
    if (times === undefined) {
      times = new Times();
      this.peers.set(hostId, times);
    }
    times.add(millis);
  }

  /** The 99th percentile; null: not enough is known. */
  percentileMillis(hostId: string): number | null {
    return this.peers.get(hostId)?.percentileMillis ?? null;
  }

  /** Forgets nodes that are no members any more. */
  retain(hostIds: ReadonlyMap<string, unknown>): void {
    for (const hostId of this.peers.keys()) if (!hostIds.has(hostId)) this.peers.delete(hostId);
  }
}
