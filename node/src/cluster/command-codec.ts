/**
 * Commands and states of the metadata log as bytes: in entries, snapshots and requests.
 *
 *     u8 version | u8 0: JSON as UTF-8, 1: deflated | JSON
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type SchemaJson, schemaFromJson } from '../schema/schema-json.ts';
import type { ClusterCommand, ClusterState, NodeInfo, NodeState } from './cluster-state.ts';
import { GRID_BUCKETS } from './grid.ts';

const VERSION = 2;
const PLAIN = 0;
const DEFLATED = 1;
const DEFLATE_FROM_BYTES = 1024;
/** Of a command as JSON. */
export const COMMAND_BYTES_MAX = 64 << 20;
/** Of a state as JSON. */
const STATE_BYTES_MAX = 256 << 20;
const TEXT_MAX = 1024;

/** A command as an entry has it: who proposed it knows it again by its id. */
export interface ProposedCommand {
  readonly id: string;
  readonly command: ClusterCommand;
}

type Json = Readonly<Record<string, unknown>>;

/** Thrown inside of decoders only. */
class Malformed extends Error {}

/** A value of JSON, versioned and deflated if that pays and what it has is not deflated already. @throws RangeError if it is longer than `bytesMax` */
export function encodeJson(
  value: unknown,
  bytesMax = STATE_BYTES_MAX,
  mayDeflate = true,
): Uint8Array {
  const plain = Buffer.from(JSON.stringify(value));
  if (plain.length > bytesMax) throw new RangeError(`${plain.length} bytes of JSON`);
  const deflate = mayDeflate && plain.length >= DEFLATE_FROM_BYTES;
  const body = deflate ? deflateRawSync(plain, { level: 3 }) : plain;
  return Buffer.concat([Uint8Array.of(VERSION, deflate ? DEFLATED : PLAIN), body]);
}

/**
 * @param bytesMax of the JSON: whatever a peer sends, no more memory is taken
 * @returns what `read` makes of the value; null if the bytes are malformed or `read` throws
 */
export function decodeJson<T>(
  bytes: Uint8Array,
  bytesMax: number,
  read: (value: Json) => T,
): T | null {
  try {
    if (bytes[0] !== VERSION || bytes[1] > DEFLATED) return null;
    const body = bytes.subarray(2);
    const plain =
      bytes[1] === DEFLATED ? inflateRawSync(body, { maxOutputLength: bytesMax }) : body;
    return read(asObject(JSON.parse(textOf(plain))));
  } catch {
    return null;
  }
}

function textOf({ buffer, byteOffset, length }: Uint8Array): string {
  // A view: bytes that are lent are not copied.
  return Buffer.from(buffer, byteOffset, length).toString('utf8');
}

/** An object of a peer. @throws if it is none */
export function asObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed();
  return value as Json;
}

/** A text of a peer. @throws if it is none, or too long */
export function asText(value: unknown): string {
  if (typeof value !== 'string' || value.length > TEXT_MAX) throw new Malformed();
  return value;
}

/** A whole number that is not negative. @throws if it is none */
export function asCount(value: unknown, max = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) {
    throw new Malformed();
  }
  return value as number;
}

function asArray(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Malformed();
  return value;
}

const STATES: readonly NodeState[] = ['joining', 'normal', 'left'];

/** @throws if it is none */
export function nodeFromJson(value: unknown): NodeInfo {
  const json = asObject(value);
  const tokens = asArray(json['tokens']).map((token) => BigInt.asIntN(64, BigInt(asText(token))));
  const state = STATES.find((one) => one === json['state']);
  if (state === undefined || tokens.length > GRID_BUCKETS) throw new Malformed();
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
  const body = command.kind === 'schema' ? command : { ...command, node: nodeToJson(command.node) };
  return encodeJson({ id, command: body }, COMMAND_BYTES_MAX);
}

/** @returns null if malformed or of a version that is not known */
export function decodeCommand(bytes: Uint8Array): ProposedCommand | null {
  return decodeJson(bytes, COMMAND_BYTES_MAX, (json) => {
    const command = asObject(json['command']);
    return { id: asText(json['id']), command: commandFromJson(command) };
  });
}

function commandFromJson(json: Json): ClusterCommand {
  const kind = json['kind'];
  if (kind === 'add-node' || kind === 'update-node')
    return { kind, node: nodeFromJson(json['node']) };
  if (kind !== 'schema') throw new Malformed();
  return { kind, base: asCount(json['base']), schema: checkedSchema(json['schema']) };
}

/** What a snapshot of the log has. */
export interface LogState {
  readonly cluster: ClusterState;
  /** The last proposals by id, oldest first, and whether each was applied: one that comes again changes nothing. */
  readonly recent: ReadonlyMap<string, boolean>;
}

export function encodeState({ cluster, recent }: LogState): Uint8Array {
  const nodes = [...cluster.nodes.values()].map(nodeToJson);
  return encodeJson({ ...cluster, nodes, recent: [...recent] });
}

/** @returns null if malformed */
export function decodeState(bytes: Uint8Array): LogState | null {
  return decodeJson(bytes, STATE_BYTES_MAX, (json) => {
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
      schema: checkedSchema(json['schema']),
    };
    return { cluster, recent: new Map(recent) };
  });
}
