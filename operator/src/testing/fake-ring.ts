/** The rules of the database's ring, without any data: who is a member as what, which changes may begin, what stopping costs. */

export type State = 'joining' | 'normal' | 'leaving' | 'left';

export interface FakeMember {
  readonly hostId: string;
  readonly datacenter: string;
  readonly rack: string;
  readonly replaces: string | null;
  state: State;
  address: string;
  /** Of Ilion, with which it was started last; empty: not known. */
  version: string;
  /** Since when it is down; null: it is up. */
  downMillis: number | null;
}

export interface FakeOperation {
  readonly id: string;
  readonly kind: 'join' | 'leave' | 'replace';
  readonly hostId: string;
  readonly replaces: string | null;
  readonly dead: boolean;
  phase: 'streaming' | 'switched';
  /** Work that is left, milliseconds. */
  left: number;
  readonly total: number;
}

type OperationPlan = Pick<FakeOperation, 'kind' | 'hostId' | 'replaces'>;

/** Of each datacenter. */
export const REPLICATION = 3;
const QUORUM = 2;
const GIVE_UP_MILLIS = 600_000;
/** The refusal of what can begin later. */
export const OTHERS_FIRST = 'other operations have to end first';

/** Whether two nodes are so far from each other on the ring that both can change at one time: some are. */
function areFar(a: string, b: string): boolean {
  let sum = 0;
  for (const text of [a, b]) for (const letter of text) sum += letter.charCodeAt(0);
  return sum % 3 === 0;
}

export class FakeRing {
  readonly members = new Map<string, FakeMember>();
  operations: FakeOperation[] = [];
  readonly keyspaces = new Set<string>();
  /** Some data is on one node only: whoever moves any needs all others. */
  readonly isSingle: boolean;
  /** Datacenters without replicas: all of their nodes may leave. */
  readonly bare = new Set<string>();
  private ids = 0;
  private readonly duration: () => number;

  /** @param duration of the next operation, milliseconds */
  constructor(duration: () => number, isSingle = false) {
    this.duration = duration;
    this.isSingle = isSingle;
  }

  /**
   * Those that are down without which an operation does not go on: who joins gets data of all. What only a dead one had is lost when
   * it is replaced or removed.
   */
  missing({ hostId, replaces, kind }: OperationPlan): readonly string[] {
    if (!this.isSingle || kind !== 'join') return [];
    return this.in('normal', 'leaving')
      .filter((one) => one.downMillis !== null && one.hostId !== hostId && one.hostId !== replaces)
      .map((one) => one.hostId);
  }

  in(...states: readonly State[]): readonly FakeMember[] {
    return [...this.members.values()].filter(({ state }) => states.includes(state));
  }

  isUp(hostId: string): boolean {
    return this.members.get(hostId)?.downMillis === null;
  }

  /** More than half of those who have a say. */
  get hasMajority(): boolean {
    const voters = this.in('normal', 'leaving');
    return voters.filter(({ downMillis }) => downMillis === null).length * 2 > voters.length;
  }

  /** @returns why not; null: it is a member now */
  join(
    node: Pick<FakeMember, 'hostId' | 'datacenter' | 'rack' | 'replaces' | 'address' | 'version'>,
  ): string | null {
    if (this.members.has(node.hostId)) return 'the host id is a member already, or has left';
    if (node.replaces !== null) {
      const dead = this.members.get(node.replaces);
      if (dead === undefined || dead.state === 'left' || dead.state === 'joining')
        return 'it owns nothing';
      if (dead.downMillis === null) return 'who is to be replaced is alive';
      if (dead.rack !== node.rack || dead.datacenter !== node.datacenter) return 'it is elsewhere';
      if (this.in('joining').some(({ replaces }) => replaces === node.replaces))
        return 'it is replaced already';
    }
    this.members.set(node.hostId, { ...node, state: 'joining', downMillis: null });
    return null;
  }

  /** @returns why not; null: it has begun */
  leave(hostId: string, dead: boolean): string | null {
    const node = this.members.get(hostId);
    if (node === undefined) return 'there is no such node';
    if (node.state === 'joining' && !this.operations.some((one) => one.hostId === hostId)) {
      node.state = 'left';
      return null;
    }
    if (node.state !== 'normal') return `the node is ${node.state}`;
    if (!this.mayBegin(hostId)) return OTHERS_FIRST;
    if (dead && node.downMillis === null) return 'the node is up';
    if (!dead && node.downMillis !== null) return 'the node is down';
    const staying = this.in('normal').filter(
      (one) => one !== node && one.datacenter === node.datacenter,
    );
    if (staying.length < Math.min(REPLICATION, this.replicationOf(node.datacenter))) {
      return `a keyspace has ${REPLICATION} replicas: add a node first`;
    }
    node.state = 'leaving';
    this.begin({ kind: 'leave', hostId, replaces: null, dead });
    return null;
  }

  private mayBegin(hostId: string): boolean {
    return this.operations.every((one) => areFar(one.hostId, hostId));
  }

  cancel(id: string): string | null {
    const operation = this.operations.find((one) => one.id === id);
    if (operation === undefined) return 'there is no such operation';
    if (operation.phase === 'switched') return 'it can only go on';
    this.undo(operation);
    return null;
  }

  /** As many as there ever were, up to the factor that is wanted. */
  private most = new Map<string, number>();

  private replicationOf(datacenter: string): number {
    return this.bare.has(datacenter) ? 0 : (this.most.get(datacenter) ?? 0);
  }

  private begin(plan: Pick<FakeOperation, 'kind' | 'hostId' | 'replaces' | 'dead'>): void {
    const total = this.duration();
    this.ids++;
    this.operations.push({
      ...plan,
      id: `operation-${this.ids}`,
      phase: 'streaming',
      left: total,
      total,
    });
  }

  private undo(operation: FakeOperation): void {
    const node = this.members.get(operation.hostId);
    if (node !== undefined) node.state = operation.kind === 'leave' ? 'normal' : 'left';
    this.operations = this.operations.filter((one) => one !== operation);
  }

  private finish({ kind, hostId, replaces }: FakeOperation): void {
    const node = this.members.get(hostId);
    if (node === undefined) return;
    node.state = kind === 'leave' ? 'left' : 'normal';
    const old = this.members.get(replaces ?? '');
    if (old !== undefined) old.state = 'left';
  }

  tick(nowMillis: number, passed: number): void {
    for (const { datacenter } of this.in('normal')) {
      const count = this.in('normal').filter((one) => one.datacenter === datacenter).length;
      const most = Math.max(this.most.get(datacenter) ?? 0, count);
      this.most.set(datacenter, Math.min(REPLICATION, most));
    }
    if (!this.hasMajority) return;
    for (const operation of [...this.operations]) this.drive(operation, nowMillis, passed);
    for (const node of this.in('joining')) {
      const { hostId, downMillis, replaces } = node;
      if (this.operations.some((one) => one.hostId === hostId)) continue;
      if (downMillis !== null && nowMillis - downMillis > GIVE_UP_MILLIS) node.state = 'left';
      else if (downMillis === null && this.mayBegin(hostId)) {
        const old = this.members.get(replaces ?? '');
        const kind = replaces === null ? 'join' : 'replace';
        if (replaces !== null && (old === undefined || old.state === 'left')) node.state = 'left';
        else if (this.missing({ hostId, replaces, kind }).length > 0) continue;
        else if (old === undefined || old.downMillis !== null) {
          this.begin({ kind, hostId, replaces, dead: false });
        }
      }
    }
  }

  private drive(operation: FakeOperation, nowMillis: number, passed: number): void {
    const { hostId, kind } = operation;
    const node = this.members.get(hostId);
    const down = node?.downMillis ?? null;
    // Others have what a dead leaver has; who gets something has to be there.
    if (down !== null && kind !== 'leave' && operation.phase === 'streaming') {
      if (nowMillis - down > GIVE_UP_MILLIS) this.undo(operation);
      return;
    }
    if (operation.phase === 'streaming' && this.missing(operation).length > 0) return;
    operation.left -= passed;
    if (operation.left > 0) return;
    if (operation.phase === 'streaming') {
      operation.phase = 'switched';
      operation.left = Math.min(5_000, operation.total);
      return;
    }
    this.operations = this.operations.filter((one) => one !== operation);
    this.finish(operation);
  }

  /** Whom each range is on: as many as there are places for, racks first. */
  ranges(): readonly (readonly FakeMember[])[] {
    const owners = this.in('normal', 'leaving')
      .filter(({ datacenter }) => !this.bare.has(datacenter))
      .toSorted((a, b) => (a.hostId < b.hostId ? -1 : 1));
    return owners.map((_, at) => {
      const { datacenter } = owners[at];
      const round = [...owners.slice(at), ...owners.slice(0, at)].filter(
        (one) => one.datacenter === datacenter,
      );
      const racks = new Set<string>();
      const [near, rest]: [FakeMember[], FakeMember[]] = [[], []];
      for (const one of round) {
        (racks.has(one.rack) ? rest : near).push(one);
        racks.add(one.rack);
      }
      return [...near, ...rest].slice(0, REPLICATION);
    });
  }

  /** @returns why these may not stop; null: they may @param isUp as it is known to who asks */
  refusalOfStopping(hostIds: readonly string[], isUp: (hostId: string) => boolean): string | null {
    const going = new Set(hostIds);
    for (const operation of this.operations) {
      if (going.has(operation.hostId) && operation.kind !== 'leave') return 'it gets data';
      if (operation.kind === 'leave' && hostIds.length > 0) return 'ranges are on their way';
    }
    for (const replicas of this.ranges()) {
      if (!replicas.some(({ hostId }) => going.has(hostId))) continue;
      const quorum = Math.min(QUORUM, replicas.length);
      const now = replicas.filter(({ hostId }) => isUp(hostId)).length;
      const then = replicas.filter(({ hostId }) => isUp(hostId) && !going.has(hostId)).length;
      if (now < quorum || then >= quorum) continue;
      if (replicas.length < REPLICATION && replicas.length - then === 1) continue;
      return 'a range would lose its quorum';
    }
    return null;
  }
}
