import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import { KubeError } from '../ports/kube.ts';
import type { Kind, Kinds, Lease } from '../ports/kube-objects.ts';
import { createLeaderLease } from './leader-lease.ts';

/** Time that moves when it is told to. */
function handClock() {
  let now = 0;
  const timers = new Set<{ readonly at: number; readonly run: () => void }>();
  return {
    nowMillis: () => now,
    after: (delay: number, run: () => void) => {
      const timer = { at: now + delay, run };
      timers.add(timer);
      return () => {
        timers.delete(timer);
      };
    },
    advance: async (millis: number) => {
      const end = now + millis;
      for (;;) {
        await settled();
        const [next] = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        now = Math.max(now, next.at);
        timers.delete(next);
        next.run();
      }
      now = end;
      await settled();
    },
  };
}

function setUp() {
  const clock = handClock();
  const store: { lease: Lease | null; version: number } = { lease: null, version: 0 };
  const cut = new Set<string>();
  const put = (lease: Lease): Lease => {
    const resourceVersion = `${++store.version}`;
    store.lease = { ...lease, metadata: { ...lease.metadata, uid: 'u', resourceVersion } };
    return store.lease;
  };
  const kubeFor = (who: string) => {
    const check = () => {
      if (cut.has(who)) throw new KubeError('UNAVAILABLE', 'no answer');
    };
    return {
      get: async <K extends Kind>() => {
        check();
        return store.lease as Kinds[K] | null;
      },
      create: async <K extends Kind>(_: K, object: object) => {
        check();
        if (store.lease !== null) throw new KubeError('ALREADY_EXISTS', 'it is there');
        return put(object as Lease) as unknown as Kinds[K];
      },
      replace: async <K extends Kind>(_: K, object: Kinds[K]) => {
        check();
        const lease = object as unknown as Lease;
        if (lease.metadata.resourceVersion !== store.lease?.metadata.resourceVersion) {
          throw new KubeError('CONFLICT', 'it has changed');
        }
        return put(lease) as unknown as Kinds[K];
      },
    };
  };
  const told: string[] = [];
  const quiet = { info: () => {}, warn: () => {}, error: () => {} };
  const operator = (identity: string) => {
    const kube = kubeFor(identity);
    const place = { namespace: 'system', name: 'ilion-operator', identity };
    const lease = createLeaderLease({ kube, clock, log: quiet, ...place });
    lease.start({
      acquired: () => told.push(`${identity} leads at ${clock.nowMillis()}`),
      lost: () => told.push(`${identity} lost at ${clock.nowMillis()}`),
    });
    return lease;
  };
  return { clock, store, cut, told, operator };
}

test('one leads, and when it is gone another one does, after the time of the lease', async () => {
  const { clock, store, told, cut, operator } = setUp();
  const a = operator('a');
  await settled();
  const b = operator('b');
  await clock.advance(100_000);
  assert.deepEqual(told, ['a leads at 0']);
  assert.deepEqual([a.isLeader, b.isLeader], [true, false]);
  cut.add('a');
  await clock.advance(40_000);
  // Renewed last at 100 s: lost 10 s later, free 15 s after the other has seen that.
  assert.deepEqual(told.slice(1), ['a lost at 110000', 'b leads at 116000']);
  assert.equal(store.lease?.spec.leaseTransitions, 1);
});

test('who stops gives it back: the next one need not wait', async () => {
  const { clock, told, store, operator } = setUp();
  const a = operator('a');
  await settled();
  operator('b');
  await clock.advance(9_000);
  await a.release();
  assert.equal(store.lease?.spec.holderIdentity, '');
  await clock.advance(2_000);
  assert.deepEqual(told, ['a leads at 0', 'b leads at 10000']);
  assert.equal(a.isLeader, false);
});

test('a short failure is none, and a lease that another one took by force is lost', async () => {
  const { clock, told, store, cut, operator } = setUp();
  operator('a');
  await clock.advance(10_000);
  cut.add('a');
  await clock.advance(7_000);
  cut.delete('a');
  await clock.advance(20_000);
  assert.deepEqual(told, ['a leads at 0']);
  const lease = store.lease as Lease;
  const metadata = { ...lease.metadata, resourceVersion: 'x' };
  store.lease = { ...lease, metadata, spec: { ...lease.spec, holderIdentity: 'c' } };
  await clock.advance(20_000);
  assert.equal(told.length, 2);
  assert.match(told[1], /^a lost at/);
});

test('two that begin at once do not both lead', async () => {
  const { clock, told, operator } = setUp();
  operator('a');
  operator('b');
  await clock.advance(60_000);
  assert.deepEqual(told, ['a leads at 0']);
});
