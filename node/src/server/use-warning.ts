/**
 * The advice to clients that prepare statements whose meaning depends on USE.
 * Source: QueryProcessor.prepare and ClientState.warnAboutUseWithPreparedStatements of Cassandra 5.0; the words are its.
 */
import type { ClientConnection, PrepareRequest } from '../transport/index.ts';
import type { PreparedStatement } from './statements.ts';

function useWarning(keyspace: string | null, id: Buffer): string {
  return (
    '`USE <keyspace>` with prepared statements is considered to be an anti-pattern due to ambiguity in non-qualified table names. ' +
    'Please consider removing instances of `Session#setKeyspace(<keyspace>)`, `Session#execute("USE <keyspace>")` and `cluster.newSession(<keyspace>)` from your code, and ' +
    'always use fully qualified table names (e.g. <keyspace>.<table>). ' +
    `Keyspace used: ${keyspace}, statement keyspace: ${keyspace}, statement id: ${id.toString('hex')}`
  );
}

export class UseWarnings {
  private readonly told = new WeakSet<ClientConnection>();

  /**
   * What to warn of in the answer to a PREPARE. A connection is told once, and only when the statement is new here or there is no
   * keyspace at all; whoever names a keyspace with each request is told each time.
   */
  forPrepared(
    { id, runnable, isNew }: PreparedStatement,
    request: PrepareRequest,
    connection: ClientConnection,
  ): readonly string[] {
    if (runnable.statement.isQualified) return [];
    const keyspace = request.keyspace ?? connection.keyspace;
    if (!isNew && keyspace !== null) return [];
    if (request.keyspace === null) {
      if (this.told.has(connection)) return [];
      this.told.add(connection);
    }
    return [useWarning(keyspace, id)];
  }
}
