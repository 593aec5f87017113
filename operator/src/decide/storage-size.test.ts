import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterSpec } from '../api/datacenter-cluster.ts';
import { bytesOf } from '../resources/values.ts';
import { viewOf, withNodes, withPods, withSpec } from '../testing/views.ts';
import { gatherFacts } from './facts.ts';
import { targetSize } from './storage-size.ts';

interface Case {
  readonly size?: string;
  /** Asked for. */
  readonly has?: string;
  readonly capacity?: string;
  /** Of the file system. */
  readonly disk?: string;
  /** Percent. */
  readonly used: number;
  readonly autogrow?: ClusterSpec['storage']['autogrow'];
}

const GROW = { max: '20Gi', step: '5Gi', threshold: 80 };

function targetOf(given: Case): { readonly size: string; readonly problem: string } {
  const { size = '10Gi', has = '10Gi', capacity = has, disk = has, used, autogrow = GROW } = given;
  const base = viewOf([{ name: 'a1', rack: 'a' }], 1, ['a']);
  const view = withNodes(
    withPods(
      withSpec(base, { storage: { size, ...(autogrow === undefined ? {} : { autogrow }) } }),
    ),
    (node) =>
      node.claim === null
        ? node
        : {
            ...node,
            claim: {
              ...node.claim,
              spec: { ...node.claim.spec, resources: { requests: { storage: has } } },
              status: { phase: 'Bound', capacity: { storage: capacity } },
            },
          },
  );
  const bytes = bytesOf(disk);
  const use = { bytes, freeBytes: bytes * (1 - used / 100), atMillis: view.nowMillis };
  const facts = gatherFacts({ ...view, disks: new Map([['a1', use]]) });
  return targetSize(facts.nodes[0], facts);
}

test('a volume that gets full grows by a step, up to the most', () => {
  const percent = { max: '20Gi', percent: 25, threshold: 80 };
  const rows: readonly (readonly [string, Case])[] = [
    ['10Gi', { used: 79 }],
    ['15Gi', { used: 80 }],
    ['15Gi', { used: 80, has: '10240Mi' }],
    ['20Gi', { used: 90, has: '18Gi' }],
    ['12800Mi', { used: 90, autogrow: percent }],
    ['12Gi', { used: 90, autogrow: { max: '20Gi', threshold: 80 } }],
    // The spec grows first.
    ['12Gi', { used: 90, size: '12Gi' }],
    // What it has grown to it keeps.
    ['15Gi', { used: 10, has: '15Gi' }],
    // One step at a time: volume, then file system.
    ['15Gi', { used: 90, has: '15Gi', capacity: '10Gi', disk: '10Gi' }],
    ['15Gi', { used: 90, has: '15Gi', disk: '10Gi' }],
    // A file system that it has not for itself.
    ['10Gi', { used: 90, disk: '500Gi' }],
  ];
  for (const [expected, given] of rows) {
    assert.equal(bytesOf(targetOf(given).size), bytesOf(expected), JSON.stringify(given));
  }
});

test('a full one that may not grow says so', () => {
  assert.match(targetOf({ used: 85, has: '20Gi' }).problem, /autogrow\.max/);
  assert.equal(targetOf({ used: 70, has: '20Gi' }).problem, '');
});
