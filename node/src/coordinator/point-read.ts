/**
 * One read of some keys of a partition: the records from the nearest replica, digests from as many others as the level asks
 * for. If they differ, the records of all of them are merged and those that lack something are repaired before the
 * answer, so that a later quorum never sees less than this one did.
 * @hot
 */
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { Writer } from '../common/bytes.ts';
import { CqlError, readFailure, readTimeout, serverError } from '../common/errors.ts';
import { type AnswerSink, LinkError, Verb } from '../internode/links.ts';
import { ABSENT } from '../storage/kv.ts';
import type { PointReader, TableHandle } from '../storage/record-source.ts';
import {
  isSeenByOthers,
  othersThan,
  type RepairPart,
  repairBeforeShown,
} from './blocking-repair.ts';
import { type Contacts, chooseContacts, contactsOf } from './contacts.ts';
import {
  areTimeouts,
  type CoordinatorContext,
  failureReasons,
  Reason,
  type ReplicaFailure,
  reasonOf,
  staleEpochOf,
} from './context.ts';
import type { Delayed } from './delays.ts';
import { isMonotonic } from './levels.ts';
import {
  type Digest,
  digestMatches,
  locateRecords,
  MESSAGE_VERSION,
  readDigest,
  recordsAnswer,
  writeKeysRequest,
} from './messages.ts';
import { lacks, mergeVersions, type RepairEntry } from './repair.ts';
import { type Move, type Replicated, Tally } from './replicated.ts';

export interface ReadRequest {
  readonly replicated: Replicated;
  /** Of all of the keys. */
  readonly replicas: readonly NodeInfo[];
  readonly handle: TableHandle;
  readonly keys: readonly Uint8Array[];
  readonly level: number;
  readonly timeoutMillis: number;
}

/** What one replica was asked and what it said. */
class Contact implements AnswerSink, PointReader {
  readonly node: NodeInfo;
  /** The replica's records; null as long as there is only a digest, or nothing. */
  answer: Buffer | null = null;
  digest: Digest | null = null;
  /** It has been asked for records that have not come yet. */
  isFetching = false;
  private readonly read: PointRead;
  private readonly sinceMillis: number;

  constructor(read: PointRead, node: NodeInfo) {
    this.read = read;
    this.node = node;
    this.sinceMillis = read.context.deps.clock.monotonicMillis();
  }

  get hasAnswered(): boolean {
    return this.answer !== null || this.digest !== null;
  }

  ask(what: 'records' | 'digest'): void {
    const { context, request } = this.read;
    this.isFetching = what === 'records';
    if (context.isSelf(this.node)) {
      const { store } = context.deps;
      const shard = store.shardOf(request.keys[0]);
      const { topology } = context;
      if (topology.hasMoved(this.read.epoch, request.handle.table, request.keys[0], 'all')) {
        // Never before the caller has gone on.
        queueMicrotask(() => this.read.supersede(this, topology.epoch));
        return;
      }
      this.isFetching = true;
      for (const key of request.keys) store.get(request.handle, shard, key, key.length);
      store.addReader(shard, this, request.keys.length);
      return;
    }
    writeKeysRequest(context.out, this.read.epoch, request.handle.table, request.keys);
    const verb = what === 'digest' ? Verb.ReadDigest : Verb.ReadRecords;
    context.deps.links.call(this.node, verb, context.out.view(), request.timeoutMillis, this);
  }

  /** From a peer. */
  answered(body: Uint8Array): void {
    this.time();
    try {
      if (this.isFetching) this.take(Buffer.from(body));
      else {
        this.digest = readDigest(body);
        if (this.digest.kind === 'records') this.take(this.digest.bytes);
      }
    } catch {
      this.digest = null;
      this.read.failed(this, Reason.UNKNOWN);
      return;
    }
    this.read.look();
  }

  /** From this node's store. */
  records(
    buffer: Uint8Array,
    starts: Int32Array,
    ends: Int32Array,
    first: number,
    count: number,
  ): void {
    this.time();
    const { out } = this.read.context;
    recordsAnswer(out, this.read.request.handle.table, buffer, starts, ends, first, count);
    this.take(out.copy());
    this.read.look();
  }

  private take(answer: Buffer): void {
    locateRecords(answer, this.read.request.keys.length);
    this.answer = answer;
    this.isFetching = false;
  }

  private time(): void {
    const { latencies, deps } = this.read.context;
    latencies.add(this.node.hostId, deps.clock.monotonicMillis() - this.sinceMillis);
  }

  failed(error: LinkError | CqlError): void {
    const epoch = staleEpochOf(error, this.read.epoch);
    if (epoch > 0) {
      this.read.supersede(this, epoch);
      return;
    }
    const reason = error instanceof LinkError ? reasonOf(error) : Reason.UNKNOWN;
    this.read.failed(this, reason);
  }
}

/** asking: for as many answers as the level needs; fetching: the records of all that answered. */
type Phase = 'asking' | 'fetching' | 'repairing' | 'done';

class PointRead implements Delayed {
  readonly context: CoordinatorContext;
  readonly request: ReadRequest;
  private readonly reader: PointReader;
  private phase: Phase = 'asking';
  private contacts: Contact[] = [];
  private spares: NodeInfo[] = [];
  private readonly failures: ReplicaFailure[] = [];
  /** One more than needed was asked: the slowest is not waited for. */
  private hurries = false;
  /** Answers without which there is nothing to look at. */
  private readonly required: number;
  private readonly startMillis: number;
  /** How the range moves, if that matters at this level. */
  private readonly move: Move | null;

  constructor(
    context: CoordinatorContext,
    request: ReadRequest,
    reader: PointReader,
    move: Move | null,
  ) {
    this.move = move;
    this.required = request.replicated.blockFor(request.level);
    this.context = context;
    this.request = request;
    this.reader = reader;
    this.startMillis = context.deps.clock.monotonicMillis();
  }

  get epoch(): number {
    return this.request.replicated.epoch;
  }

  /** A replica knows of other owners of the keys: begins again with those, when this node knows them too. */
  supersede(contact: Contact, epoch: number): void {
    if (this.phase === 'asking' || this.phase === 'fetching') this.startAgain(contact.node, epoch);
  }

  private startAgain(node: NodeInfo, epoch: number): void {
    const { context, request } = this;
    this.phase = 'done';
    context.catchUp(epoch).then((isCaughtUp) => {
      const spent = context.deps.clock.monotonicMillis() - this.startMillis;
      const timeoutMillis = request.timeoutMillis - spent;
      if (isCaughtUp && timeoutMillis > 0) {
        startRead(context, { ...request, timeoutMillis }, this.reader);
        return;
      }
      this.contacts = this.contacts.filter((one) => one.node !== node);
      this.failures.push({ node, reasonCode: Reason.TIMEOUT });
      this.fail();
    });
  }

  start({ contacts, spares }: Contacts): void {
    const { context } = this;
    this.spares = spares.slice();
    this.contacts = contacts.map((node) => new Contact(this, node));
    if (spares.length > 0)
      context.delays.add(this, context.patienceMillis(contacts, this.request.timeoutMillis));
    // A store may answer at once: all contacts are known before the first is asked.
    for (const [i, contact] of this.contacts.slice().entries()) {
      contact.ask(i === 0 ? 'records' : 'digest');
    }
  }

  delayed(): void {
    if (this.phase !== 'asking' && this.phase !== 'fetching') return;
    if (!this.askSpare('records')) return;
    this.hurries = true;
    this.context.metrics.speculativeRetries++;
  }

  private askSpare(what: 'records' | 'digest'): boolean {
    const { context, request } = this;
    let node = this.spares.shift();
    while (node !== undefined && !context.isAlive(node)) node = this.spares.shift();
    if (node === undefined) return false;
    if (request.replicated.isPerDatacenter(request.level) && this.failures.length > 0) {
      // Only a node of the same datacenter can stand in.
      const wanted = this.failures[this.failures.length - 1].node.datacenter;
      if (node.datacenter !== wanted) return this.askSpare(what);
    }
    const contact = new Contact(this, node);
    this.contacts.push(contact);
    contact.ask(what);
    return true;
  }

  private tallyOf(contacts: readonly Contact[]): Tally {
    const tally = new Tally(this.request.replicated, this.request.level);
    for (const { node } of contacts) tally.add(node);
    return tally;
  }

  failed(contact: Contact, reasonCode: number): void {
    if (this.phase === 'done' || this.phase === 'repairing') return;
    const at = this.contacts.indexOf(contact);
    if (at < 0) return;
    this.contacts.splice(at, 1);
    this.failures.push({ node: contact.node, reasonCode });
    const hasRecords = this.contacts.some(
      ({ answer, isFetching }) => answer !== null || isFetching,
    );
    if (this.askSpare(this.phase === 'fetching' || !hasRecords ? 'records' : 'digest')) return;
    if (!this.tallyOf(this.contacts).isMet) this.fail();
    else this.look();
  }

  /** Goes on as far as what has come allows. */
  look(): void {
    if (this.phase === 'asking') this.lookAtAnswers();
    else if (this.phase === 'fetching') this.lookAtRecords();
  }

  private lookAtAnswers(): void {
    let count = 0;
    for (const contact of this.contacts) if (contact.hasAnswered) count++;
    if (count < this.required) return;
    const answered = this.contacts.filter(({ hasAnswered }) => hasAnswered);
    if (!this.tallyOf(answered).isMet) return;
    const source = answered.find(({ answer }) => answer !== null);
    const { answer = null } = source ?? {};
    if (answer === null) {
      // Digests alone: the replica that was to send the records has failed and nobody is left to ask.
      if (!this.contacts.some(({ isFetching }) => isFetching)) answered[0].ask('records');
      return;
    }
    if (answered.every((contact) => contact === source || agrees(contact, answer))) {
      this.agreed(answered, answer);
      return;
    }
    this.context.metrics.digestMismatches++;
    this.phase = 'fetching';
    // Who has not answered may do better with the records, if one of the others is slow.
    for (const { node, hasAnswered } of this.contacts) if (!hasAnswered) this.spares.push(node);
    this.contacts = answered;
    this.hurries = false;
    if (this.spares.length > 0) {
      const nodes = answered.map(({ node }) => node);
      const patience = this.context.patienceMillis(nodes, this.request.timeoutMillis);
      this.context.delays.add(this, patience);
    }
    for (const contact of answered) if (contact.answer === null) contact.ask('records');
    this.lookAtRecords();
  }

  private agreed(answered: readonly Contact[], answer: Buffer): void {
    const { request, move } = this;
    const nodes = answered.map(({ node }) => node);
    const isSeen = move === null || isSeenByOthers(request.replicated, request.level, move, nodes);
    if (isSeen) {
      this.phase = 'done';
      this.deliver(answer);
      return;
    }
    this.contacts = answered.slice();
    for (const contact of this.contacts) contact.answer ??= answer;
    this.phase = 'repairing';
    this.repair();
  }

  private lookAtRecords(): void {
    if (this.phase !== 'fetching') return;
    const holders = this.contacts.filter(({ answer }) => answer !== null);
    const isEnough = this.hurries && this.tallyOf(holders).isMet;
    if (holders.length < this.contacts.length && !isEnough) return;
    for (const { node, answer } of this.contacts) if (answer === null) this.spares.push(node);
    this.contacts = holders;
    this.phase = 'repairing';
    try {
      this.repair();
    } catch (error) {
      this.context.deps.logError('records of replicas cannot be merged', error);
      this.end(serverError('records of replicas cannot be merged', { cause: error }));
    }
  }

  private repair(): void {
    const { context, request, contacts, spares } = this;
    const { handle, keys } = request;
    const versions = contacts.map(({ answer }) => recordsOf(answer ?? NOTHING, keys.length));
    const merged = keys.map((_, i) => mergeVersions(versions.map((records) => records[i])));
    const repairs = handle.table.options.read_repair !== 'NONE';
    const parts = contacts.map(({ node }, c): RepairPart => {
      const entries: RepairEntry[] = [];
      for (const [i, record] of merged.entries()) {
        const isBehind = repairs && record !== null && lacks(versions[c][i], record);
        if (isBehind) entries.push({ key: keys[i], record });
      }
      return { node, entries };
    });
    const entries: RepairEntry[] = [];
    for (const [i, record] of merged.entries()) {
      if (record !== null) entries.push({ key: keys[i], record });
    }
    const nodes = contacts.map(({ node }) => node);
    const isSent = repairs && entries.length > 0;
    const others = isSent ? othersThan(context, request, this.move, nodes) : [];
    const move = others.length === 0 ? null : this.move;
    const all = [...parts, ...others.map((node) => ({ node, entries }))];
    repairBeforeShown(context, { ...request, spares, move }, all).then((failure) => {
      this.phase = 'done';
      if (failure === null) {
        this.deliver(answerOf(merged));
        return;
      }
      const { lost, staleEpoch } = failure;
      if (staleEpoch > 0) {
        this.startAgain(lost[0], staleEpoch);
        return;
      }
      for (const node of lost) this.failures.push({ node, reasonCode: Reason.TIMEOUT });
      this.contacts = contacts.filter(({ node }) => !lost.includes(node));
      this.fail();
    });
  }

  private deliver(answer: Buffer): void {
    const count = this.request.keys.length;
    const { starts, ends } = locateRecords(answer, count);
    this.reader.records(answer, starts, ends, 0, count);
  }

  private fail(): void {
    const { failures, request, contacts } = this;
    const { metrics } = this.context;
    const tally = this.tallyOf(contacts.filter(({ hasAnswered }) => hasAnswered));
    const hasData = contacts.some(({ answer }) => answer !== null);
    const counted = failures.filter(({ node }) => request.replicated.counts(request.level, node));
    if (areTimeouts(counted)) {
      metrics.readTimeouts++;
      this.end(readTimeout(tally.told, hasData));
    } else {
      metrics.readFailures++;
      this.end(readFailure(tally.told, failureReasons(counted), hasData));
    }
  }

  private end(error: CqlError): void {
    this.phase = 'done';
    this.reader.failed(error);
  }
}

const NOTHING = Buffer.alloc(0);

function agrees({ answer, digest }: Contact, other: Buffer): boolean {
  if (answer !== null) return answer.equals(other);
  return digest !== null && digestMatches(digest, other);
}

function recordsOf(answer: Buffer, count: number): (Buffer | null)[] {
  const { starts, ends } = locateRecords(answer, count);
  return Array.from({ length: count }, (_, i) =>
    starts[i] === ABSENT ? null : answer.subarray(starts[i], ends[i]),
  );
}

function answerOf(records: readonly (Uint8Array | null)[]): Buffer {
  const out = new Writer(256);
  out.u8(MESSAGE_VERSION);
  for (const record of records) out.bytes(record);
  return out.copy();
}

/** As the ring is now. */
function startReadAgain(
  context: CoordinatorContext,
  request: ReadRequest,
  reader: PointReader,
): void {
  let replicated: Replicated;
  try {
    replicated = context.topology.replicatedOf(request.handle.table);
  } catch (error) {
    reader.failed(error instanceof CqlError ? error : serverError(String(error)));
    return;
  }
  const replicas = replicated.placement.ofKey(request.keys[0]);
  startRead(context, { ...request, replicated, replicas }, reader);
}

/** Starts a read; `reader` hears of it once, at once if it is refused. */
export function startRead(
  context: CoordinatorContext,
  request: ReadRequest,
  reader: PointReader,
): void {
  const { replicated, replicas, level, handle, keys } = request;
  if (replicated.epoch !== context.topology.epoch) {
    startReadAgain(context, request, reader);
    return;
  }
  const live = context.live(replicas);
  const refused = replicated.refusal(level, live);
  if (refused !== null) {
    context.metrics.unavailables++;
    reader.failed(refused);
    return;
  }
  const move = isMonotonic(level) ? replicated.moveOf(keys[0]) : null;
  const chosen =
    move === null
      ? contactsOf(context, replicated, level, live)
      : chooseContacts(context, replicated, level, live, move);
  const { contacts } = chosen;
  if (move === null && contacts.length === 1 && context.isSelf(contacts[0])) {
    const { store } = context.deps;
    const shard = store.shardOf(keys[0]);
    for (const key of keys) store.get(handle, shard, key, key.length);
    store.addReader(shard, reader, keys.length);
    return;
  }
  new PointRead(context, request, reader, move).start(chosen);
}
