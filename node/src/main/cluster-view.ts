/** The cluster as the main thread gives it to the workers, and as clients are shown it. */
import type { ClusterState, NodeInfo } from '../cluster/cluster-state.ts';
import { EMPTY_CLUSTER } from '../cluster/commands.ts';
import { gridToken } from '../cluster/grid.ts';
import type { Settings } from '../config/settings.ts';
import type { NodeFacts, PeerFacts } from '../query/virtual/rows.ts';
import type { ControlPlane } from './control-plane.ts';

export interface ClusterView {
  /** Without the schema, which may be large: workers are given it by itself. */
  readonly state: ClusterState;
  /** Host ids of nodes that are up and take requests, this one among them. */
  readonly alive: ReadonlySet<string>;
  readonly node: NodeFacts;
  readonly peers: readonly PeerFacts[];
}

/** Cassandra's release whose behaviour we have: drivers decide by it. */
const CASSANDRA_RELEASE = '5.0.9';
const CQL_VERSION = '3.4.7';
const DEFAULT_CONTROL_PORT = 7000;

/** Of an IPv4 address. */
export function addressBytes(address: string): Uint8Array {
  const parts = address.split('.').map(Number);
  return parts.length === 4 ? Uint8Array.from(parts) : Uint8Array.of(127, 0, 0, 1);
}

function factsOf(node: NodeInfo, clusterName: string): NodeFacts {
  return {
    clusterName,
    datacenter: node.datacenter,
    rack: node.rack,
    hostId: node.hostId,
    tokens: node.tokens.map(String),
    rpcAddress: addressBytes(node.rpcAddress),
    rpcPort: node.rpcPort,
    listenAddress: addressBytes(node.address),
    listenPort: node.controlPort,
    releaseVersion: CASSANDRA_RELEASE,
    cqlVersion: CQL_VERSION,
  };
}

/** Of a node that is alone: it has all tokens. */
export function loneView(settings: Settings, hostId: string): ClusterView {
  const address = settings.rpcAddress === '0.0.0.0' ? '127.0.0.1' : settings.rpcAddress;
  const node: NodeInfo = {
    hostId,
    address,
    controlPort: DEFAULT_CONTROL_PORT,
    dataPort: 0,
    datacenter: settings.datacenter,
    rack: settings.rack,
    rpcAddress: address,
    rpcPort: settings.nativeTransportPort,
    tokens: [gridToken(0)],
    state: 'normal',
    releaseVersion: CASSANDRA_RELEASE,
  };
  const { clusterName } = settings;
  return {
    state: { ...EMPTY_CLUSTER, epoch: 1, clusterName, nodes: new Map([[hostId, node]]) },
    alive: new Set([hostId]),
    node: factsOf(node, clusterName),
    peers: [],
  };
}

/** @throws TypeError if this node is not a member */
export function clusterView(control: ControlPlane, hostId: string): ClusterView {
  const state = control.current();
  const self = state.nodes.get(hostId);
  if (self === undefined) throw new TypeError('this node is not in the cluster state');
  const { clusterName } = state;
  const peers = [...state.nodes.values()].filter(
    ({ hostId: id, state: phase }) => id !== hostId && (phase === 'normal' || phase === 'leaving'),
  );
  return {
    state: { ...state, schema: EMPTY_CLUSTER.schema },
    alive: control.serving(),
    node: factsOf(self, clusterName),
    peers: peers.map((node) => ({
      ...factsOf(node, clusterName),
      schemaVersion: control.schemaVersionOf(node.hostId) ?? state.schema.version,
    })),
  };
}
