import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeInfo } from '../cluster/cluster-state.ts';
import type { Replication } from '../cluster/ring.ts';
import { Ring } from '../cluster/ring.ts';
import { testNode } from '../cluster/testing/nodes.ts';
import {
  checkConditionalLevels,
  checkCounterLevel,
  checkReadLevel,
  checkWriteLevel,
  Level,
} from './levels.ts';
import { Replicated, Tally } from './replicated.ts';

const NAMES = Object.keys(Level) as (keyof typeof Level)[];
const RING = new Ring({ nodes: new Map() });

function replicated(replication: Replication): Replicated {
  return new Replicated(replication, RING.placement(replication), 'dc1');
}

const simple = (factor: number) =>
  replicated({ class: 'SimpleStrategy', replication_factor: String(factor) });
const network = (factors: Readonly<Record<string, string>>) =>
  replicated({ class: 'org.apache.cassandra.locator.NetworkTopologyStrategy', ...factors });

/** Nodes by datacenter: `live({ dc1: 2 })` has two of dc1. */
function live(counts: Readonly<Record<string, number>>): NodeInfo[] {
  return Object.entries(counts).flatMap(([datacenter, count], d) =>
    Array.from({ length: count }, (_, i) => testNode(d * 10 + i + 1, { datacenter })),
  );
}

// Worked out by hand from ConsistencyLevel.blockFor: a quorum is half of the replication factor, rounded down, and one.
//                                    ANY ONE TWO THREE QUORUM ALL LOCAL_QUORUM EACH_QUORUM SERIAL LOCAL_SERIAL LOCAL_ONE
const REQUIRED: readonly (readonly [string, Replicated, readonly number[]])[] = [
  ['simple 1', simple(1), [1, 1, 2, 3, 1, 1, 1, 1, 1, 1, 1]],
  ['simple 2', simple(2), [1, 1, 2, 3, 2, 2, 2, 2, 2, 2, 1]],
  ['simple 3', simple(3), [1, 1, 2, 3, 2, 3, 2, 2, 2, 2, 1]],
  ['simple 5', simple(5), [1, 1, 2, 3, 3, 5, 3, 3, 3, 3, 1]],
  ['3 here', network({ dc1: '3' }), [1, 1, 2, 3, 2, 3, 2, 2, 2, 2, 1]],
  ['3 and 3', network({ dc1: '3', dc2: '3' }), [1, 1, 2, 3, 4, 6, 2, 4, 4, 2, 1]],
  ['3, 2 and 1', network({ dc1: '3', dc2: '2', dc3: '1' }), [1, 1, 2, 3, 4, 6, 2, 5, 4, 2, 1]],
  ['1 and 5', network({ dc1: '1', dc2: '5' }), [1, 1, 2, 3, 4, 6, 1, 4, 4, 1, 1]],
  ['none here', network({ dc2: '3' }), [1, 1, 2, 3, 2, 3, 1, 2, 2, 1, 1]],
  ['local', replicated({ class: 'LocalStrategy' }), [1, 1, 2, 3, 1, 1, 1, 1, 1, 1, 1]],
];

for (const [name, of, expected] of REQUIRED) {
  test(`answers that each level waits for: ${name}`, () => {
    assert.deepEqual(
      NAMES.map((level) => of.blockFor(Level[level])),
      expected,
    );
  });
}

/** Levels that so many live replicas cannot serve, as `level required/alive`. */
function refusals(of: Replicated, nodes: readonly NodeInfo[]): string[] {
  return NAMES.flatMap((name) => {
    const detail = of.refusal(Level[name], nodes)?.detail;
    return detail?.kind === 'unavailable' ? [`${name} ${detail.required}/${detail.alive}`] : [];
  });
}

test('too few live replicas are Unavailable, with the numbers of the level', () => {
  assert.deepEqual(refusals(simple(3), live({ dc1: 3 })), []);
  assert.deepEqual(refusals(simple(3), live({ dc1: 2 })), ['THREE 3/2', 'ALL 3/2']);
  assert.deepEqual(refusals(simple(3), live({ dc1: 1 })), [
    'TWO 2/1',
    'THREE 3/1',
    'QUORUM 2/1',
    'ALL 3/1',
    'LOCAL_QUORUM 2/1',
    'EACH_QUORUM 2/1',
    'SERIAL 2/1',
    'LOCAL_SERIAL 2/1',
  ]);
  // SimpleStrategy knows no datacenters, but local levels count local nodes.
  assert.deepEqual(refusals(simple(3), live({ dc1: 1, dc2: 2 })), [
    'LOCAL_QUORUM 2/1',
    'LOCAL_SERIAL 2/1',
  ]);
  const both = network({ dc1: '3', dc2: '3' });
  assert.deepEqual(refusals(both, live({ dc1: 3, dc2: 3 })), []);
  assert.deepEqual(refusals(both, live({ dc1: 3, dc2: 1 })), ['ALL 6/4', 'EACH_QUORUM 2/1']);
  assert.deepEqual(refusals(both, live({ dc1: 3 })), [
    'QUORUM 4/3',
    'ALL 6/3',
    'EACH_QUORUM 2/0',
    'SERIAL 4/3',
  ]);
  assert.deepEqual(refusals(both, live({ dc2: 3 })), [
    'QUORUM 4/3',
    'ALL 6/3',
    'LOCAL_QUORUM 2/0',
    'EACH_QUORUM 2/0',
    'SERIAL 4/3',
    'LOCAL_SERIAL 2/0',
    'LOCAL_ONE 1/0',
  ]);
  assert.deepEqual(refusals(simple(1), []), [
    'ONE 1/0',
    'TWO 2/0',
    'THREE 3/0',
    'QUORUM 1/0',
    'ALL 1/0',
    'LOCAL_QUORUM 1/0',
    'EACH_QUORUM 1/0',
    'SERIAL 1/0',
    'LOCAL_SERIAL 1/0',
    'LOCAL_ONE 1/0',
  ]);
  // The node itself is always there.
  assert.deepEqual(refusals(replicated({ class: 'LocalStrategy' }), []), ['TWO 2/1', 'THREE 3/1']);
});

test('a tally counts only what the level counts', () => {
  const both = network({ dc1: '3', dc2: '3' });
  const [a, b, c, x, y] = live({ dc1: 3, dc2: 3 });
  const tally = (level: number, nodes: readonly NodeInfo[]) => {
    const counted = new Tally(both, level);
    for (const node of nodes) counted.add(node);
    return counted;
  };
  assert.equal(tally(Level.LOCAL_QUORUM, [a, x, y]).isMet, false);
  assert.equal(tally(Level.LOCAL_QUORUM, [a, x, y]).canBeMet([b]), true);
  assert.equal(tally(Level.LOCAL_QUORUM, [a, x]).canBeMet([y]), false);
  assert.equal(tally(Level.LOCAL_QUORUM, [a, b]).isMet, true);
  assert.equal(tally(Level.QUORUM, [a, b, c]).isMet, false);
  assert.equal(tally(Level.QUORUM, [a, b, c, x]).isMet, true);
  const each = tally(Level.EACH_QUORUM, [a, b, c, x]);
  assert.equal(each.isMet, false);
  assert.equal(each.canBeMet([y]), true);
  assert.equal(each.canBeMet([]), false);
  // Four were needed and four came: what is told is one less, or nobody would understand the error.
  assert.deepEqual(each.told, { consistency: Level.EACH_QUORUM, received: 3, required: 4 });
  assert.equal(tally(Level.EACH_QUORUM, [a, b, x, y]).isMet, true);
});

test('what may be asked for at which level', () => {
  const refused = (check: (level: number) => Error | null) =>
    NAMES.filter((name) => check(Level[name]) !== null);
  assert.deepEqual(refused(checkReadLevel), ['ANY']);
  assert.deepEqual(refused(checkWriteLevel), ['SERIAL', 'LOCAL_SERIAL']);
  assert.deepEqual(
    refused((level) => checkCounterLevel(level, 't')),
    ['ANY', 'SERIAL', 'LOCAL_SERIAL'],
  );
  const conditional = (serial: number, isNetworkTopology: boolean) =>
    refused((level) => checkConditionalLevels(level, serial, isNetworkTopology));
  assert.deepEqual(conditional(Level.SERIAL, true), ['SERIAL', 'LOCAL_SERIAL']);
  assert.deepEqual(conditional(Level.LOCAL_SERIAL, false), [
    'EACH_QUORUM',
    'SERIAL',
    'LOCAL_SERIAL',
  ]);
  assert.equal(conditional(Level.QUORUM, true).length, NAMES.length);
});

test('each node that is written to and not read is one answer more, where it counts', () => {
  const [near, far] = live({ dc1: 1, dc2: 1 });
  const of = network({ dc1: '3', dc2: '3' });
  const blockFor = (extras: readonly NodeInfo[]) =>
    NAMES.map((level) => of.blockFor(Level[level], extras));
  assert.deepEqual(blockFor([near]), [1, 2, 3, 4, 5, 7, 3, 5, 5, 3, 2]);
  assert.deepEqual(blockFor([far]), [1, 2, 3, 4, 5, 7, 2, 5, 5, 2, 1]);
  const alive = live({ dc1: 2, dc2: 3 });
  assert.equal(of.refusal(Level.LOCAL_QUORUM, alive, [near])?.detail?.kind, 'unavailable');
  assert.equal(of.refusal(Level.LOCAL_QUORUM, alive, [far]), null);
  assert.equal(of.refusal(Level.EACH_QUORUM, alive, [far]), null);
  assert.deepEqual(of.refusal(Level.EACH_QUORUM, alive, [near])?.detail, {
    kind: 'unavailable',
    consistency: Level.EACH_QUORUM,
    required: 3,
    alive: 2,
  });
  const tally = new Tally(of, Level.EACH_QUORUM, [near]);
  for (const node of alive) tally.add(node);
  assert.equal(tally.isMet, false);
  tally.add(near);
  assert.equal(tally.isMet, true);
});
