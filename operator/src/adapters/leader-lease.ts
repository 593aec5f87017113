/**
 * One of several operators leads: it holds a Lease and renews it. Who cannot renew in time stops before another may take it.
 * Times of others are never compared with the own clock: a Lease is free when it has not changed for its duration.
 */
import type { Clock, Log } from '../ports/clock.ts';
import { type KubeApi, KubeError } from '../ports/kube.ts';
import type { Draft, Lease } from '../ports/kube-objects.ts';

export interface LeaderLeaseOptions {
  readonly kube: Pick<KubeApi, 'get' | 'create' | 'replace'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespace: string;
  readonly name: string;
  /** Unlike that of any other process. */
  readonly identity: string;
  readonly leaseMillis?: number;
  /** Without a renewal for so long it is lost; less than `leaseMillis`. */
  readonly renewMillis?: number;
  readonly retryMillis?: number;
}

export interface LeaderLease {
  /** Begins to try. Each is called once at most; after `lost` nothing more is done. */
  start(on: { acquired(): void; lost(): void }): void;
  /** Asked before each thing that is done: a process that was stopped for a while has not heard that it leads no more. */
  readonly isLeader: boolean;
  /** Gives it back, so that another one need not wait. */
  release(): Promise<void>;
}

const LEASE_MILLIS = 15_000;
const RENEW_MILLIS = 10_000;
const RETRY_MILLIS = 2_000;

export function createLeaderLease(options: LeaderLeaseOptions): LeaderLease {
  const { kube, clock, log, namespace, name, identity } = options;
  const leaseMillis = options.leaseMillis ?? LEASE_MILLIS;
  const renewMillis = options.renewMillis ?? RENEW_MILLIS;
  const retryMillis = options.retryMillis ?? RETRY_MILLIS;
  let state: 'trying' | 'leading' | 'over' = 'trying';
  let seen = { version: '', atMillis: 0 };
  /** Until then nobody else can have it, whatever this process has slept through meanwhile. */
  let validUntil = 0;
  /** The newest that is ours. */
  let held: Lease | null = null;
  let on = { acquired: () => {}, lost: () => {} };
  let cancelTurn = () => {};
  let cancelWatchdog = () => {};
  let turning: Promise<void> = Promise.resolve();

  const micros = () => new Date(clock.nowMillis()).toISOString().replace('Z', '000Z');
  const specOf = (before: Lease['spec'] | null): Lease['spec'] => {
    const isSame = before?.holderIdentity === identity;
    const transitions = before?.leaseTransitions ?? 0;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseMillis / 1000),
      acquireTime: isSame && before.acquireTime !== undefined ? before.acquireTime : micros(),
      renewTime: micros(),
      leaseTransitions: isSame || before === null ? transitions : transitions + 1,
    };
  };

  /** Whether another one holds it. */
  const isHeld = (lease: Lease): boolean => {
    const { holderIdentity, leaseDurationSeconds } = lease.spec;
    if (holderIdentity === undefined || holderIdentity === '') return false;
    if (holderIdentity === identity) return false;
    const { resourceVersion } = lease.metadata;
    const now = clock.nowMillis();
    if (seen.version !== resourceVersion) seen = { version: resourceVersion, atMillis: now };
    const duration = Math.max((leaseDurationSeconds ?? 0) * 1000, leaseMillis);
    return now - seen.atMillis < duration;
  };

  const tryOnce = async (): Promise<Lease | null> => {
    if (held !== null) {
      return kube.replace('Lease', { ...held, spec: specOf(held.spec) });
    }
    const lease = await kube.get('Lease', { namespace, name });
    if (lease === null) {
      const draft: Draft<Lease> = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { namespace, name },
        spec: specOf(null),
      };
      return kube.create('Lease', draft);
    }
    return isHeld(lease) ? null : kube.replace('Lease', { ...lease, spec: specOf(lease.spec) });
  };

  const lose = (why: string) => {
    if (state !== 'leading') return;
    state = 'over';
    cancelTurn();
    cancelWatchdog();
    log.error('this operator leads no more', { why });
    on.lost();
  };

  const isOver = () => state === 'over';
  const turn = async (): Promise<void> => {
    const begun = clock.nowMillis();
    try {
      const lease = await tryOnce();
      if (isOver()) {
        held = lease ?? held;
        return;
      }
      if (lease !== null) renewed(lease, begun);
    } catch (error) {
      // After a conflict the Lease is read again: another one may have it.
      if (error instanceof KubeError && error.code !== 'UNAVAILABLE') held = null;
      log.warn('the lease could not be had', { why: (error as Error).message });
    }
    if (isOver()) return;
    cancelTurn = clock.after(retryMillis, () => {
      turning = turn();
    });
  };

  /** @param begun before the request: the server may have taken it at once */
  const renewed = (lease: Lease, begun: number) => {
    held = lease;
    cancelWatchdog();
    validUntil = begun + renewMillis;
    const left = validUntil - clock.nowMillis();
    cancelWatchdog = clock.after(Math.max(0, left), () =>
      lose(`the lease could not be renewed for ${renewMillis} ms`),
    );
    if (state !== 'trying') return;
    state = 'leading';
    log.info('this operator leads', { lease: `${namespace}/${name}`, identity });
    on.acquired();
  };

  return {
    start: (handlers) => {
      on = handlers;
      turning = turn();
    },
    get isLeader() {
      return state === 'leading' && clock.nowMillis() < validUntil;
    },
    release: async () => {
      state = 'over';
      cancelTurn();
      cancelWatchdog();
      await turning;
      if (held === null) return;
      try {
        const { leaseTransitions = 0 } = held.spec;
        const spec = { holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions };
        await kube.replace('Lease', { ...held, spec });
      } catch (error) {
        log.warn('the lease could not be given back', { why: (error as Error).message });
      }
      held = null;
    },
  };
}
