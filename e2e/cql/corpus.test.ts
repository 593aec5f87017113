/**
 * Replays the corpus against the answers of Apache Cassandra 5.0.9: over both protocol versions, and on nodes of
 * different numbers of workers and shards, of which nothing may be seen in answers.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ProtocolVersion } from '../../node/src/transport/protocol.ts';
import { type NodeProcess, startNode } from '../support/node-process.ts';
import { Client } from './client.ts';
import { compareExchanges } from './compare.ts';
import { printExchanges, runScript } from './script.ts';

interface Shape {
  readonly workers: string;
  readonly shards: string;
  readonly versions: readonly ProtocolVersion[];
}

const SHAPES: readonly Shape[] = [
  { workers: '1', shards: '1', versions: [5] },
  { workers: '2', shards: '2', versions: [4, 5] },
  { workers: '2', shards: '4', versions: [4] },
];

const HERE = new URL('./', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, HERE), 'utf8');
const names = globSync(fileURLToPath(new URL('corpus/*.cql', HERE)))
  .map((file) => basename(file, '.cql'))
  .sort();

for (const { workers, shards, versions } of SHAPES) {
  describe(`answers as those of Cassandra 5.0.9, workers ${workers}, shards ${shards}`, () => {
    let node: NodeProcess;
    before(async () => {
      node = await startNode({ flags: { workers, shards } });
    });
    after(() => node.kill9());

    for (const name of names) {
      for (const version of versions) {
        test(`${name}, protocol v${version}`, async () => {
          const client = await Client.open('127.0.0.1', node.cqlPort, version);
          const exchanges = await runScript(client, `corpus_${name}`, read(`corpus/${name}.cql`));
          client.close();
          const found = printExchanges(exchanges);
          const golden = read(`golden/${name}.txt`);
          const differences = compareExchanges(golden, found, read('differences.txt'));
          assert.equal(differences.join('\n'), '');
        });
      }
    }
  });
}
