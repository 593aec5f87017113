/**
 * Mutations over wide links: one copy goes to one replica of another datacenter, which passes it on to the others there.
 * The coordinator hears of each of them by a small request of its own, so that acknowledgements, time outs and hints are
 * those of each replica.
 *
 *   RelayMutation  u8 1 | u64 id | u8 count | each: 16 bytes, host id | a Mutation     answered as a Mutation
 *   Relayed        u8 1 | u64 id | 16 bytes: host id                                   answered when that one has answered
 *
 * The two may arrive in any order.
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Reader } from '../common/bytes.ts';
import { protocolError } from '../common/errors.ts';
import { type AnswerSink, type FailureCode, type Responder, Verb } from '../internode/links.ts';
import { formatUuid, parseUuid } from '../types/uuid.ts';
import type { CoordinatorContext } from './context.ts';
import { DONE, MESSAGE_VERSION } from './messages.ts';
import type { Replica } from './replica.ts';
import type { Topology } from './topology.ts';

const UUID_BYTES = 16;
/** Larger ones could be overtaken by far: they go to each replica directly. */
const BYTES_MAX = 32 << 10;
/** Relayed mutations whose coordinators have not asked for all answers yet. */
const RELAYS_MAX = 16_384;

type Result = 'done' | { readonly code: FailureCode; readonly message: string };

/** One relayed mutation, at the node that passes it on. */
interface Relay {
  readonly results: Map<string, Result>;
  readonly waiting: Map<string, Responder>;
}

function tell(responder: Responder, result: Result): void {
  if (result === 'done') responder.answer(DONE);
  else responder.fail(result.code, result.message);
}

export class Relays {
  private readonly context: CoordinatorContext;
  private readonly topology: Topology;
  private readonly replica: Replica;
  private readonly relays = new Map<string, Relay>();
  /** Tells the workers and lives of one node apart. */
  private readonly nonce: number;
  private count = 0;

  constructor(context: CoordinatorContext, topology: Topology, replica: Replica) {
    this.context = context;
    this.topology = topology;
    this.replica = replica;
    const { links, random } = context.deps;
    this.nonce = Math.floor(random() * 2 ** 32);
    links.handle(Verb.RelayMutation, (from, body, responder) => {
      replica.guarded(() => this.relay(from, body, responder))(from, body, responder);
    });
    links.handle(Verb.Relayed, (from, body, responder) => {
      replica.guarded(() => this.relayed(from, body, responder))(from, body, responder);
    });
  }

  /**
   * Sends a mutation to replicas of one other datacenter.
   * @param nodes alive; the first passes it on @param sinkOf who hears of a replica, once
   */
  send(
    nodes: readonly NodeInfo[],
    body: Uint8Array,
    timeoutMillis: number,
    sinkOf: (node: NodeInfo) => AnswerSink,
  ): void {
    const { links } = this.context.deps;
    const [first, ...others] = nodes;
    if (others.length === 0 || body.length > BYTES_MAX) {
      for (const node of nodes) {
        links.call(node, Verb.Mutation, body, timeoutMillis, sinkOf(node));
      }
      return;
    }
    const id = Buffer.alloc(8);
    id.writeUInt32BE(this.nonce, 0);
    id.writeUInt32BE(this.count++ >>> 0, 4);
    const { out } = this.context;
    out.reset();
    out.u8(MESSAGE_VERSION);
    out.raw(id);
    out.u8(others.length);
    const hostIds = others.map(({ hostId }) => parseUuid(hostId) ?? Buffer.alloc(UUID_BYTES));
    for (const hostId of hostIds) out.raw(hostId);
    out.raw(body);
    links.call(first, Verb.RelayMutation, out.view(), timeoutMillis, sinkOf(first));
    for (const [i, node] of others.entries()) {
      const question = Buffer.concat([DONE, id, hostIds[i]]);
      links.call(first, Verb.Relayed, question, timeoutMillis, sinkOf(node));
    }
  }

  private relayOf(from: string, id: Buffer): Relay | null {
    const name = `${from} ${id.toString('latin1')}`;
    let relay = this.relays.get(name);
    if (relay === undefined) {
      if (this.relays.size >= RELAYS_MAX) return null;
      relay = { results: new Map(), waiting: new Map() };
      this.relays.set(name, relay);
      // After that nobody waits for an answer any more.
      const delayed = () => this.relays.delete(name);
      this.context.delays.add({ delayed }, 2 * this.context.options.writeTimeoutMillis);
    }
    return relay;
  }

  private relay(from: string, body: Uint8Array, responder: Responder): void {
    const reader = new Reader(body);
    if (reader.u8() !== MESSAGE_VERSION) throw protocolError('message version is not known');
    const id = reader.raw(8);
    const hostIds: string[] = [];
    for (let left = reader.u8(); left > 0; left--) hostIds.push(formatUuid(reader.raw(UUID_BYTES)));
    const mutation = body.subarray(reader.offset);
    const relay = this.relayOf(from, id);
    if (relay === null) {
      responder.fail('OVERLOADED', 'too many relayed mutations');
      return;
    }
    for (const hostId of hostIds) this.passOn(relay, hostId, mutation);
    this.replica.mutation(mutation, responder);
  }

  private passOn(relay: Relay, hostId: string, mutation: Uint8Array): void {
    const { deps, options } = this.context;
    const settle = (result: Result) => {
      relay.results.set(hostId, result);
      const waiting = relay.waiting.get(hostId);
      relay.waiting.delete(hostId);
      if (waiting !== undefined) tell(waiting, result);
    };
    const node = this.topology.node(hostId);
    if (node === undefined || hostId === deps.self.hostId) {
      settle({ code: 'FAILED', message: 'a replica that is not known here' });
      return;
    }
    deps.links.call(node, Verb.Mutation, mutation, options.writeTimeoutMillis, {
      answered: () => settle('done'),
      failed: ({ code, message, epoch }) => {
        // A time out is not told: it is one for the coordinator as well.
        if (code === 'TIMEOUT') return;
        if (code === 'STALE') settle({ code, message: String(epoch) });
        else settle({ code: code === 'OVERLOADED' ? code : 'FAILED', message });
      },
    });
  }

  private relayed(from: string, body: Uint8Array, responder: Responder): void {
    const reader = new Reader(body);
    if (reader.u8() !== MESSAGE_VERSION) throw protocolError('message version is not known');
    const id = reader.raw(8);
    const hostId = formatUuid(reader.raw(UUID_BYTES));
    const relay = this.relayOf(from, id);
    if (relay === null) {
      responder.fail('OVERLOADED', 'too many relayed mutations');
      return;
    }
    const result = relay.results.get(hostId);
    if (result === undefined) relay.waiting.set(hostId, responder);
    else tell(responder, result);
  }
}
