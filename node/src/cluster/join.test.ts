import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_TABLE_OPTIONS } from '../schema/schema.ts';
import type { ClusterCommand, ClusterState, NodeInfo } from './cluster-state.ts';
import { applyCommand, EMPTY_CLUSTER } from './commands.ts';
import { gridToken } from './grid.ts';
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
function deskOf(overrides: Partial<JoinDeskDeps> = {}, parts: Partial<ClusterState> = {}) {
  let state: ClusterState = { ...EMPTY_CLUSTER, epoch: 1, clusterName: 'c', ...parts };
  const waiting: (() => void)[] = [];
  const desk = new JoinDesk({
    hostId: 'leader',
    leader: () => nodeOf('leader'),
    liveness: { isAlive: () => false },
    movesData: true,
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
  const ask = (name: string, replaces: string | null = null): Promise<JoinAnswer | null> =>
    new Promise((resolve) => {
      const formats = FORMATS;
      const common = { clusterName: 'c', partitioner: PARTITIONER, formats };
      desk.serve(encodeJoinRequest({ ...common, node: nodeOf(name), tokenCount: 16, replaces }), {
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

const OWNER: NodeInfo = { ...nodeOf('owner'), tokens: [gridToken(5)] };
const WITH_DATA: Partial<ClusterState> = {
  nodes: new Map([[OWNER.hostId, OWNER]]),
  schema: {
    ...EMPTY_CLUSTER.schema,
    keyspaces: [
      {
        ...{ name: 'k', replication: {}, durableWrites: true, types: [] },
        tables: [
          {
            ...{ keyspace: 'k', name: 't', id: 't', generation: 0, nextColumnId: 0, columns: [] },
            ...{ options: DEFAULT_TABLE_OPTIONS, droppedColumns: [], isCounter: false },
          },
        ],
      },
    ],
  },
};

test('while there is data a node is taken in with tokens and owns nothing; it may ask again', async () => {
  const { ask, decide, current } = deskOf({}, WITH_DATA);
  const first = ask('node1');
  decide();
  const answer = await first;
  assert.ok(answer?.kind === 'joined');
  assert.equal(answer.node.state, 'joining');
  assert.equal(answer.node.tokens.length, 16);
  const before = current();
  assert.deepEqual(await ask('node1'), answer);
  assert.equal(current(), before);
  const still = await deskOf({ movesData: false }, WITH_DATA).ask('node1');
  assert.match(
    still?.kind === 'refused' ? still.reason : '',
    /only while there are no user tables/,
  );
});

test('a member whose disk was emptied is not taken in again: others count on what it had', async () => {
  const member = { ...nodeOf('node1'), tokens: [gridToken(7)] };
  const nodes = new Map([['node1', member]]);
  const answer = await deskOf({}, { ...WITH_DATA, nodes }).ask('node1');
  assert.match(answer?.kind === 'refused' ? answer.reason : '', /replace_host_id: node1/);
  const empty = await deskOf({}, { nodes }).ask('node1');
  assert.equal(empty?.kind, 'joined');
});

test('a node takes the place of a dead one, of nobody else', async () => {
  const { ask, decide } = deskOf({}, WITH_DATA);
  const first = ask('node1', 'owner');
  decide();
  const answer = await first;
  assert.ok(answer?.kind === 'joined');
  const { state, replaces, tokens } = answer.node;
  assert.deepEqual([state, replaces, tokens], ['joining', 'owner', []]);
  assert.deepEqual(await ask('node1', 'owner'), answer);
  const refused = async (id: string, overrides: Partial<JoinDeskDeps> = {}) => {
    const reply = await deskOf(overrides, WITH_DATA).ask('node1', id);
    return reply?.kind === 'refused' ? reply.reason : '';
  };
  assert.match(await refused('owner', { liveness: { isAlive: () => true } }), /is alive: stop it/);
  assert.match(await refused('nobody'), /not another member/);
});
