/** Nodes of tests. */
import { SCHEMA_FORMAT } from '../../schema/schema-json.ts';
import type { ClusterCommand, ClusterState, NodeInfo } from '../cluster-state.ts';

/** A member in state `normal`; its host id is made of `number`. */
export function testNode(number: number, parts: Partial<NodeInfo> = {}): NodeInfo {
  const address = `10.0.${number >> 8}.${number & 255}`;
  return {
    hostId: `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`,
    address,
    controlPort: 7000,
    dataPort: 7001,
    datacenter: 'dc1',
    rack: 'rack1',
    rpcAddress: address,
    rpcPort: 9042,
    tokens: [],
    state: 'normal',
    releaseVersion: '5.0.0',
    ...parts,
  };
}

export function testState(nodes: readonly NodeInfo[]): ClusterState {
  return {
    epoch: 1,
    clusterName: 'test',
    clusterId: 'c0ffee00-0000-4000-8000-000000000000',
    nodes: new Map(nodes.map((node) => [node.hostId, node])),
    topologyEpoch: 1,
    operations: [],
    ended: [],
    schema: { format: SCHEMA_FORMAT, epoch: 0, version: '', keyspaces: [] },
  };
}

/** With a keyspace of each replication: k0, k1 … */
export function withKeyspaces(
  state: ClusterState,
  replications: readonly Readonly<Record<string, string>>[],
): ClusterState {
  const keyspaces = replications.map((replication, i) => ({
    ...{ name: `k${i}`, replication, durableWrites: true, types: [], tables: [] },
  }));
  return { ...state, schema: { ...state.schema, keyspaces } };
}

/** Makes a keyspace that is not there yet. */
export function newKeyspace(name: string): ClusterCommand {
  return {
    kind: 'schema',
    change: {
      version: `with ${name}`,
      expected: [{ of: 'keyspace', keyspace: name, name: '', is: '' }],
      edits: [{ kind: 'put-keyspace', keyspace: name, replication: {}, durableWrites: true }],
    },
  };
}

/** Numbers in [0, 1), always the same for a seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
