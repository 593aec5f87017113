/**
 * Virtual time: events in order of their time, those of one time in the order in which they were made. After each event all
 * promises that can go on do so, before the next one.
 */

interface Event {
  readonly time: number;
  readonly sequence: number;
  run: (() => void) | null;
}

function before(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.sequence < b.sequence);
}

/** Resolves when no microtask is left: Node runs ticks only then. */
function microtasksDone(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

export class Scheduler {
  private time = 0;
  private sequence = 0;
  private readonly heap: Event[] = [];
  private steps = 0;

  /** Milliseconds since the world began. */
  get now(): number {
    return this.time;
  }

  /** Events that have run. */
  get eventCount(): number {
    return this.steps;
  }

  /** Runs at `time`, or next if that is past. @returns takes it back */
  at(time: number, run: () => void): () => void {
    const event: Event = { time: Math.max(time, this.time), sequence: this.sequence++, run };
    this.push(event);
    return () => {
      event.run = null;
    };
  }

  /** Runs after `millis`. @returns takes it back */
  after(millis: number, run: () => void): () => void {
    return this.at(this.time + millis, run);
  }

  /** Runs at this time, after the events of this time that exist already. */
  soon(run: () => void): void {
    this.at(this.time, run);
  }

  /** Resolves after `millis` of virtual time. */
  sleep(millis: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(millis, resolve);
    });
  }

  /** Lets everything happen up to `time`, which is then now. */
  async runUntil(time: number): Promise<void> {
    await microtasksDone();
    for (
      let event = this.heap[0];
      event !== undefined && event.time <= time;
      event = this.heap[0]
    ) {
      await this.step();
    }
    this.time = Math.max(this.time, time);
  }

  /** Lets things happen until `done` is true. @returns false: not by `time` */
  async runWhile(open: () => boolean, time: number): Promise<boolean> {
    await microtasksDone();
    while (open()) {
      const event = this.heap[0];
      if (event === undefined || event.time > time) return false;
      await this.step();
    }
    return true;
  }

  private async step(): Promise<void> {
    const event = this.pop();
    const { run } = event;
    if (run === null) return;
    this.time = event.time;
    this.steps++;
    event.run = null;
    run();
    await microtasksDone();
  }

  private push(event: Event): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = event;
  }

  private pop(): Event {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
      if (!before(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
