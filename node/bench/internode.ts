/**
 * What a call between nodes costs: CPU of caller and peer together, both in this process.
 * `node node/bench/internode.ts [calls]`
 */
import { createGrpcCarrier, GRPC_LINK_DEFAULTS } from '../src/adapters/grpc-links.ts';
import { createGrpcLinkServer } from '../src/adapters/grpc-links-server.ts';
import type { Carrier, CarrierStream, LinkClock, StreamEvents } from '../src/internode/carrier.ts';
import { LinkHub } from '../src/internode/link-hub.ts';
import { type AnswerSink, type Peer, Verb } from '../src/internode/links.ts';

const CALLS = Number(process.argv[2] ?? 400_000);
const BODY = Buffer.alloc(100, 1);
const TURNS = [1, 10, 100, 1000] as const;

const clock: LinkClock = {
  nowMillis: () => performance.now(),
  after: (millis, run) => {
    const timer = setTimeout(run, millis);
    return () => clearTimeout(timer);
  },
};

function hub(hostId: string, carrier: Carrier): LinkHub {
  const silent = () => {};
  const made = new LinkHub({
    carrier,
    clock,
    log: { info: silent, warn: silent, error: console.error },
    random: Math.random,
    schedule: (flush) => void setImmediate(flush),
    hostId,
    clusterName: 'bench',
    clusterId: () => '',
  });
  made.handle(Verb.Mutation, (_, body, responder) => responder.answer(body.subarray(0, 1)));
  return made;
}

/** Streams that end in the same process, a turn of the loop later. */
class MemoryCarrier implements Carrier {
  target: LinkHub | null = null;

  open(_address: string, _port: number, events: StreamEvents): CarrierStream {
    let far: StreamEvents | null = null;
    const pass = (to: () => StreamEvents | null) => (packet: Uint8Array) => {
      setImmediate(() => to()?.packet(packet));
      return true;
    };
    const back = { remote: 'memory', write: pass(() => events), close: () => {} };
    far = this.target?.accept(back) ?? null;
    return { remote: 'memory', write: pass(() => far), close: () => {} };
  }
}

/** Makes `CALLS` calls, `turn` of them at once, the next when all are answered. */
async function run(from: LinkHub, to: Peer, turn: number): Promise<void> {
  for (let done = 0; done < CALLS; done += turn) {
    await new Promise<void>((resolve, reject) => {
      let open = turn;
      const sink: AnswerSink = {
        answered: () => {
          if (--open === 0) resolve();
        },
        failed: reject,
      };
      for (let i = 0; i < turn; i++) from.call(to, Verb.Mutation, BODY, 10_000, sink);
    });
    // One at a time: fewer are enough.
    if (turn === 1 && done >= CALLS / 20) return;
  }
}

async function measure(name: string, from: LinkHub, to: Peer): Promise<void> {
  for (const turn of TURNS) {
    await run(from, to, turn);
    const before = { cpu: process.cpuUsage(), calls: from.counters.calls, at: performance.now() };
    await run(from, to, turn);
    const { user, system } = process.cpuUsage(before.cpu);
    const calls = from.counters.calls - before.calls;
    const seconds = (performance.now() - before.at) / 1000;
    console.log(
      `${name}, ${turn} a turn: ${((user + system) / calls).toFixed(2)} us CPU a call, ` +
        `${Math.round(calls / seconds)} calls/s`,
    );
  }
}

const memory = new MemoryCarrier();
const near = hub('near', memory);
memory.target = hub('far', memory);
const peer = { hostId: 'far', address: 'memory', controlPort: 1, dataPort: 1 };
await measure('in memory', near, peer);
near.close();

const carrier = createGrpcCarrier(GRPC_LINK_DEFAULTS);
const far = hub('far', carrier);
const server = await createGrpcLinkServer({
  ...GRPC_LINK_DEFAULTS,
  host: '127.0.0.1',
  port: 0,
  reusePort: false,
  accept: far.accept,
  log: far.log,
});
const caller = hub('near', carrier);
const { port } = server;
await measure('gRPC loopback', caller, { ...peer, address: '127.0.0.1', dataPort: port });
caller.close();
far.close();
carrier.close();
await server.close();
