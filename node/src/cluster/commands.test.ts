import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ClusterState, NodeInfo, OperationPlan } from './cluster-state.ts';
import { decodeCommand, decodeState, encodeCommand, encodeState } from './command-codec.ts';
import { applyCommand, isSameNode } from './commands.ts';
import { gridToken } from './grid.ts';
import {
  decodeJoinAnswer,
  decodeJoinRequest,
  decodeLeaderAnswer,
  decodeLeaderRequest,
  encodeJoinAnswer,
  encodeLeaderRequest,
} from './metadata-messages.ts';
import { newKeyspace, testNode, testState } from './testing/nodes.ts';

const FIRST = testNode(1, { tokens: [gridToken(1), gridToken(9)] });
const SECOND = testNode(2, { tokens: [gridToken(2)] });
const PLAN: OperationPlan = {
  ...{ id: 'x', kind: 'move', hostId: SECOND.hostId, replaces: null },
  tokens: [gridToken(3)],
};

test('a change makes a new state of its epoch; one that changes nothing leaves the state', () => {
  const state = testState([FIRST]);
  const { state: next, refused } = applyCommand(state, { kind: 'add-node', node: SECOND }, 5);
  assert.equal(refused, null);
  assert.equal(next.epoch, 5);
  assert.deepEqual([...next.nodes.keys()], [FIRST.hostId, SECOND.hostId]);
  assert.equal(state.nodes.size, 1);
  assert.equal(applyCommand(next, { kind: 'add-node', node: SECOND }, 6).state, next);
  assert.equal(applyCommand(next, { kind: 'update-node', node: SECOND }, 6).state, next);
});

test('a node that is joining owns nothing; it may go, and never comes back', () => {
  const joining = { ...SECOND, state: 'joining' } as const;
  let state = testState([FIRST]);
  state = applyCommand(state, { kind: 'add-node', node: joining }, 2).state;
  assert.equal(state.topologyEpoch, 1);
  const refused = (node: NodeInfo, kind: 'add-node' | 'update-node' = 'update-node') =>
    applyCommand(state, { kind, node }, 3).refused ?? '';
  assert.match(refused(SECOND), /by an operation only/);
  assert.match(refused({ ...joining, tokens: [gridToken(5)] }), /by an operation only/);
  assert.match(refused({ ...joining, rack: 'other' }), /cannot be changed/);
  assert.match(refused(testNode(3, { tokens: SECOND.tokens }), 'add-node'), /belongs to the node/);
  assert.match(refused(testNode(3, { tokens: [] }), 'add-node'), /no tokens/);
  assert.match(refused(testNode(3, { tokens: [5n] }), 'add-node'), /not on the grid/);
  const unsorted = [gridToken(7), gridToken(6)];
  assert.match(refused(testNode(3, { tokens: unsorted }), 'add-node'), /ascending/);
  const left = { ...SECOND, state: 'left', tokens: [] } as const;
  state = applyCommand(state, { kind: 'update-node', node: left }, 5).state;
  assert.equal(state.nodes.get(SECOND.hostId)?.state, 'left');
  assert.match(refused(SECOND), /for good/);
  assert.match(refused(SECOND, 'add-node'), /for good/);
  // Its tokens are free again.
  const third = testNode(3, { tokens: SECOND.tokens });
  const outcome = applyCommand(state, { kind: 'add-node', node: third }, 7);
  assert.equal(outcome.refused, null);
  assert.equal(outcome.state.topologyEpoch, 7);
});

test('states and commands are read as they were written', () => {
  const ended = { ...PLAN, outcome: 'cancelled', reason: 'why', epoch: 8 } as const;
  const { tokens: _, ...wanted } = ended;
  const state: ClusterState = {
    ...testState([FIRST, SECOND]),
    operations: [{ ...PLAN, phase: 'switched', startEpoch: 4, phaseEpoch: 5, done: ['y'] }],
    ended: [wanted],
  };
  const recent = new Map([
    ['a', true],
    ['b', false],
  ]);
  const whole = { cluster: state, recent };
  assert.deepEqual(decodeState(encodeState(whole)), whole);
  for (const command of [
    { kind: 'add-node', node: FIRST },
    { kind: 'add-node', node: { ...SECOND, tokens: [], state: 'joining', replaces: 'x' } },
    newKeyspace('k'.repeat(900)),
    { kind: 'begin-operation', plan: { ...PLAN, kind: 'replace', replaces: 'x' }, base: 7 },
    { kind: 'operation-done', id: 'x', hostId: 'y' },
    { kind: 'switch-operation', id: 'x' },
    { kind: 'finish-operation', id: 'x' },
    { kind: 'cancel-operation', id: 'x', reason: 'why' },
  ] as const) {
    assert.deepEqual(decodeCommand(encodeCommand({ id: 'x', command })), { id: 'x', command });
  }
  const many = testState(Array.from({ length: 100 }, (_, i) => testNode(i, FIRST)));
  assert.ok(encodeState({ cluster: many, recent }).length < 10_000);
  assert.ok(isSameNode(FIRST, { ...FIRST, tokens: [...FIRST.tokens] }));
});

test('bytes of a peer never throw, whatever they are', () => {
  const decoders = [
    decodeCommand,
    decodeState,
    decodeJoinRequest,
    decodeJoinAnswer,
    decodeLeaderRequest,
    decodeLeaderAnswer,
  ];
  fc.assert(
    fc.property(fc.nat(2), fc.jsonValue(), (form, value) => {
      const bytes = Buffer.concat([Uint8Array.of(4, form), Buffer.from(JSON.stringify(value))]);
      for (const decode of decoders) decode(bytes);
    }),
  );
  const good = [
    encodeState({ cluster: testState([FIRST]), recent: new Map([['x', true]]) }),
    encodeCommand({ id: 'x', command: { kind: 'add-node', node: FIRST } }),
    encodeCommand({ id: 'x', command: { kind: 'begin-operation', plan: PLAN, base: 1 } }),
    encodeLeaderRequest({ kind: 'propose', clusterId: 'c', entry: Buffer.from('e') }),
    encodeJoinAnswer({ kind: 'refused', reason: 'no' }),
  ];
  for (const bytes of good) {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = Uint8Array.from(bytes);
        changed[at] = value;
        for (const decode of decoders) decode(changed);
      }),
    );
  }
});
