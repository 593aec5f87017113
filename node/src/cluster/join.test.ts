import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterCommand, ClusterState, NodeInfo } from './cluster-state.ts';
import { applyCommand, EMPTY_CLUSTER } from './commands.ts';
import { JoinDesk, type JoinDeskDeps } from './join.ts';
import {
  decodeJoinAnswer,
  encodeJoinRequest,
  FORMATS,
  type JoinAnswer,
  PARTITIONER,
} from './metadata-messages.ts';

function nodeOf(name: string): NodeInfo {
  return {
    ...{ hostId: name, address: name, controlPort: 1, dataPort: 2, rpcAddress: name, rpcPort: 3 },
    ...{ datacenter: 'dc1', rack: 'r1', tokens: [], state: 'normal', releaseVersion: '0' },
  };
}

/** A desk whose log decides when it is told to. */
function deskOf(overrides: Partial<JoinDeskDeps> = {}) {
  let state: ClusterState = { ...EMPTY_CLUSTER, epoch: 1, clusterName: 'c' };
  const waiting: (() => void)[] = [];
  const desk = new JoinDesk({
    hostId: 'leader',
    leader: () => nodeOf('leader'),
    liveness: { isAlive: () => false },
    random: () => 0.5,
    snapshot: () => ({ index: state.epoch, term: 1, voters: ['leader'], data: new Uint8Array(1) }),
    log: {
      current: () => state,
      propose: (command: ClusterCommand) =>
        new Promise((resolve) => {
          waiting.push(() => {
            const outcome = applyCommand(state, command, state.epoch + 1);
            state = outcome.state;
            resolve({ applied: outcome.refused === null, reason: outcome.refused });
          });
        }),
    },
    ...overrides,
  });
  const ask = (name: string): Promise<JoinAnswer | null> =>
    new Promise((resolve) => {
      const formats = FORMATS;
      const common = { clusterName: 'c', partitioner: PARTITIONER, formats };
      desk.serve(encodeJoinRequest({ ...common, node: nodeOf(name), tokenCount: 16 }), {
        answer: (body) => resolve(decodeJoinAnswer(body)),
        fail: () => resolve(null),
      });
    });
  const decide = (): void => {
    for (const run of waiting.splice(0)) run();
  };
  return { ask, decide, current: () => state };
}

test('nodes that join at one time get different tokens', async () => {
  const { ask, decide, current } = deskOf();
  const answers = Array.from({ length: 60 }, (_, i) => ask(`node${i}`));
  decide();
  for (const answer of await Promise.all(answers)) assert.equal(answer?.kind, 'joined');
  const tokens = [...current().nodes.values()].flatMap((node) => node.tokens);
  assert.equal(new Set(tokens).size, 60 * 16);
});

test('who does not lead says who does', async () => {
  const { ask } = deskOf({ hostId: 'follower' });
  const answer = await ask('node1');
  assert.equal(answer?.kind, 'retry');
  assert.equal(answer?.kind === 'retry' && answer.leader?.hostId, 'leader');
  const lost = await deskOf({ leader: () => null }).ask('node1');
  assert.equal(lost?.kind === 'retry' && lost.leader, null);
});

test('tokens that another leader gave away are not the end: the node is to ask again', async () => {
  const refused = Promise.resolve({ applied: false, reason: 'the token 1 belongs to another' });
  const state = { ...EMPTY_CLUSTER, epoch: 1, clusterName: 'c' };
  const { ask } = deskOf({ log: { current: () => state, propose: () => refused } });
  assert.equal((await ask('node1'))?.kind, 'retry');
});

test('more than the desk takes at one time are told to come again', async () => {
  const { ask, decide } = deskOf();
  const answers = Array.from({ length: 65 }, (_, i) => ask(`node${i}`));
  decide();
  const kinds = (await Promise.all(answers)).map((answer) => answer?.kind);
  assert.equal(kinds.filter((kind) => kind === 'joined').length, 64);
  assert.equal(kinds[64], undefined);
});
