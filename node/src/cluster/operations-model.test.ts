import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ClusterCommand, ClusterState, NodeInfo, OperationKind } from './cluster-state.ts';
import { decodeState, encodeState } from './command-codec.ts';
import { applyCommand } from './commands.ts';
import { gridToken } from './grid.ts';
import { affectedRanges } from './movements.ts';
import { replicationsOf } from './operation-rules.ts';
import { missingGainers } from './operations.ts';
import { type Replication, Ring, replicationFactors } from './ring.ts';
import { testNode, testState, withKeyspaces } from './testing/nodes.ts';

const KINDS: readonly OperationKind[] = ['join', 'leave', 'replace', 'move'];
const REPLICATIONS: readonly Replication[] = [
  { class: 'SimpleStrategy', replication_factor: '2' },
  { class: 'NetworkTopologyStrategy', dc0: '2' },
  { class: 'NetworkTopologyStrategy', dc0: '1', dc1: '2' },
  { class: 'NetworkTopologyStrategy', dc1: '1' },
];

/** What is tried; the numbers choose among what there is. */
interface Step {
  readonly what: 'add' | 'begin' | 'done' | 'switch' | 'finish' | 'cancel' | 'alter' | 'leave';
  readonly a: number;
  readonly b: number;
  readonly kind: OperationKind;
}

const steps = fc.array(
  fc.record<Step>({
    // What begins more is tried more often.
    what: fc.constantFrom(
      ...([
        'add',
        'add',
        'begin',
        'begin',
        'begin',
        'begin',
        'done',
        'done',
        'done',
        'done',
        'done',
      ] as const),
      ...(['switch', 'switch', 'finish', 'finish', 'cancel', 'alter', 'leave'] as const),
    ),
    a: fc.nat(9999),
    b: fc.nat(0xffff),
    kind: fc.constantFrom(...KINDS),
  }),
  { minLength: 20, maxLength: 80 },
);

function pick<T>(items: Iterable<T>, number: number): T | undefined {
  const all = [...items];
  return all[number % all.length];
}

function placeOf(i: number): Pick<NodeInfo, 'datacenter' | 'rack'> {
  return { datacenter: `dc${i % 2}`, rack: `rack${i % 3}` };
}

/** Random commands, most of which would be proposed by nobody. */
function commandOf(state: ClusterState, { what, a, b, kind }: Step, i: number): ClusterCommand {
  const operation = pick(state.operations, a);
  const id = operation?.id ?? 'none';
  const node = pick(state.nodes.values(), a);
  switch (what) {
    case 'add': {
      const number = 100 + i;
      const dead = kind === 'replace' ? node : undefined;
      const place = dead ?? placeOf(a);
      const { datacenter, rack } = place;
      const replaces = dead === undefined ? {} : { replaces: dead.hostId };
      const tokens = dead === undefined ? [gridToken(b)] : [];
      const parts = { datacenter, rack, tokens, state: 'joining', ...replaces } as const;
      return { kind: 'add-node', node: testNode(number, parts) };
    }
    case 'begin': {
      const joining = pick(
        [...state.nodes.values()].filter((one) => one.state === 'joining'),
        a,
      );
      const isNew = kind === 'join' || kind === 'replace';
      const one = (isNew ? joining : node) ?? testNode(1);
      const dead = one.replaces === undefined ? undefined : state.nodes.get(one.replaces);
      const fitting = isNew ? (dead === undefined ? 'join' : 'replace') : kind;
      const tokens = {
        ...{ join: one.tokens, replace: dead?.tokens ?? [], leave: [], move: [gridToken(b)] },
      }[fitting];
      const plan = { id: `op${i}`, kind: fitting, hostId: one.hostId, tokens } as const;
      const base = b % 10 === 0 ? 1 : state.topologyEpoch;
      return {
        kind: 'begin-operation',
        plan: { ...plan, replaces: one.replaces ?? null },
        base,
      };
    }
    case 'done': {
      // Now and then of one that gets nothing.
      const missing = operation === undefined ? [] : missingGainers(state, operation);
      const hostId = (b % 10 === 0 ? undefined : pick(missing, b)) ?? node?.hostId ?? '';
      return { kind: 'operation-done', id, hostId };
    }
    case 'switch':
      return { kind: 'switch-operation', id };
    case 'finish':
      return { kind: 'finish-operation', id };
    case 'cancel':
      return { kind: 'cancel-operation', id, reason: 'x' };
    case 'leave':
      return { kind: 'update-node', node: { ...(node ?? testNode(1)), state: 'left', tokens: [] } };
    case 'alter': {
      const replication = REPLICATIONS[b % REPLICATIONS.length];
      const keyspace = `k${a % 3}`;
      const edits = [{ kind: 'put-keyspace', keyspace, replication, durableWrites: true }] as const;
      return { kind: 'schema', change: { version: 'v', expected: [], edits } };
    }
  }
}

/** What is true of every state. */
function check(state: ClusterState): void {
  const { nodes, operations, epoch, topologyEpoch } = state;
  assert.ok(topologyEpoch <= epoch);
  const alive = [...nodes.values()].filter((node) => node.state !== 'left');
  const moves = operations.filter(({ kind }) => kind === 'move');
  const tokens = [...alive, ...moves].flatMap((one) => [...new Set(one.tokens)]);
  const kept = moves.flatMap(({ hostId, tokens: next }) =>
    next.filter((token) => nodes.get(hostId)?.tokens.includes(token)),
  );
  assert.equal(new Set(tokens).size, tokens.length - kept.length, 'a token twice');
  for (const node of alive) {
    const operation = operations.find(({ hostId }) => hostId === node.hostId);
    assert.equal(node.state === 'leaving', operation?.kind === 'leave');
    if (operation?.kind === 'join' || operation?.kind === 'replace') {
      assert.equal(node.state, 'joining');
    }
    if (node.state !== 'joining') assert.ok(node.tokens.length > 0);
  }
  for (const { hostId, replaces } of operations) {
    assert.ok(nodes.has(hostId) && (replaces === null || nodes.has(replaces)));
  }
  const concerned = operations.flatMap(({ hostId, replaces }) => [hostId, replaces ?? hostId + 1]);
  assert.equal(new Set(concerned).size, concerned.length, 'a node in two operations');
  for (const replication of replicationsOf(state.schema)) checkRanges(state, replication);
  assert.deepEqual(decodeState(encodeState({ cluster: state, recent: new Map() }))?.cluster, state);
}

function checkRanges(state: ClusterState, replication: Replication): void {
  const { operations } = state;
  const ring = new Ring(state);
  const reads = ring.placement(replication);
  const writes = ring.writes(replication);
  const bucketsOf = operations.map((operation) => affectedRanges(state, operation, replication));
  const taken = new Set<number>();
  for (const { first, last } of bucketsOf.flat()) {
    for (const bucket of [first, last]) {
      const owners = bucketsOf.filter((ranges) =>
        ranges.some((range) => range.first <= bucket && bucket <= range.last),
      );
      assert.equal(owners.length, 1, 'two operations about one range');
    }
    assert.ok(!taken.has(first));
    taken.add(first);
  }
  const factors = replicationFactors(replication);
  for (const { last } of writes.ranges()) {
    const readers = reads.ofBucket(last);
    assert.ok(readers.every((node) => writes.ofBucket(last).includes(node)));
    for (const [datacenter, factor] of factors) {
      const isHere = (node: NodeInfo) => datacenter === null || node.datacenter === datacenter;
      const there = ring.nodes.filter(isHere).length;
      assert.equal(readers.filter(isHere).length, Math.min(factor, there), 'too few are read');
    }
  }
}

function mustApply(state: ClusterState, command: ClusterCommand): ClusterState {
  const outcome = applyCommand(state, command, state.epoch + 1);
  assert.equal(outcome.refused, null);
  return outcome.state;
}

/** All of them carried out, or undone. */
function ended(first: ClusterState, cancels: boolean): ClusterState {
  let state = first;
  for (const operation of first.operations) {
    const { id, phase } = operation;
    if (cancels && phase === 'streaming') {
      state = mustApply(state, { kind: 'cancel-operation', id, reason: '' });
      continue;
    }
    if (phase === 'streaming') {
      for (const hostId of missingGainers(state, operation)) {
        state = mustApply(state, { kind: 'operation-done', id, hostId });
      }
    }
    state = mustApply(state, { kind: 'switch-operation', id });
    state = mustApply(state, { kind: 'finish-operation', id });
  }
  assert.equal(state.operations.length, 0);
  return state;
}

test('whatever is proposed: one operation a range, no token twice, enough replicas, and each can end', () => {
  const seen = { atOnce: 0, switched: 0, finished: 0, cancelled: 0 };
  fc.assert(
    fc.property(
      steps,
      fc.uniqueArray(fc.nat(0xffff), { minLength: 36, maxLength: 36 }),
      (all, buckets) => {
        const nodes = Array.from({ length: 12 }, (_, i) => {
          const own = buckets.slice(3 * i, 3 * i + 3).sort((a, b) => a - b);
          return testNode(i + 1, { ...placeOf(i), tokens: own.map(gridToken) });
        });
        let state = withKeyspaces(testState(nodes), REPLICATIONS.slice(0, (all[0].a % 3) + 1));
        for (const [i, step] of all.entries()) {
          const before = state;
          const outcome = applyCommand(state, commandOf(state, step, i), state.epoch + 1);
          state = outcome.state;
          if (outcome.refused !== null) assert.equal(state, before);
          if (state === before) continue;
          check(state);
          if (state.operations.length > 1) seen.atOnce++;
          if (state.operations.some(({ phase }) => phase === 'switched')) seen.switched++;
        }
        check(ended(state, false));
        check(ended(state, true));
        seen.finished += state.ended.filter(({ outcome }) => outcome === 'finished').length;
        seen.cancelled += state.ended.filter(({ outcome }) => outcome === 'cancelled').length;
      },
    ),
    { seed: 5, numRuns: 60 },
  );
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 10, `${what}: ${count}`);
});
