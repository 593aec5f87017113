/** The transport room: CQL native protocol v3 to v5 over byte streams. */
export {
  EVENT_TYPES,
  type EventType,
  type SchemaChange,
  type SchemaChangeEvent,
  type ServerEvent,
  type StatusChangeEvent,
  type TopologyChangeEvent,
} from './events.ts';
export type { TransportMetrics } from './metrics.ts';
export { type CqlServerOptions, DEFAULT_OPTIONS } from './options.ts';
export type {
  AnswerHeader,
  AuthExchange,
  Authenticator,
  AuthStep,
  ByteSink,
  ByteStream,
  ClientConnection,
  RequestHandler,
  SocketAddress,
  StreamListener,
  TransportClock,
  TransportLogger,
} from './ports.ts';
export {
  BatchType,
  CQL_VERSION,
  Opcode,
  PROTOCOL_VERSIONS,
  type ProtocolVersion,
  QueryFlag,
} from './protocol.ts';
export {
  type BatchRequest,
  type BatchStatement,
  type BoundValues,
  type ExecuteRequest,
  type PrepareRequest,
  type QueryRequest,
  type Request,
  valueAt,
  valueCount,
  valueLength,
  valueStart,
} from './request.ts';
export {
  type ColumnSpec,
  type EncodedMetadata,
  encodeMetadata,
  type PreparedResult,
  type RowsOptions,
  writePrepared,
  writeRowsHeader,
  writeSchemaChangeResult,
  writeSetKeyspace,
  writeVoid,
} from './result.ts';
export { type CqlServer, type CqlServerDeps, createCqlServer } from './server.ts';
