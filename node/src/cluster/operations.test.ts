import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterState, NodeInfo, OperationCommand, OperationPlan } from './cluster-state.ts';
import { applyCommand } from './commands.ts';
import { gridToken } from './grid.ts';
import { OPERATIONS_MAX, refusalOfBegin } from './operation-rules.ts';
import { gainersOf, missingGainers, operationOfNode } from './operations.ts';
import { Ring } from './ring.ts';
import type { SchemaEdit } from './schema-change.ts';
import { testNode, testState, withKeyspaces } from './testing/nodes.ts';

const SIMPLE = (factor: number) => ({
  class: 'SimpleStrategy',
  replication_factor: String(factor),
});
const TOPOLOGY = (factors: Record<string, string>) => ({
  class: 'NetworkTopologyStrategy',
  ...factors,
});

/** Token i * 1000 of node i. */
const NODES = [1, 2, 3, 4].map((i) => testNode(i, { tokens: [gridToken(i * 1000)] }));
const [A, B, C, D] = NODES;
const JOINING = testNode(9, { state: 'joining', tokens: [gridToken(1500)] });
const NEW = testNode(8, { state: 'joining', replaces: B.hostId });

function planOf(kind: OperationPlan['kind'], node: NodeInfo, parts: Partial<OperationPlan> = {}) {
  const tokens = kind === 'join' ? node.tokens : [];
  return {
    id: `${kind} ${node.address}`,
    kind,
    hostId: node.hostId,
    replaces: null,
    tokens,
    ...parts,
  };
}

const JOIN = planOf('join', JOINING);
const REPLACE = planOf('replace', NEW, { replaces: B.hostId, tokens: B.tokens });

/** Applies commands one after another; each has to be taken. */
class Log {
  state: ClusterState;

  constructor(nodes: readonly NodeInfo[], factor = 2) {
    this.state = withKeyspaces(testState(nodes), [SIMPLE(factor)]);
  }

  try(command: Parameters<typeof applyCommand>[1]): string | null {
    const { state, refused } = applyCommand(this.state, command, this.state.epoch + 1);
    if (refused !== null) assert.equal(state, this.state);
    this.state = state;
    return refused;
  }

  do(...commands: readonly OperationCommand[]): this {
    for (const command of commands) assert.equal(this.try(command), null);
    return this;
  }

  begin(plan: OperationPlan): this {
    return this.do({ kind: 'begin-operation', plan, base: this.state.topologyEpoch });
  }

  refusal(plan: OperationPlan, base = this.state.topologyEpoch) {
    const refusal = refusalOfBegin(this.state, plan, base);
    const refused = this.try({ kind: 'begin-operation', plan, base });
    assert.equal(refused, refusal?.reason ?? null);
    return refusal === null ? '' : `${refusal.code}: ${refusal.reason}`;
  }

  allDone(id: string): this {
    const operation = this.state.operations.find((one) => one.id === id);
    assert.ok(operation !== undefined);
    for (const hostId of missingGainers(this.state, operation)) {
      this.do({ kind: 'operation-done', id, hostId });
    }
    return this;
  }

  carryOut({ id }: OperationPlan): this {
    this.allDone(id);
    return this.do({ kind: 'switch-operation', id }, { kind: 'finish-operation', id });
  }

  stateOf({ hostId }: NodeInfo): string {
    return this.state.nodes.get(hostId)?.state ?? 'unknown';
  }
}

test('a join: streaming, switched, finished; the epoch of the topology grows with each', () => {
  const log = new Log([...NODES, JOINING]).begin(JOIN);
  const { id } = JOIN;
  const [operation] = log.state.operations;
  const began = log.state.epoch;
  assert.equal(log.state.topologyEpoch, began);
  assert.deepEqual(
    [operation.startEpoch, operation.phaseEpoch, operation.phase],
    [began, began, 'streaming'],
  );
  assert.deepEqual([...gainersOf(log.state, operation)], [JOINING.hostId]);
  assert.match(log.try({ kind: 'switch-operation', id }) ?? '', /do not have their data yet/);
  assert.match(log.try({ kind: 'finish-operation', id }) ?? '', /still streams/);
  assert.match(log.try({ kind: 'operation-done', id, hostId: 'nobody' }) ?? '', /gets nothing/);
  log.allDone(id);
  assert.equal(log.state.topologyEpoch, began);
  log.do({ kind: 'switch-operation', id });
  const switched = log.state;
  assert.equal(switched.topologyEpoch, switched.epoch);
  assert.equal(switched.operations[0].phaseEpoch, switched.epoch);
  // Once more changes nothing.
  log.do({ kind: 'switch-operation', id }, { kind: 'operation-done', id, hostId: JOINING.hostId });
  assert.equal(log.state, switched);
  assert.match(log.try({ kind: 'cancel-operation', id, reason: '' }) ?? '', /can only go on/);
  log.do({ kind: 'finish-operation', id });
  assert.equal(log.stateOf(JOINING), 'normal');
  assert.deepEqual(log.state.operations, []);
  assert.equal(log.state.ended.at(-1)?.outcome, 'finished');
  assert.match(log.try({ kind: 'finish-operation', id }) ?? '', /has ended/);
  const owner = new Ring(log.state).replicas(SIMPLE(1), JOINING.tokens[0])[0];
  assert.equal(owner.hostId, JOINING.hostId);
});

test('a replace, a leave, a move: what becomes of the nodes', () => {
  const replaced = new Log([...NODES, NEW]).begin(REPLACE).carryOut(REPLACE);
  assert.deepEqual([replaced.stateOf(B), replaced.stateOf(NEW)], ['left', 'normal']);
  assert.deepEqual(replaced.state.nodes.get(B.hostId)?.tokens, []);
  const { tokens, replaces } = replaced.state.nodes.get(NEW.hostId) ?? NEW;
  assert.deepEqual([tokens, replaces], [B.tokens, undefined]);

  const left = new Log(NODES).begin(planOf('leave', C));
  assert.equal(left.stateOf(C), 'leaving');
  left.carryOut(planOf('leave', C));
  assert.equal(left.stateOf(C), 'left');

  const move = planOf('move', D, { tokens: [gridToken(2500)] });
  const moved = new Log(NODES).begin(move).carryOut(move);
  assert.deepEqual(moved.state.nodes.get(D.hostId)?.tokens, [gridToken(2500)]);
});

test('who is cancelled is as before; a new node is gone for good', () => {
  const cancelled = (nodes: readonly NodeInfo[], plan: OperationPlan) =>
    new Log(nodes)
      .begin(plan)
      .do({ kind: 'cancel-operation', id: plan.id, reason: 'the disk is full' });
  assert.equal(cancelled([...NODES, JOINING], JOIN).stateOf(JOINING), 'left');
  const replace = cancelled([...NODES, NEW], REPLACE);
  assert.deepEqual([replace.stateOf(B), replace.stateOf(NEW)], ['normal', 'left']);
  const leave = cancelled(NODES, planOf('leave', C));
  assert.equal(leave.stateOf(C), 'normal');
  assert.equal(leave.state.ended[0].reason, 'the disk is full');
  const move = cancelled(NODES, planOf('move', D, { tokens: [gridToken(2500)] }));
  assert.deepEqual(move.state.nodes.get(D.hostId), D);
});

test('what is not as it has to be does not begin, and the reason says so', () => {
  const log = new Log([...NODES, JOINING, NEW]);
  const stranger = testNode(77);
  assert.match(log.refusal(planOf('leave', stranger)), /INVALID.*not a member/);
  assert.match(log.refusal(planOf('join', A)), /INVALID.*is normal: a join is for/);
  assert.match(log.refusal(planOf('leave', JOINING)), /INVALID.*is joining/);
  assert.match(log.refusal(JOIN, 0), /STALE.*plan it again/);
  assert.match(
    log.refusal(planOf('join', JOINING, { tokens: [gridToken(7)] })),
    /INVALID.*not those with which/,
  );
  assert.match(log.refusal(planOf('join', NEW)), /INVALID.*not to replace/);
  assert.match(
    log.refusal(planOf('replace', JOINING, { replaces: A.hostId })),
    /INVALID.*not to replace/,
  );
  const elsewhere = { ...REPLACE, tokens: A.tokens };
  assert.match(log.refusal(elsewhere), /INVALID.*tokens are not those/);
  const moves: [readonly bigint[], RegExp][] = [
    [A.tokens, /has these tokens already/],
    [[], /no tokens/],
    [B.tokens, /belongs to the node/],
    [[5n], /not on the grid/],
    [[gridToken(9), gridToken(8)], /ascending/],
  ];
  for (const [tokens, why] of moves) assert.match(log.refusal(planOf('move', A, { tokens })), why);
  log.begin(JOIN);
  assert.match(log.refusal(JOIN), /INVALID.*already/);
  assert.match(log.refusal({ ...JOIN, id: 'another' }), /WAIT.*has to end first/);
});

test('who cannot be replaced: other places, who has left, who is replaced by another', () => {
  const gone = testNode(5, { state: 'left' });
  const first = { ...NEW, hostId: 'first' };
  const log = new Log([...NODES, gone]);
  const add = (parts: Partial<NodeInfo>) =>
    log.try({ kind: 'add-node', node: { ...NEW, ...parts } }) ?? '';
  assert.match(add({ rack: 'rack2' }), /has to be there too/);
  assert.match(add({ datacenter: 'dc2' }), /has to be there too/);
  assert.match(add({ replaces: gone.hostId }), /is left and owns nothing/);
  assert.match(add({ replaces: 'nobody' }), /not another member/);
  assert.match(add({ tokens: [gridToken(1)] }), /give none/);
  assert.equal(log.try({ kind: 'add-node', node: first }), null);
  assert.match(add({}), /replaces .* already/);
});

test('a node leaves only if each keyspace has enough others', () => {
  const far = (i: number) => testNode(i, { datacenter: 'dc2', tokens: [gridToken(i * 1000)] });
  const leave = (nodes: readonly NodeInfo[], keyspace: Record<string, string>, node: NodeInfo) => {
    const log = new Log(nodes);
    log.state = withKeyspaces(log.state, [keyspace]);
    return log.refusal(planOf('leave', node));
  };
  const two = [...NODES, far(5), far(6)];
  assert.match(leave(NODES, SIMPLE(4), A), /keyspace k0 has 4 replicas.*only 3 nodes/);
  assert.match(leave(two, TOPOLOGY({ dc1: '4' }), A), /4 replicas in dc1.*only 3 nodes/);
  assert.match(leave([...NODES, far(5)], TOPOLOGY({ dc2: '1' }), far(5)), /last one of dc2/);
  assert.match(leave([A], SIMPLE(1), A), /last one of the cluster/);
  assert.equal(leave(two, TOPOLOGY({ dc1: '4', dc2: '1' }), far(5)), '');
  // Who joins may not come in the end.
  const log = new Log([A, B, JOINING]).begin(JOIN);
  assert.match(log.refusal(planOf('leave', B)), /only 1 nodes left/);
});

test('operations on the same ranges wait for each other, others run at one time', () => {
  const nodes = Array.from({ length: 40 }, (_, i) =>
    testNode(i + 1, { tokens: [gridToken(i * 1000)] }),
  );
  const joiners = [500, 1_500, 20_500, 20_700, 33_500, 36_500, 30_500].map((bucket, i) =>
    testNode(100 + i, { state: 'joining', tokens: [gridToken(bucket)] }),
  );
  const log = new Log([...nodes, ...joiners], 3);
  const [first, near, far, ...others] = joiners.map((node) => planOf('join', node));
  log.begin(first);
  assert.match(log.refusal(near), /WAIT: it is about the same ranges as the join of/);
  log.begin(far);
  assert.match(log.refusal(others[0]), /WAIT.*same ranges/);
  log.begin(others[1]).begin(planOf('leave', nodes[10]));
  // Tokens of a move in progress are taken.
  log.carryOut(first).begin(planOf('move', nodes[27], { tokens: [gridToken(27_100)] }));
  const thief = testNode(200, { state: 'joining', tokens: [gridToken(27_100)] });
  assert.match(log.try({ kind: 'add-node', node: thief }) ?? '', /is taken by the move/);
  assert.match(
    log.try({ kind: 'add-node', node: testNode(201, { tokens: [gridToken(4)] }) }) ?? '',
    /has to end first/,
  );
  assert.equal(operationOfNode(log.state, nodes[27].hostId)?.kind, 'move');
});

test('there are only so many operations at one time', () => {
  const nodes = Array.from({ length: 200 }, (_, i) =>
    testNode(i + 1, { tokens: [gridToken(i * 300)] }),
  );
  const joiners = Array.from({ length: OPERATIONS_MAX + 1 }, (_, i) =>
    testNode(500 + i, { state: 'joining', tokens: [gridToken(i * 3_000 + 50)] }),
  );
  const log = new Log([...nodes, ...joiners]);
  for (const node of joiners.slice(1)) log.begin(planOf('join', node));
  assert.match(log.refusal(planOf('join', joiners[0])), /WAIT: 16 operations are in progress/);
});

test('replications stay while ranges move', () => {
  const log = new Log([...NODES, JOINING]).begin(JOIN);
  const put = (keyspace: string, replication: Record<string, string>, durableWrites = true) => {
    const edits: SchemaEdit[] = [{ kind: 'put-keyspace', keyspace, replication, durableWrites }];
    return log.try({ kind: 'schema', change: { version: 'v', expected: [], edits } });
  };
  assert.match(put('k0', SIMPLE(3)) ?? '', /cannot be set now: the join of .* in progress/);
  assert.match(put('new', SIMPLE(3)) ?? '', /keyspace new/);
  assert.equal(put('k0', SIMPLE(2), false), null);
  assert.equal(put('new', { replication_factor: '2', class: 'SimpleStrategy' }), null);
  log.carryOut(JOIN);
  assert.equal(put('k0', SIMPLE(3)), null);
});

test('without keyspaces nobody gets anything', () => {
  const log = new Log([...NODES, JOINING]);
  log.state = { ...log.state, schema: { ...log.state.schema, keyspaces: [] } };
  log.begin(JOIN);
  assert.deepEqual(missingGainers(log.state, log.state.operations[0]), []);
  log.do({ kind: 'switch-operation', id: JOIN.id }, { kind: 'finish-operation', id: JOIN.id });
  assert.equal(log.stateOf(JOINING), 'normal');
});
