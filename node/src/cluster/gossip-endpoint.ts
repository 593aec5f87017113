/** What gossip knows of one node. */
import type { Peer } from '../internode/links.ts';
import type { ArrivalWindow } from './failure-detector.ts';
import { type News, type StateValue, unpackHostId } from './gossip-codec.ts';

/** What a node says of itself; on the wire by number, which never means another thing. Unknown ones are passed on. */
export const StateKey = {
  Address: 1,
  ControlPort: 2,
  DataPort: 3,
  RpcAddress: 4,
  RpcPort: 5,
  Datacenter: 6,
  Rack: 7,
  ReleaseVersion: 8,
  SchemaVersion: 9,
  /** Bytes of data, decimal. */
  Load: 10,
  /** `GossipStatus` */
  Status: 11,
  /** Epoch of the cluster state that the node has. */
  Epoch: 12,
} as const;
export type StateKey = (typeof StateKey)[keyof typeof StateKey];

/** starting: it takes part in what is agreed, and does not take requests yet. */
export type GossipStatus = 'starting' | 'normal';

/** What is known of one node. */
export interface PeerView {
  readonly hostId: string;
  readonly alive: boolean;
  readonly generation: number;
  readonly heartbeat: number;
  get(key: StateKey): string | null;
}

const NO_STATES: ReadonlyMap<number, StateValue> = new Map();

/** Owned by gossip, which alone changes it. */
export class Endpoint implements PeerView {
  readonly id: string;
  readonly hostId: string;
  alive = false;
  generation: number;
  heartbeat = 0;
  /** The newest of heartbeat and states. */
  version = 0;
  states = new Map<number, StateValue>();
  /** The newest of the states. */
  statesVersion = 0;
  readonly arrivals: ArrivalWindow;
  /** When it was last asked for being silent, monotonic milliseconds. */
  askedMillis = Number.NEGATIVE_INFINITY;
  /** When another node was asked about it last, as nobody was there. */
  doubtedMillis = Number.NEGATIVE_INFINITY;

  constructor(id: string, generation: number, arrivals: ArrivalWindow) {
    this.id = id;
    this.hostId = unpackHostId(id);
    this.generation = generation;
    this.arrivals = arrivals;
  }

  get(key: StateKey): string | null {
    return this.states.get(key)?.value ?? null;
  }

  /** @returns whether a state is another one */
  learn(news: News): boolean {
    this.heartbeat = Math.max(this.heartbeat, news.version);
    this.version = Math.max(this.version, news.version);
    let isChanged = false;
    for (const [key, state] of news.states) {
      const known = this.states.get(key);
      if (known !== undefined && known.version >= state.version) continue;
      this.states.set(key, state);
      this.statesVersion = Math.max(this.statesVersion, state.version);
      this.version = Math.max(this.version, state.version);
      isChanged = true;
    }
    return isChanged;
  }

  newsAfter(version: number): News {
    const { id, generation, heartbeat } = this;
    if (this.statesVersion <= version) {
      return { id, generation, version: heartbeat, states: NO_STATES };
    }
    const states = new Map<number, StateValue>();
    for (const [key, state] of this.states) if (state.version > version) states.set(key, state);
    return { id, generation, version: heartbeat, states };
  }
}

/** Where a node says that it is; null: it has not said. */
export function placeOf(endpoint: Endpoint): Peer | null {
  const address = endpoint.get(StateKey.Address);
  const controlPort = Number(endpoint.get(StateKey.ControlPort));
  const dataPort = Number(endpoint.get(StateKey.DataPort));
  const isPort = (port: number) => Number.isInteger(port) && port > 0 && port < 0x10000;
  if (address === null || !isPort(controlPort) || !isPort(dataPort)) return null;
  return { hostId: endpoint.hostId, address, controlPort, dataPort };
}
