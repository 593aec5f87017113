/** A node that joins a `TestCluster`, phase by phase. */
import type { ClusterState, NodeInfo, TopologyOperation } from '../../cluster/cluster-state.ts';
import { chooseTokens } from '../../cluster/tokens.ts';
import type { TestCluster, TestNode } from './test-cluster.ts';

export interface Join {
  readonly node: TestNode;
  /** Each makes the cluster's next state; nobody hears of it by itself. */
  streaming(): ClusterState;
  switched(): ClusterState;
  finished(): ClusterState;
}

export async function startJoin(cluster: TestCluster, datacenter = 'dc1'): Promise<Join> {
  const { random, nodes } = cluster;
  const infos = nodes.map(({ info }) => info);
  const tokens = chooseTokens({ nodes: infos, datacenter, count: 4, random });
  const node = await cluster.add({ datacenter, rack: 'r9' });
  const { hostId } = node.info;
  const withNode = (info: NodeInfo) => new Map([...cluster.state.nodes, [hostId, info]]);
  const operation = (phase: TopologyOperation['phase']): TopologyOperation => ({
    id: '11111111-0000-4000-8000-000000000000',
    kind: 'join',
    hostId,
    replaces: null,
    tokens,
    phase,
    startEpoch: 0,
    phaseEpoch: 0,
    done: [],
  });
  return {
    node,
    streaming: () =>
      cluster.move({ nodes: withNode(node.info), operations: [operation('streaming')] }),
    switched: () => cluster.move({ operations: [operation('switched')] }),
    finished: () =>
      cluster.move({ nodes: withNode({ ...node.info, tokens, state: 'normal' }), operations: [] }),
  };
}
