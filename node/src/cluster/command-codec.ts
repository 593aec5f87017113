/** Commands and states of the metadata log as bytes: in entries, snapshots and requests. */
import { type SchemaJson, schemaFromJson } from '../schema/schema-json.ts';
import type {
  ClusterCommand,
  ClusterState,
  EndedOperation,
  NodeInfo,
  NodeState,
  OperationKind,
  OperationPhase,
  OperationPlan,
  TopologyOperation,
} from './cluster-state.ts';
import {
  asArray,
  asCount,
  asObject,
  asText,
  decodeJson,
  encodeJson,
  JSON_BYTES_MAX,
  type Json,
  Malformed,
} from './command-json.ts';
import { GRID_BUCKETS } from './grid.ts';
import { schemaChangeFromJson } from './schema-change-codec.ts';

/** Of a command as JSON. */
export const COMMAND_BYTES_MAX = 64 << 20;

/** A command as an entry has it: who proposed it knows it again by its id. */
export interface ProposedCommand {
  readonly id: string;
  readonly command: ClusterCommand;
}

const STATES: readonly NodeState[] = ['joining', 'normal', 'leaving', 'left'];
const KINDS: readonly OperationKind[] = ['join', 'leave', 'replace', 'move'];
const PHASES: readonly OperationPhase[] = ['streaming', 'switched'];

function tokensFromJson(value: unknown): bigint[] {
  const tokens = asArray(value).map((token) => BigInt.asIntN(64, BigInt(asText(token))));
  if (tokens.length > GRID_BUCKETS) throw new Malformed();
  return tokens;
}

function whatFromJson(json: Json): Omit<OperationPlan, 'tokens'> {
  const kind = KINDS.find((one) => one === json['kind']);
  if (kind === undefined) throw new Malformed();
  return {
    id: asText(json['id']),
    kind,
    hostId: asText(json['hostId']),
    replaces: json['replaces'] === null ? null : asText(json['replaces']),
    ...(json['dead'] === true ? { dead: true } : {}),
  };
}

/** @throws if it is none */
export function operationFromJson(value: unknown): TopologyOperation {
  const json = asObject(value);
  const phase = PHASES.find((one) => one === json['phase']);
  if (phase === undefined) throw new Malformed();
  return {
    ...whatFromJson(json),
    tokens: tokensFromJson(json['tokens']),
    phase,
    startEpoch: asCount(json['startEpoch']),
    phaseEpoch: asCount(json['phaseEpoch']),
    done: asArray(json['done']).map(asText),
  };
}

export function operationToJson(operation: OperationPlan): unknown {
  return { ...operation, tokens: operation.tokens.map(String) };
}

function endedFromJson(value: unknown): EndedOperation {
  const json = asObject(value);
  const { outcome } = json;
  if (outcome !== 'finished' && outcome !== 'cancelled') throw new Malformed();
  return {
    ...whatFromJson(json),
    outcome,
    reason: asText(json['reason']),
    epoch: asCount(json['epoch']),
  };
}

/** @throws if it is none */
export function nodeFromJson(value: unknown): NodeInfo {
  const json = asObject(value);
  const tokens = tokensFromJson(json['tokens']);
  const state = STATES.find((one) => one === json['state']);
  if (state === undefined) throw new Malformed();
  return {
    hostId: asText(json['hostId']),
    address: asText(json['address']),
    controlPort: asCount(json['controlPort'], 0xffff),
    dataPort: asCount(json['dataPort'], 0xffff),
    datacenter: asText(json['datacenter']),
    rack: asText(json['rack']),
    rpcAddress: asText(json['rpcAddress']),
    rpcPort: asCount(json['rpcPort'], 0xffff),
    tokens,
    state,
    releaseVersion: asText(json['releaseVersion']),
    ...(json['replaces'] === undefined ? {} : { replaces: asText(json['replaces']) }),
  };
}

export function nodeToJson(node: NodeInfo): unknown {
  return { ...node, tokens: node.tokens.map(String) };
}

/** Made once to see that all of it is there. */
function checkedSchema(value: unknown): SchemaJson {
  const schema = asObject(value) as unknown as SchemaJson;
  asCount(schema.epoch);
  asText(schema.version);
  schemaFromJson(schema);
  return schema;
}

/** @throws RangeError if it is too long */
export function encodeCommand({ id, command }: ProposedCommand): Uint8Array {
  return encodeJson({ id, command: commandToJson(command) }, COMMAND_BYTES_MAX);
}

function commandToJson(command: ClusterCommand): unknown {
  switch (command.kind) {
    case 'add-node':
    case 'update-node':
      return { ...command, node: nodeToJson(command.node) };
    case 'begin-operation':
      return { ...command, plan: operationToJson(command.plan) };
    default:
      return command;
  }
}

/** @returns null if malformed or of a version that is not known */
export function decodeCommand(bytes: Uint8Array): ProposedCommand | null {
  return decodeJson(bytes, COMMAND_BYTES_MAX, (json) => {
    const command = asObject(json['command']);
    return { id: asText(json['id']), command: commandFromJson(command) };
  });
}

function commandFromJson(json: Json): ClusterCommand {
  const { kind } = json;
  switch (kind) {
    case 'add-node':
    case 'update-node':
      return { kind, node: nodeFromJson(json['node']) };
    case 'schema':
      return { kind, change: schemaChangeFromJson(json['change']) };
    case 'begin-operation': {
      const plan = asObject(json['plan']);
      const tokens = tokensFromJson(plan['tokens']);
      return { kind, plan: { ...whatFromJson(plan), tokens }, base: asCount(json['base']) };
    }
    case 'operation-done':
      return { kind, id: asText(json['id']), hostId: asText(json['hostId']) };
    case 'switch-operation':
    case 'finish-operation':
      return { kind, id: asText(json['id']) };
    case 'cancel-operation':
      return { kind, id: asText(json['id']), reason: asText(json['reason']) };
    default:
      throw new Malformed();
  }
}

/** What a snapshot of the log has. */
export interface LogState {
  readonly cluster: ClusterState;
  /** The last proposals by id, oldest first, and whether each was applied: one that comes again changes nothing. */
  readonly recent: ReadonlyMap<string, boolean>;
}

export function encodeState({ cluster, recent }: LogState): Uint8Array {
  const nodes = [...cluster.nodes.values()].map(nodeToJson);
  const operations = cluster.operations.map(operationToJson);
  return encodeJson({ ...cluster, nodes, operations, recent: [...recent] });
}

/** @returns null if malformed */
export function decodeState(bytes: Uint8Array): LogState | null {
  return decodeJson(bytes, JSON_BYTES_MAX, (json) => {
    const nodes = asArray(json['nodes']).map(nodeFromJson);
    const recent = asArray(json['recent']).map((pair): [string, boolean] => {
      const [id, applied] = asArray(pair);
      return [asText(id), applied === true];
    });
    const cluster: ClusterState = {
      epoch: asCount(json['epoch']),
      clusterName: asText(json['clusterName']),
      clusterId: asText(json['clusterId']),
      nodes: new Map(nodes.map((node) => [node.hostId, node])),
      topologyEpoch: asCount(json['topologyEpoch']),
      operations: asArray(json['operations']).map(operationFromJson),
      ended: asArray(json['ended']).map(endedFromJson),
      schema: checkedSchema(json['schema']),
    };
    return { cluster, recent: new Map(recent) };
  });
}
