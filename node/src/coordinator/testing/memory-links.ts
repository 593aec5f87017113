/** Links between nodes of one process, on virtual time, with faults. */
import {
  type AnswerSink,
  failureOf,
  LinkError,
  type Links,
  type Peer,
  type RequestHandler,
  type Verb,
} from '../../internode/links.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What happens to a request, by who sends what to whom; undefined: nothing special. */
export type Fault = (
  from: string,
  to: string,
  verb: Verb,
) => 'lose' | 'lose-answer' | 'overload' | { readonly delayMillis: number } | undefined;

export class MemoryNetwork {
  readonly time: VirtualTime;
  latencyMillis = 1;
  fault: Fault = () => undefined;
  /** Every request that was sent, as `from>to verb`. */
  readonly sent: { readonly from: string; readonly to: string; readonly verb: Verb }[] = [];
  private readonly nodes = new Map<string, MemoryLinks>();

  constructor(time: VirtualTime) {
    this.time = time;
  }

  /** A new process of the node; the one before hears of nothing any more. */
  join(hostId: string): MemoryLinks {
    this.leave(hostId);
    const links = new MemoryLinks(this, hostId);
    this.nodes.set(hostId, links);
    return links;
  }

  leave(hostId: string): void {
    const before = this.nodes.get(hostId);
    if (before !== undefined) before.isDead = true;
    this.nodes.delete(hostId);
  }

  find(hostId: string): MemoryLinks | undefined {
    return this.nodes.get(hostId);
  }
}

export class MemoryLinks implements Links {
  isDead = false;
  private readonly network: MemoryNetwork;
  private readonly hostId: string;
  private readonly handlers = new Map<Verb, RequestHandler>();

  constructor(network: MemoryNetwork, hostId: string) {
    this.network = network;
    this.hostId = hostId;
  }

  handle(verb: Verb, handler: RequestHandler): void {
    this.handlers.set(verb, handler);
  }

  latencyMillis(_hostId: string): number | null {
    return null;
  }

  call(to: Peer, verb: Verb, body: Uint8Array, timeoutMillis: number, sink: AnswerSink): void {
    const { network, hostId } = this;
    const { time } = network;
    const copy = Buffer.from(body);
    network.sent.push({ from: hostId, to: to.hostId, verb });
    let isOver = false;
    const end = (run: () => void) => {
      if (isOver || this.isDead) return;
      isOver = true;
      cancel();
      run();
    };
    const cancel = time.after(timeoutMillis, () =>
      end(() => sink.failed(new LinkError('TIMEOUT', 'no answer in time'))),
    );
    const fault = network.fault(hostId, to.hostId, verb);
    if (fault === 'overload') {
      time.after(0, () => end(() => sink.failed(new LinkError('OVERLOADED', 'queue is full'))));
      return;
    }
    if (fault === 'lose') return;
    const delay = typeof fault === 'object' ? fault.delayMillis : 0;
    const deliver = (run: () => void) => time.after(network.latencyMillis, run);
    time.after(network.latencyMillis + delay, () => {
      const target = network.find(to.hostId);
      if (target === undefined) {
        end(() => sink.failed(new LinkError('UNREACHABLE', 'nobody is there')));
        return;
      }
      const handler = target.handlers.get(verb);
      if (handler === undefined) {
        deliver(() => end(() => sink.failed(new LinkError('FAILED', 'no such verb'))));
        return;
      }
      handler(hostId, copy, {
        answer: (answer) => {
          if (fault === 'lose-answer' || target.isDead) return;
          const bytes = Buffer.from(answer);
          deliver(() => end(() => sink.answered(bytes)));
        },
        fail: (code, message) => {
          if (fault === 'lose-answer' || target.isDead) return;
          deliver(() => end(() => sink.failed(failureOf(code, message))));
        },
      });
    });
  }
}
