/** A small CQL client for tests: one connection, one request at a time, answers as decoded values. */
import { connect, type Socket } from 'node:net';
import { Reader } from '../../node/src/common/bytes.ts';
import type { CqlError } from '../../node/src/common/errors.ts';
import {
  type Answer,
  type BatchItem,
  ClientCodec,
  decodeError,
  type QueryParameters,
} from '../../node/src/transport/client-codec.ts';
import {
  MetadataFlag,
  Opcode,
  type ProtocolVersion,
  ResultKind,
} from '../../node/src/transport/protocol.ts';
import type { CqlType } from '../../node/src/types/cql-type.ts';
import { readTypeOption } from './type-option.ts';

/** A column of a result, or a bind marker. */
export interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: CqlType;
}

/** What PREPARE answers. */
export interface Prepared {
  readonly kind: 'prepared';
  readonly id: Buffer;
  readonly metadataId: Buffer;
  readonly markers: readonly Column[];
  readonly partitionKey: readonly number[];
  /** Empty if the statement has no result, or one that varies. */
  readonly columns: readonly Column[];
  readonly warnings: readonly string[];
}

export interface Rows {
  readonly kind: 'rows';
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly (Buffer | null)[])[];
  readonly pagingState: Buffer | null;
  readonly warnings: readonly string[];
}

/** Void, set keyspace or schema change; `text` says which. */
export interface Done {
  readonly kind: 'done';
  readonly text: string;
  readonly warnings: readonly string[];
}

export interface Failed {
  readonly kind: 'failed';
  readonly error: CqlError;
}

export type Outcome = Prepared | Rows | Done | Failed;

interface Metadata {
  readonly columns: readonly Column[];
  readonly pagingState: Buffer | null;
}

function readColumns(reader: Reader, count: number, isGlobal: boolean): Column[] {
  const table = () => `${reader.string()}.${reader.string()}`;
  const shared = isGlobal && count > 0 ? table() : null;
  const columns: Column[] = [];
  for (let i = 0; i < count; i++) {
    const own = shared ?? table();
    columns.push({ table: own, name: reader.string(), type: readTypeOption(reader) });
  }
  return columns;
}

function readMetadata(reader: Reader): Metadata {
  const flags = reader.i32();
  const count = reader.i32();
  const pagingState =
    (flags & MetadataFlag.HasMorePages) === 0 ? null : Buffer.from(reader.bytes() ?? []);
  if ((flags & MetadataFlag.MetadataChanged) !== 0) reader.raw(reader.u16());
  if ((flags & MetadataFlag.NoMetadata) !== 0) return { columns: [], pagingState };
  const isGlobal = (flags & MetadataFlag.GlobalTablesSpec) !== 0;
  return { columns: readColumns(reader, count, isGlobal), pagingState };
}

function readRows(reader: Reader, warnings: readonly string[]): Rows {
  const { columns, pagingState } = readMetadata(reader);
  const count = reader.i32();
  const rows: (Buffer | null)[][] = [];
  for (let i = 0; i < count; i++) {
    rows.push(
      columns.map(() => {
        const value = reader.bytes();
        return value === null ? null : Buffer.from(value);
      }),
    );
  }
  return { kind: 'rows', columns, rows, pagingState, warnings };
}

function readPrepared(
  reader: Reader,
  warnings: readonly string[],
  version: ProtocolVersion,
): Prepared {
  const id = Buffer.from(reader.raw(reader.u16()));
  const metadataId = version >= 5 ? Buffer.from(reader.raw(reader.u16())) : Buffer.alloc(0);
  const flags = reader.i32();
  const count = reader.i32();
  const partitionKey: number[] = [];
  if (version >= 4) {
    for (let left = reader.i32(); left > 0; left--) partitionKey.push(reader.u16());
  }
  const markers = readColumns(reader, count, (flags & MetadataFlag.GlobalTablesSpec) !== 0);
  const { columns } = readMetadata(reader);
  return { kind: 'prepared', id, metadataId, markers, partitionKey, columns, warnings };
}

function readSchemaChange(reader: Reader): string {
  const change = reader.string();
  const target = reader.string();
  const names = [reader.string()];
  if (target !== 'KEYSPACE') names.push(reader.string());
  return `${change} ${target} ${names.join('.')}`;
}

function readOutcome(answer: Answer, version: ProtocolVersion): Outcome {
  if (answer.opcode === Opcode.Error) {
    return { kind: 'failed', error: decodeError(answer.body, version) };
  }
  const reader = new Reader(answer.body);
  const { warnings } = answer;
  switch (reader.i32()) {
    case ResultKind.Rows:
      return readRows(reader, warnings);
    case ResultKind.Prepared:
      return readPrepared(reader, warnings, version);
    case ResultKind.SetKeyspace:
      return { kind: 'done', text: `keyspace ${reader.string()}`, warnings };
    case ResultKind.SchemaChange:
      return { kind: 'done', text: readSchemaChange(reader), warnings };
    default:
      return { kind: 'done', text: 'ok', warnings };
  }
}

const STREAM = 1;

/** One connection. Its calls may not overlap. */
export class Client {
  readonly version: ProtocolVersion;
  readonly #socket: Socket;
  readonly #codec: ClientCodec;
  #waiting: { resolve(answer: Answer): void; reject(error: Error): void } | null = null;

  private constructor(socket: Socket, version: ProtocolVersion) {
    this.version = version;
    this.#socket = socket;
    this.#codec = new ClientCodec(version, null, (answer) => this.#waiting?.resolve(answer));
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#codec.receive(Buffer.from(chunk)));
    socket.on('error', (error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error('the connection was closed')));
  }

  /** Connects and says hello. */
  static async open(host: string, port: number, version: ProtocolVersion): Promise<Client> {
    const socket = connect(port, host);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new Client(socket, version);
    await client.#ask(() => client.#codec.startup(STREAM));
    return client;
  }

  #ask(send: () => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      send();
      this.#socket.write(this.#codec.take() ?? Buffer.alloc(0));
    });
  }

  async #outcome(send: () => void): Promise<Outcome> {
    return readOutcome(await this.#ask(send), this.version);
  }

  query(text: string, parameters: QueryParameters = {}): Promise<Outcome> {
    return this.#outcome(() => this.#codec.query(STREAM, text, parameters));
  }

  prepare(text: string): Promise<Outcome> {
    return this.#outcome(() => this.#codec.prepare(STREAM, text));
  }

  execute(prepared: Prepared, parameters: QueryParameters = {}): Promise<Outcome> {
    const { id, metadataId } = prepared;
    return this.#outcome(() => this.#codec.execute(STREAM, id, metadataId, parameters));
  }

  /** @param type 0 logged, 1 unlogged, 2 counter */
  batch(
    type: number,
    items: readonly BatchItem[],
    parameters: QueryParameters = {},
  ): Promise<Outcome> {
    return this.#outcome(() => this.#codec.batch(STREAM, type, items, parameters));
  }

  close(): void {
    this.#socket.destroy();
  }
}
