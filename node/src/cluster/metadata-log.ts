/**
 * The metadata log as one node uses it: what all nodes agree on, changes to it, joining it. Any node proposes; the leader
 * orders. Up to five voters are chosen by the leader; all other members follow.
 */
import { type Links, type Peer, Verb } from '../internode/links.ts';
import type { SchemaJson } from '../schema/schema-json.ts';
import { newClusterId } from './cluster-id.ts';
import type { ClusterCommand, ClusterState, Liveness, NodeInfo } from './cluster-state.ts';
import { encodeState } from './command-codec.ts';
import { asAgreed, EMPTY_CLUSTER, isSameNode } from './commands.ts';
import { JoinDesk, joinByContacts } from './join.ts';
import { encodeEntry, LeaderDesk } from './leader-desk.ts';
import { AnnounceRefusedError, MetadataError } from './metadata-errors.ts';
import type { LeaderRequest } from './metadata-messages.ts';
import { MetadataReplica, type ReplicaOptions } from './metadata-replica.ts';
import type { ClusterClock, ClusterLogger, MetadataDisk } from './ports.ts';
import type { RaftNode } from './raft.ts';
import { chooseTokens, TOKENS_PER_NODE } from './tokens.ts';
import { VoterKeeper } from './voter-keeper.ts';

export interface MetadataLogDeps {
  readonly hostId: string;
  readonly links: Links;
  readonly disk: MetadataDisk;
  readonly clock: ClusterClock;
  /** In [0, 1). */
  random(): number;
  readonly liveness: Liveness;
  /** Where a node is, by gossip, which is newer than the log. Null: not known; the log's address is tried. */
  peerOf(hostId: string): Peer | null;
  readonly logger: ClusterLogger;
  /** The log cannot go on: the node has to stop. */
  onFatal(error: Error): void;
}

export interface MetadataLogOptions extends ReplicaOptions {
  readonly tickMillis: number;
  /** A voter that is dead for so long is replaced. */
  readonly voterGraceMillis: number;
  /** Between two looks at who votes, and whether the log has this node's addresses. */
  readonly upkeepMillis: number;
  /** Whether this process runs a `TopologyDriver`: nodes may join while there are user tables. */
  readonly movesData: boolean;
}

export const METADATA_LOG_DEFAULTS: MetadataLogOptions = {
  heartbeatMillis: 150,
  electionMillis: 1_000,
  retryMillisMax: 5_000,
  snapshotEntries: 1_000,
  snapshotBytes: 4 << 20,
  tickMillis: 50,
  voterGraceMillis: 60_000,
  upkeepMillis: 1_000,
  movesData: false,
};

/** What became of a proposal, when it is applied on this node. */
export interface ProposalOutcome {
  readonly applied: boolean;
  /** Null: applied. */
  readonly reason: string | null;
}

export interface JoinOptions {
  readonly clusterName: string;
  /** Without tokens: `tokenCount` are chosen. */
  readonly self: NodeInfo;
  readonly tokenCount?: number;
  /** Host id of a dead node whose place is taken. */
  readonly replaces?: string | null;
  readonly timeoutMillis: number;
}

type StateListener = (state: ClusterState, previous: ClusterState) => void;

type Settle = (outcome: ProposalOutcome | MetadataError) => void;

const PENDING_MAX = 1_024;
const RETRY_MILLIS = 100;
/** Who is dead is not believed sooner after a proposal has begun: this node may have just started. */
const GIVE_UP_MILLIS = 2_000;
/** A disk that hangs does not keep a node from stopping. */
const STOP_MILLIS = 5_000;
const ANNOUNCE_TIMEOUT_MILLIS = 5_000;

export class MetadataLog {
  private readonly deps: MetadataLogDeps;
  private readonly options: MetadataLogOptions;
  private readonly replica: MetadataReplica;
  private readonly leader: LeaderDesk;
  private readonly listeners = new Set<StateListener>();
  private readonly pending = new Map<string, Settle>();
  private reaching: { readonly index: number; readonly resolve: () => void }[] = [];
  private readonly voters: VoterKeeper;
  private readonly timers: (() => void)[] = [];
  private readonly session: string;
  private counter = 0;
  private self: NodeInfo | null = null;
  private announcing = false;
  private stopping = false;

  private constructor(deps: MetadataLogDeps, options: MetadataLogOptions) {
    this.deps = deps;
    this.options = options;
    this.session = randomName(deps.random) + randomName(deps.random);
    this.replica = new MetadataReplica(deps, options, {
      decided: (id, refused) => this.onDecided(id, refused),
      changed: (state, previous) => {
        for (const listener of this.listeners) listener(state, previous);
      },
      reached: (index) => this.onReached(index),
      read: (context, index) => this.leader.finishRead(context, index),
      fatal: (error) => deps.onFatal(error),
    });
    const { hostId, links, clock } = deps;
    this.voters = new VoterKeeper({
      hostId,
      graceMillis: options.voterGraceMillis,
      nowMillis: () => clock.nowMillis(),
      state: () => this.current(),
      isAlive: (id) => this.isAlive(id),
    });
    this.leader = new LeaderDesk({
      hostId,
      links,
      clock,
      random: () => deps.random(),
      replica: this.replica,
      peerOf: (id) => deps.peerOf(id),
    });
  }

  /**
   * Starts with what the disk has. A node that was never in a cluster goes on with `bootstrap` or `join`.
   * @throws MetadataDamagedError, or an error of the disk
   */
  static async start(
    deps: MetadataLogDeps,
    options: Partial<MetadataLogOptions> = {},
  ): Promise<MetadataLog> {
    const log = new MetadataLog(deps, { ...METADATA_LOG_DEFAULTS, ...options });
    await log.replica.load();
    log.listen();
    return log;
  }

  private listen(): void {
    const { links, clock } = this.deps;
    links.handle(Verb.Raft, (from, body, responder) => {
      this.replica.receive(from, body);
      responder.answer(new Uint8Array(0));
    });
    links.handle(Verb.Propose, (from, body, responder) =>
      this.leader.receive(from, body, responder),
    );
    const desk = new JoinDesk({
      log: this,
      snapshot: () => this.replica.snapshot(),
      leader: () => this.leaderPeer(),
      hostId: this.deps.hostId,
      liveness: this.deps.liveness,
      movesData: this.options.movesData,
      random: () => this.deps.random(),
    });
    links.handle(Verb.Join, (_from, body, responder) => desk.serve(body, responder));
    this.timers.push(
      clock.every(this.options.tickMillis, () => this.replica.tick()),
      clock.every(this.options.upkeepMillis, () => this.upkeep()),
    );
  }

  private leaderPeer(): Peer | null {
    const leader = this.replica.raft?.state.leader ?? null;
    if (leader === null) return null;
    return this.deps.peerOf(leader) ?? this.current().nodes.get(leader) ?? null;
  }

  /** Whether this node is, or was, in a cluster: its log is on the disk. */
  get isMember(): boolean {
    return this.replica.raft !== null;
  }

  /** The newest state that this node knows. Epoch 0: not in a cluster yet. */
  current(): ClusterState {
    return this.replica.current;
  }

  /** Whether this node orders what is agreed, as far as it knows. */
  get isLeader(): boolean {
    return this.replica.raft?.state.role === 'leader';
  }

  /** Whether those vote who should, as far as there are any. Known to the leader; elsewhere true. */
  get votersSettled(): boolean {
    const { raft } = this.replica;
    return raft === null || (!raft.state.votersChanging && this.voters.next(raft) === null);
  }

  /** For metrics and the admin service. */
  status(): RaftNode['state'] | null {
    return this.replica.raft?.state ?? null;
  }

  /** @param listener called at each change, in order, with this state current @returns stops it */
  onChange(listener: StateListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Starts a cluster of one node.
   * @param self without tokens: they are chosen
   * @param schema what the node had before there were clusters
   */
  async bootstrap(clusterName: string, self: NodeInfo, schema?: SchemaJson): Promise<void> {
    this.requireStranger();
    const { random } = this.deps;
    const tokens =
      self.tokens.length > 0
        ? self.tokens
        : chooseTokens({ nodes: [], datacenter: self.datacenter, count: TOKENS_PER_NODE, random });
    const node = { ...self, tokens };
    const state: ClusterState = {
      epoch: 1,
      clusterName,
      clusterId: newClusterId(random),
      nodes: new Map([[node.hostId, node]]),
      topologyEpoch: 1,
      operations: [],
      ended: [],
      schema: schema ?? EMPTY_CLUSTER.schema,
    };
    await this.replica.create({
      index: 1,
      term: 1,
      voters: [node.hostId],
      data: encodeState({ cluster: state, recent: new Map() }),
    });
  }

  /**
   * Becomes a member of the cluster of any one of the contacts.
   * @param contacts asked in turn, again and again; a host id that is not known is empty
   * @throws JoinRefusedError; MetadataError NO_MAJORITY: none of them could take this node in time
   */
  async join(contacts: readonly Peer[], options: JoinOptions): Promise<void> {
    this.requireStranger();
    const { links, clock } = this.deps;
    const snapshot = await joinByContacts(
      { links, clock, stopped: () => this.stopping },
      contacts,
      { tokenCount: TOKENS_PER_NODE, replaces: null, ...options },
    );
    await this.replica.create(snapshot);
  }

  private requireStranger(): void {
    if (this.isMember) {
      throw new MetadataError(
        'NOT_JOINED',
        `this node is a member of the cluster '${this.current().clusterName}' already`,
      );
    }
  }

  /** From now on the log is brought to say this of this node, its tokens and state as they are agreed. */
  announce(self: NodeInfo): void {
    this.self = self;
    this.upkeep();
  }

  /**
   * Proposes a change; resolves when it is applied, or refused, on this node.
   * @throws MetadataError
   */
  async propose(command: ClusterCommand, timeoutMillis: number): Promise<ProposalOutcome> {
    this.requireMember();
    if (this.pending.size >= PENDING_MAX) {
      throw new MetadataError('OVERLOADED', 'too many changes of the cluster wait for agreement');
    }
    const id = `${this.session}/${this.counter++}`;
    const entry = encodeEntry({ id, command });
    const outcome = Promise.withResolvers<ProposalOutcome | MetadataError>();
    this.pending.set(id, outcome.resolve);
    const { clusterId } = this.current();
    void this.pursue(
      { kind: 'propose', clusterId, entry },
      timeoutMillis,
      () => !this.pending.has(id),
    ).then((failure) => failure !== null && outcome.resolve(failure));
    const result = await outcome.promise;
    this.pending.delete(id);
    if (result instanceof MetadataError) throw result;
    return result;
  }

  /**
   * Gives a proposal to the leader, again if nothing comes of it: the first one that is applied counts.
   * @returns why nothing came of it; null: it is settled
   */
  private async pursue(
    ask: LeaderRequest,
    timeoutMillis: number,
    isSettled: () => boolean,
  ): Promise<MetadataError | null> {
    const started = this.deps.clock.nowMillis();
    const deadline = started + timeoutMillis;
    let accepted = false;
    for (;;) {
      const answer = await this.leader.ask(ask, deadline);
      const now = this.deps.clock.nowMillis();
      if (isSettled()) return null;
      if (answer?.kind === 'refused') {
        if (answer.code === 'TOO_LARGE')
          return new MetadataError('TOO_LARGE', 'the schema is too large');
        if (now >= deadline) return new MetadataError('OVERLOADED', 'the leader is overloaded');
      }
      accepted ||= answer?.kind === 'accepted';
      if (this.stopping || now >= deadline) return this.failure(accepted);
      if (answer === null && now - started >= GIVE_UP_MILLIS && !this.hasMajority()) {
        return this.failure(accepted);
      }
      const wait = answer?.kind === 'accepted' ? this.options.electionMillis * 2 : RETRY_MILLIS;
      await this.sleep(Math.min(wait, deadline - now), isSettled);
      if (isSettled()) return null;
    }
  }

  private failure(accepted: boolean): MetadataError {
    if (this.stopping) return new MetadataError('STOPPED', 'this node is stopping');
    const voters = (this.status()?.voters ?? []).map((id) => {
      const address = this.current().nodes.get(id)?.address ?? 'address not known';
      return `${id} (${address}, ${this.isAlive(id) ? 'up' : 'down'})`;
    });
    const what = 'changes of schema and topology need a majority of the voters of the metadata log';
    return accepted
      ? new MetadataError(
          'TIMEOUT',
          `${what}: this one was not agreed in time, and may still be. The voters are ${voters.join(', ')}. Reads and writes go on`,
        )
      : new MetadataError(
          'NO_MAJORITY',
          `${what}, and there is none now. The voters are ${voters.join(', ')}. Reads and writes go on`,
        );
  }

  private isAlive(hostId: string): boolean {
    return hostId === this.deps.hostId || this.deps.liveness.isAlive(hostId);
  }

  private hasMajority(): boolean {
    const voters = this.status()?.voters ?? [];
    return voters.filter((id) => this.isAlive(id)).length * 2 > voters.length;
  }

  private requireMember(): void {
    if (this.stopping) throw new MetadataError('STOPPED', 'this node is stopping');
    if (!this.isMember) throw new MetadataError('NOT_JOINED', 'this node is not in a cluster yet');
  }

  /**
   * Resolves when this node has applied all that was agreed, by any node, before the call.
   * @throws MetadataError
   */
  async barrier(timeoutMillis: number): Promise<void> {
    this.requireMember();
    const { clock } = this.deps;
    const deadline = clock.nowMillis() + timeoutMillis;
    const { clusterId } = this.current();
    for (;;) {
      const answer = await this.leader.ask({ kind: 'barrier', clusterId }, deadline);
      if (answer?.kind === 'accepted') {
        await this.reach(answer.index, deadline);
        return;
      }
      const left = deadline - clock.nowMillis();
      if (this.stopping || left <= 0) throw this.failure(false);
      await this.sleep(Math.min(RETRY_MILLIS, left), () => false);
    }
  }

  private async reach(index: number, deadline: number): Promise<void> {
    if (this.replica.appliedIndex >= index) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { index, resolve };
    this.reaching.push(waiter);
    const { clock } = this.deps;
    const cancel = clock.after(Math.max(0, deadline - clock.nowMillis()), resolve);
    await promise;
    cancel();
    this.reaching = this.reaching.filter((one) => one !== waiter);
    if (this.replica.appliedIndex < index) throw this.failure(false);
  }

  private sleep(millis: number, isOver: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      let left = Math.ceil(millis / this.options.tickMillis);
      // In small steps: what is waited for may be there sooner.
      const stop = this.deps.clock.every(this.options.tickMillis, () => {
        if (--left > 0 && !isOver() && !this.stopping) return;
        stop();
        resolve();
      });
    });
  }

  // What the replica tells.

  private onDecided(id: string, refused: string | null): void {
    const settle = this.pending.get(id);
    if (settle === undefined) return;
    this.pending.delete(id);
    settle({ applied: refused === null, reason: refused });
  }

  private onReached(index: number): void {
    if (this.reaching.length === 0) return;
    for (const waiter of this.reaching) if (waiter.index <= index) waiter.resolve();
  }

  // Upkeep.

  private upkeep(): void {
    const raft = this.replica.raft;
    if (raft === null || this.stopping) return;
    this.announceSelf();
    const voters = this.voters.next(raft);
    if (voters === null || raft.state.votersChanging) return;
    if ('refused' in raft.proposeVoters(voters)) return;
    this.deps.logger.info('voters of the metadata log change', { voters });
    void this.replica.pump();
  }

  private announceSelf(): void {
    const known = this.self === null ? undefined : this.current().nodes.get(this.self.hostId);
    if (this.self === null || known === undefined || this.announcing) return;
    const node = asAgreed(this.self, known);
    if (known.state === 'left' || isSameNode(known, node)) return;
    this.announcing = true;
    this.propose({ kind: 'update-node', node }, ANNOUNCE_TIMEOUT_MILLIS)
      .then(({ reason }) => {
        if (reason === null || this.self === null) return;
        // What is agreed of it was changed meanwhile: it says the rest again.
        const now = this.current().nodes.get(node.hostId);
        if (now === undefined || !isSameNode(asAgreed(node, now), node)) return;
        this.self = null;
        this.deps.onFatal(new AnnounceRefusedError(reason));
      })
      .catch((error: unknown) => {
        this.deps.logger.warn('this node could not tell its addresses yet', { error });
      })
      .finally(() => {
        this.announcing = false;
      });
  }

  /** Hands leadership over if this node has it, and waits for what is being written. */
  async stop(): Promise<void> {
    if (this.stopping) return;
    const raft = this.replica.raft;
    if (raft?.state.role === 'leader' && raft.state.voters.length > 1) {
      raft.transferLeadership();
      void this.replica.pump();
      await this.sleep(this.options.electionMillis, () => raft.state.role !== 'leader');
    }
    this.stopping = true;
    for (const stop of this.timers) stop();
    const late = Promise.withResolvers<void>();
    const cancel = this.deps.clock.after(STOP_MILLIS, late.resolve);
    await Promise.race([this.replica.stop(), late.promise]);
    cancel();
    const stopped = new MetadataError('STOPPED', 'this node is stopping');
    for (const settle of this.pending.values()) settle(stopped);
    this.leader.stop();
    for (const { resolve } of this.reaching) resolve();
    this.pending.clear();
  }
}

/** 47 bits. */
function randomName(random: () => number): string {
  return Math.floor(random() * 2 ** 47).toString(36);
}
