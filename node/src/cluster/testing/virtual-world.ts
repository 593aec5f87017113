/** Nodes of one process on virtual time: clock, links with loss and cuts, disks that lose what was not written. */
import {
  type AnswerSink,
  LinkError,
  type Links,
  type Peer,
  type RequestHandler,
  type Verb,
} from '../../internode/links.ts';
import type { ClusterClock, MetadataDisk, MetadataFiles } from '../ports.ts';
import type { HardState, RaftEntry } from '../raft-types.ts';
import { seededRandom } from './nodes.ts';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class VirtualWorld {
  readonly random: () => number;
  now = 0;
  /** Part of all messages. */
  loss = 0;
  /** Messages of each verb, both ways. */
  readonly sent = new Map<Verb, number>();
  largestBytes = 0;
  private heap: Event[] = [];
  private order = 0;
  private readonly places = new Map<string, VirtualLinks>();
  private readonly cuts = new Set<string>();
  private readonly refusals = new Set<string>();

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  at(time: number, run: () => void): Event {
    const event = { at: time, order: this.order++, run };
    const { heap } = this;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (isBefore(heap[parent], event)) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = event;
    return event;
  }

  private pop(): Event | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(last, heap[child])) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
    return first;
  }

  /** Without promises in between. */
  runSync(millis: number): void {
    const end = this.now + millis;
    while (this.heap.length > 0 && this.heap[0].at <= end) this.runNext();
    this.now = end;
  }

  private runNext(): void {
    const event = this.pop();
    if (event === undefined) return;
    this.now = Math.max(this.now, event.at);
    event.run();
  }

  async run(millis: number): Promise<void> {
    const end = this.now + millis;
    await flush();
    while (this.heap.length > 0 && this.heap[0].at <= end) {
      const at = this.heap[0].at;
      while (this.heap.length > 0 && this.heap[0].at === at) this.runNext();
      await flush();
    }
    this.now = end;
  }

  /** Runs until the promise is settled. @throws what it rejects with */
  async until<T>(promise: Promise<T>, millis = 60_000): Promise<T> {
    let settled = false;
    const mark = () => {
      settled = true;
    };
    promise.then(mark, mark);
    for (const end = this.now + millis; !settled; ) {
      if (this.now > end) throw new Error('not settled in time');
      await this.run(20);
    }
    return promise;
  }

  clock(): ClusterClock {
    return {
      nowMillis: () => this.now,
      every: (millis, run) => {
        let active = true;
        const next = () => {
          if (!active) return;
          run();
          this.at(this.now + millis, next);
        };
        this.at(this.now + this.random() * millis, next);
        return () => {
          active = false;
        };
      },
      after: (millis, run) => {
        let active = true;
        this.at(this.now + millis, () => active && run());
        return () => {
          active = false;
        };
      },
    };
  }

  /** What was at this place before is gone. */
  links(self: Peer): VirtualLinks {
    const links = new VirtualLinks(this, self);
    this.places.set(placeOf(self), links);
    return links;
  }

  /** Its process is no more: it sends nothing and answers nothing. */
  remove(self: Peer): void {
    const links = this.places.get(placeOf(self));
    if (links !== undefined) links.isGone = true;
    this.places.delete(placeOf(self));
  }

  find(peer: Peer): VirtualLinks | undefined {
    return this.places.get(placeOf(peer));
  }

  /** No messages between the two, both ways. */
  cut(a: Peer, b: Peer): void {
    this.cuts.add(`${a.address}>${b.address}`).add(`${b.address}>${a.address}`);
  }

  /** No messages from the one to the other. */
  cutOneWay(from: Peer, to: Peer): void {
    this.cuts.add(`${from.address}>${to.address}`);
  }

  /** The one cannot connect to the other, and is told so at once. */
  refuse(from: Peer, to: Peer): void {
    this.refusals.add(`${from.address}>${to.address}`);
  }

  refuses(from: Peer, to: Peer): boolean {
    return this.refusals.has(`${from.address}>${to.address}`);
  }

  heal(): void {
    this.cuts.clear();
    this.refusals.clear();
  }

  passes(from: Peer, to: Peer): boolean {
    return !this.cuts.has(`${from.address}>${to.address}`) && this.random() >= this.loss;
  }

  count(verb: Verb, bytes: number): void {
    this.sent.set(verb, (this.sent.get(verb) ?? 0) + 1);
    this.largestBytes = Math.max(this.largestBytes, bytes);
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function flush(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function placeOf({ address, controlPort }: Peer): string {
  return `${address}:${controlPort}`;
}

export class VirtualLinks implements Links {
  isGone = false;
  readonly self: Peer;
  private readonly world: VirtualWorld;
  private readonly handlers = new Map<Verb, RequestHandler>();

  constructor(world: VirtualWorld, self: Peer) {
    this.world = world;
    this.self = self;
  }

  handle(verb: Verb, handler: RequestHandler): void {
    this.handlers.set(verb, handler);
  }

  latencyMillis(): number | null {
    return null;
  }

  private later(run: () => void): void {
    this.world.at(this.world.now + 0.5 + this.world.random() * 4, run);
  }

  call(to: Peer, verb: Verb, body: Uint8Array, timeoutMillis: number, sink: AnswerSink): void {
    const { world } = this;
    const copy = Uint8Array.from(body);
    let done = false;
    const finish = (run: () => void) => {
      if (done) return;
      done = true;
      run();
    };
    world.at(world.now + timeoutMillis, () =>
      finish(() => sink.failed(new LinkError('TIMEOUT', 'no answer in time'))),
    );
    if (this.isGone) return;
    world.count(verb, copy.length);
    if (world.refuses(this.self, to)) {
      const refused = new LinkError('UNREACHABLE', 'refused', { isGone: true });
      this.later(() => finish(() => sink.failed(refused)));
      return;
    }
    if (!world.passes(this.self, to)) return;
    this.later(() => {
      const links = world.find(to);
      const handler = links?.handlers.get(verb);
      if (links === undefined || handler === undefined) {
        const isGone = links === undefined;
        finish(() => sink.failed(new LinkError('UNREACHABLE', 'nobody is there', { isGone })));
        return;
      }
      const back = (run: () => void) => {
        world.count(verb, 0);
        if (links.isGone || this.isGone) return;
        if (world.passes(to, this.self)) this.later(() => finish(run));
      };
      handler(this.self.hostId, copy, {
        answer: (answer) => {
          const bytes = Uint8Array.from(answer);
          back(() => sink.answered(bytes));
        },
        fail: (code, message) => back(() => sink.failed(new LinkError(code, message))),
      });
    });
  }
}

/** Writes take a while; a crash loses those that are not done. */
export class VirtualDisk {
  files: MetadataFiles | null = null;
  failing = false;
  private readonly world: VirtualWorld;
  /** Counts processes: only the last one writes. */
  private session = 0;

  constructor(world: VirtualWorld) {
    this.world = world;
  }

  /** The process that has it is no more. */
  crash(): void {
    this.session++;
  }

  /** For a new process. */
  open(): MetadataDisk {
    const session = ++this.session;
    const write = (change: () => void) => this.write(session, change);
    return {
      load: () => Promise.resolve(this.files),
      append: (entries, hardState) => write(() => this.append(entries, hardState)),
      replace: (files) =>
        write(() => {
          this.files = files;
        }),
    };
  }

  private append(entries: readonly RaftEntry[], hardState: HardState | null): void {
    if (this.files === null) throw new Error('nothing to append to');
    const from = entries[0]?.index ?? Number.POSITIVE_INFINITY;
    this.files = {
      ...this.files,
      entries: [...this.files.entries.filter(({ index }) => index < from), ...entries],
      hardState: hardState ?? this.files.hardState,
    };
  }

  private write(session: number, change: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.world.at(this.world.now + this.world.random() * 4, () => {
        if (session !== this.session) return;
        if (this.failing) {
          reject(new Error('the disk has failed'));
          return;
        }
        change();
        resolve();
      });
    });
  }
}
