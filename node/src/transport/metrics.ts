/** Counters of the transport: plain numbers, read by whoever exports them. */

export interface TransportMetrics {
  connectionsOpen: number;
  connectionsTotal: number;
  /** Closed at once because of `connectionsMax`. */
  connectionsRefusedTotal: number;
  bytesReceivedTotal: number;
  bytesSentTotal: number;
  /** Writes handed to sockets. */
  flushesTotal: number;
  requestsInFlight: number;
  bytesInFlight: number;
  /** Requests by opcode number. */
  readonly requestsTotal: number[];
  /** Errors sent, by error code. */
  readonly errorsTotal: Map<number, number>;
  /** Times a connection was stopped from being read. */
  pausesTotal: number;
  /** Requests refused with Overloaded. */
  overloadedTotal: number;
  /** Connections closed because the client broke the protocol. */
  protocolErrorsTotal: number;
  /** Connections closed because the client took its answers, or sent its frame, too slowly. */
  slowClientsTotal: number;
  /** Connections closed because the client did not complete its TLS handshake, STARTUP or authentication in time. */
  startupTimeoutsTotal: number;
}

/** Counters at zero. */
export function createMetrics(): TransportMetrics {
  return {
    connectionsOpen: 0,
    connectionsTotal: 0,
    connectionsRefusedTotal: 0,
    bytesReceivedTotal: 0,
    bytesSentTotal: 0,
    flushesTotal: 0,
    requestsInFlight: 0,
    bytesInFlight: 0,
    requestsTotal: new Array<number>(17).fill(0),
    errorsTotal: new Map(),
    pausesTotal: 0,
    overloadedTotal: 0,
    protocolErrorsTotal: 0,
    slowClientsTotal: 0,
    startupTimeoutsTotal: 0,
  };
}
