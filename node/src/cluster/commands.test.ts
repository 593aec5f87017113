import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
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

test('a node goes its way: joining, normal, left, and never back', () => {
  const joining = { ...SECOND, state: 'joining' } as const;
  let state = testState([FIRST]);
  state = applyCommand(state, { kind: 'add-node', node: joining }, 2).state;
  state = applyCommand(state, { kind: 'update-node', node: SECOND }, 3).state;
  assert.equal(state.nodes.get(SECOND.hostId)?.state, 'normal');
  assert.notEqual(applyCommand(state, { kind: 'update-node', node: joining }, 4).refused, null);
  const left = { ...SECOND, state: 'left', tokens: [] } as const;
  state = applyCommand(state, { kind: 'update-node', node: left }, 5).state;
  assert.match(
    applyCommand(state, { kind: 'update-node', node: SECOND }, 6).refused ?? '',
    /for good/,
  );
  assert.match(
    applyCommand(state, { kind: 'add-node', node: SECOND }, 6).refused ?? '',
    /for good/,
  );
  // Its tokens are free again.
  const third = testNode(3, { tokens: SECOND.tokens });
  assert.equal(applyCommand(state, { kind: 'add-node', node: third }, 7).refused, null);
});

test('states and commands are read as they were written', () => {
  const state = testState([FIRST, SECOND]);
  const recent = new Map([
    ['a', true],
    ['b', false],
  ]);
  const whole = { cluster: state, recent };
  assert.deepEqual(decodeState(encodeState(whole)), whole);
  for (const command of [
    { kind: 'add-node', node: FIRST },
    newKeyspace('k'.repeat(900)),
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
      const bytes = Buffer.concat([Uint8Array.of(2, form), Buffer.from(JSON.stringify(value))]);
      for (const decode of decoders) decode(bytes);
    }),
  );
  const good = [
    encodeState({ cluster: testState([FIRST]), recent: new Map([['x', true]]) }),
    encodeCommand({ id: 'x', command: { kind: 'add-node', node: FIRST } }),
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
