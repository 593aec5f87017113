/** The server room over tables and connections in memory, for its tests. */
import { MemoryStore } from '../../coordinator/testing/memory-store.ts';
import type { SchemaStatement } from '../../cql/ast.ts';
import { parseStatement } from '../../cql/index.ts';
import { planSchemaChange } from '../../query/ddl.ts';
import { Executor } from '../../query/execute.ts';
import { withSystemKeyspaces } from '../../query/virtual/definitions.ts';
import { EMPTY_SCHEMA, type Schema } from '../../schema/schema.ts';
import type { LocalStore } from '../../storage/local-store.ts';
import type { Answer, ClientCodec } from '../../transport/client-codec.ts';
import { type MemoryClient, MemoryWorld } from '../../transport/memory-world.ts';
import type { ProtocolVersion } from '../../transport/protocol.ts';
import { Latencies } from '../latency.ts';
import { RequestHandlerImpl } from '../request-handler.ts';

/** A node without disk, threads or time of its own. */
export class MemoryNode {
  /** Moved by tests. */
  nowMillis = 1_700_000_000_000;
  readonly latencies: Latencies;
  readonly handler: RequestHandlerImpl;
  private readonly world = new MemoryWorld();
  private schema: Schema;
  private ids = 0;

  constructor(ddl: readonly string[]) {
    this.schema = withSystemKeyspaces(EMPTY_SCHEMA);
    for (const text of ddl) this.changed(text, null);
    const store = new MemoryStore(1, queueMicrotask) as unknown as LocalStore;
    this.latencies = new Latencies(() => this.world.clock.nowMillis());
    const unused = (): never => {
      throw new TypeError('not part of this test');
    };
    this.handler = new RequestHandlerImpl(this.schema, {
      store,
      executor: new Executor({
        store,
        locks: { acquire: async () => () => {} },
        batchLog: { apply: unused, replay: unused } as never,
        hostId: new Uint8Array(16),
        serialMicros: () => BigInt(this.nowMillis) * 1000n,
      }),
      virtualTables: { records: unused } as never,
      schemaDoor: {
        apply: async (text, keyspace) => {
          this.handler.setSchema(this.changed(text, keyspace));
          return { event: null, warnings: [] };
        },
      },
      directory: { add: () => {}, find: async () => null },
      clock: { micros: () => this.nowMillis * 1000 },
      context: {
        timeUuid: () => new Uint8Array(16),
        randomUuid: () => new Uint8Array(16),
        random: () => 0.5,
      },
      listPlace: () => new Uint8Array(16),
      latencies: this.latencies,
      datacenter: 'datacenter1',
      clusterName: 'test',
      tracer: { start: unused } as never,
      logError: (message, error) => {
        throw new TypeError(message, { cause: error });
      },
    });
    this.world.onRequest = (request, connection) => this.handler.handle(request, connection);
  }

  private changed(text: string, keyspace: string | null): Schema {
    const env = {
      newId: () => `00000000-0000-1000-8000-${String(++this.ids).padStart(12, '0')}`,
      nowMicros: 0,
    };
    const statement = parseStatement(text) as SchemaStatement;
    this.schema = planSchemaChange(statement, this.schema, keyspace, env).schema;
    return this.schema;
  }

  client(version: ProtocolVersion = 4): MemoryClient {
    return this.world.client(version);
  }

  /** Sends one message; it takes `millis` until its answer. */
  async ask(client: MemoryClient, send: (codec: ClientCodec) => void, millis = 0): Promise<Answer> {
    send(client.codec);
    const early = client.exchange();
    this.world.clock.advance(millis);
    await new Promise((resolve) => setImmediate(resolve));
    const [answer] = [...early, ...client.poll()];
    return answer;
  }

  query(client: MemoryClient, text: string): Promise<Answer> {
    return this.ask(client, (codec) => codec.query(1, text));
  }
}
