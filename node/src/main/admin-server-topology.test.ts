import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterCommand, NodeInfo } from '../cluster/cluster-state.ts';
import { EMPTY_CLUSTER } from '../cluster/commands.ts';
import { TopologyRefusedError } from '../cluster/topology-requests.ts';
import type { DataMovements } from '../streaming/data-movements.ts';
import { AdminError } from './admin-messages.ts';
import { TopologyAdmin } from './admin-server-topology.ts';
import type { ControlPlane } from './control-plane.ts';

const JOINING: NodeInfo = {
  ...{ hostId: 'new', address: '10.0.0.2', controlPort: 7000, dataPort: 7001 },
  ...{ datacenter: 'dc1', rack: 'r1', rpcAddress: '10.0.0.2', rpcPort: 9042 },
  ...{ tokens: [1n], state: 'joining', releaseVersion: '1' },
};

function adminOf(nodes: readonly NodeInfo[], code: 'WAIT' | 'INVALID' = 'WAIT') {
  const commands: ClusterCommand[] = [];
  const asked: number[] = [];
  const control = {
    current: () => ({ ...EMPTY_CLUSTER, nodes: new Map(nodes.map((one) => [one.hostId, one])) }),
    propose: async (command: ClusterCommand) => {
      commands.push(command);
      return { applied: true, reason: null };
    },
    requests: {
      leave: (_node: unknown, waitMillis: number) => {
        asked.push(waitMillis);
        return Promise.reject(new TopologyRefusedError({ code, reason: 'others' }));
      },
    },
  };
  // As far as a removal needs them.
  const parts = { control, movements: {} } as unknown as {
    readonly control: ControlPlane;
    readonly movements: DataMovements;
  };
  return { admin: new TopologyAdmin({ hostId: 'self', ...parts }), commands, asked };
}

test('a node that only waits for its turn to join has left at once', async () => {
  const { admin, commands, asked } = adminOf([JOINING]);
  assert.equal(await admin.remove({ hostId: 'new', dead: false }), '');
  assert.deepEqual(commands, [
    { kind: 'update-node', node: { ...JOINING, tokens: [], state: 'left' } },
  ]);
  assert.deepEqual(asked, []);
});

test('what has to wait for others is told apart from what cannot be', async () => {
  const member: NodeInfo = { ...JOINING, state: 'normal' };
  const codeOf = async (code: 'WAIT' | 'INVALID') => {
    const { admin, asked } = adminOf([member], code);
    const error = await admin
      .remove({ hostId: 'new', dead: false, atOnce: true })
      .catch((one: unknown) => one);
    assert.deepEqual(asked, [0]);
    return error instanceof AdminError ? error.code : null;
  };
  assert.equal(await codeOf('WAIT'), 'ABORTED');
  assert.equal(await codeOf('INVALID'), 'FAILED_PRECONDITION');
});
