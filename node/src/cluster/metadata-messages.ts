/** Requests of the metadata log between nodes: joining, and proposing by way of the leader. */
import type { Peer } from '../internode/links.ts';
import { SCHEMA_FORMAT } from '../schema/schema-json.ts';
import type { NodeInfo } from './cluster-state.ts';
import { nodeFromJson, nodeToJson } from './command-codec.ts';
import { asCount, asObject, asText, decodeJson, encodeJson } from './command-json.ts';
import { GRID_BUCKETS } from './grid.ts';
import {
  ENTRY_BYTES_MAX,
  type RaftSnapshot,
  SNAPSHOT_BYTES_MAX,
  VOTERS_MAX,
} from './raft-types.ts';

export const PARTITIONER = 'Murmur3Partitioner';
/** What nodes of one cluster must have in common. */
export const FORMATS = { log: 5, schema: SCHEMA_FORMAT, grid: GRID_BUCKETS } as const;
const TOKENS_MAX = 4096;
const SMALL_BYTES_MAX = 1 << 20;
/** A snapshot or an entry, in base64. */
const LARGE_BYTES_MAX = SNAPSHOT_BYTES_MAX * 2;

export interface JoinRequest {
  readonly clusterName: string;
  readonly partitioner: string;
  readonly formats: Readonly<Record<keyof typeof FORMATS, number>>;
  /** Without tokens: the cluster chooses them. */
  readonly node: NodeInfo;
  readonly tokenCount: number;
  /** Host id of the dead node whose place it is to take; null: it takes tokens of its own. */
  readonly replaces: string | null;
}

export type JoinAnswer =
  | { readonly kind: 'joined'; readonly snapshot: RaftSnapshot; readonly node: NodeInfo }
  /** It will not do, now or later. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** This node cannot say: no majority, or none that it knows of. */
  | {
      readonly kind: 'retry';
      readonly reason: string;
      /** Who takes nodes in now. Null: not known. */
      readonly leader: Peer | null;
    };

export function encodeJoinRequest(request: JoinRequest): Uint8Array {
  return encodeJson({ ...request, node: nodeToJson(request.node) });
}

/** @returns null if malformed */
export function decodeJoinRequest(bytes: Uint8Array): JoinRequest | null {
  return decodeJson(bytes, SMALL_BYTES_MAX, (json) => {
    const formats = (json['formats'] ?? {}) as Record<string, unknown>;
    return {
      clusterName: asText(json['clusterName']),
      partitioner: asText(json['partitioner']),
      formats: {
        log: asCount(formats['log']),
        schema: asCount(formats['schema']),
        grid: asCount(formats['grid']),
      },
      node: nodeFromJson(json['node']),
      tokenCount: asCount(json['tokenCount'], TOKENS_MAX),
      replaces: json['replaces'] === null ? null : asText(json['replaces']),
    };
  });
}

export function encodeJoinAnswer(answer: JoinAnswer): Uint8Array {
  if (answer.kind === 'refused') return encodeJson(answer);
  if (answer.kind === 'retry') {
    const { kind, reason, leader } = answer;
    return encodeJson({ kind, reason, leader: leader === null ? null : peerToJson(leader) });
  }
  const { kind, snapshot, node } = answer;
  const data = Buffer.from(snapshot.data).toString('base64');
  const json = { kind, snapshot: { ...snapshot, data }, node: nodeToJson(node) };
  return encodeJson(json, LARGE_BYTES_MAX, false);
}

/** @returns null if malformed */
export function decodeJoinAnswer(bytes: Uint8Array): JoinAnswer | null {
  return decodeJson(bytes, LARGE_BYTES_MAX, (json): JoinAnswer | null => {
    const kind = json['kind'];
    if (kind === 'refused') return { kind, reason: asText(json['reason']) };
    if (kind === 'retry') {
      const leader = json['leader'] ?? null;
      return {
        ...{ kind, reason: asText(json['reason']) },
        leader: leader === null ? null : peerFrom(leader),
      };
    }
    if (kind !== 'joined') return null;
    return { kind, snapshot: snapshotFrom(json['snapshot']), node: nodeFromJson(json['node']) };
  });
}

function peerToJson({ hostId, address, controlPort, dataPort }: Peer): Peer {
  return { hostId, address, controlPort, dataPort };
}

function peerFrom(value: unknown): Peer {
  const json = asObject(value);
  return {
    hostId: asText(json['hostId']),
    address: asText(json['address']),
    controlPort: asCount(json['controlPort'], 0xffff),
    dataPort: asCount(json['dataPort'], 0xffff),
  };
}

function snapshotFrom(value: unknown): RaftSnapshot {
  const json = (value ?? {}) as Record<string, unknown>;
  const { data, voters } = json;
  if (typeof data !== 'string' || data.length > LARGE_BYTES_MAX) throw new TypeError('data');
  if (!Array.isArray(voters) || voters.length > VOTERS_MAX) throw new TypeError('voters');
  return {
    index: asCount(json['index']),
    term: asCount(json['term']),
    voters: voters.map(asText),
    data: Buffer.from(data, 'base64'),
  };
}

/** What a node asks of the leader. `barrier`: an index that has all that is committed now. */
export type LeaderRequest =
  | { readonly kind: 'propose'; readonly clusterId: string; readonly entry: Uint8Array }
  | { readonly kind: 'barrier'; readonly clusterId: string };

export type LeaderAnswer =
  | { readonly kind: 'accepted'; readonly index: number }
  /** @property leader host id, if one is known */
  | { readonly kind: 'not-leader'; readonly leader: string | null }
  | { readonly kind: 'refused'; readonly code: 'TOO_LARGE' | 'BUSY' };

export function encodeLeaderRequest(request: LeaderRequest): Uint8Array {
  if (request.kind === 'barrier') return encodeJson(request);
  return encodeJson({ ...request, entry: Buffer.from(request.entry).toString('base64') });
}

/** @returns null if malformed */
export function decodeLeaderRequest(bytes: Uint8Array): LeaderRequest | null {
  return decodeJson(bytes, ENTRY_BYTES_MAX * 2, (json): LeaderRequest | null => {
    const clusterId = asText(json['clusterId']);
    if (json['kind'] === 'barrier') return { kind: 'barrier', clusterId };
    const { entry } = json;
    if (json['kind'] !== 'propose' || typeof entry !== 'string') return null;
    return { kind: 'propose', clusterId, entry: Buffer.from(entry, 'base64') };
  });
}

export function encodeLeaderAnswer(answer: LeaderAnswer): Uint8Array {
  return encodeJson(answer);
}

/** @returns null if malformed */
export function decodeLeaderAnswer(bytes: Uint8Array): LeaderAnswer | null {
  return decodeJson(bytes, SMALL_BYTES_MAX, (json): LeaderAnswer | null => {
    const { kind, leader, code } = json;
    if (kind === 'accepted') return { kind, index: asCount(json['index']) };
    if (kind === 'not-leader') return { kind, leader: leader === null ? null : asText(leader) };
    if (kind !== 'refused' || (code !== 'TOO_LARGE' && code !== 'BUSY')) return null;
    return { kind, code };
  });
}
