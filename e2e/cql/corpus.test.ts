/** Replays the corpus on a node, over both protocol versions, against the answers of Apache Cassandra 5.0.9. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type NodeProcess, startNode } from '../support/node-process.ts';
import { Client } from './client.ts';
import { compareExchanges } from './compare.ts';
import { printExchanges, runScript } from './script.ts';

const HERE = new URL('./', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, HERE), 'utf8');
const names = globSync(fileURLToPath(new URL('corpus/*.cql', HERE)))
  .map((file) => basename(file, '.cql'))
  .sort();

describe('answers as those of Cassandra 5.0.9', () => {
  let node: NodeProcess;
  before(async () => {
    node = await startNode();
  });
  after(() => node.kill9());

  for (const name of names) {
    for (const version of [4, 5] as const) {
      test(`${name}, protocol v${version}`, async () => {
        const client = await Client.open('127.0.0.1', node.cqlPort, version);
        const exchanges = await runScript(client, `corpus_${name}`, read(`corpus/${name}.cql`));
        client.close();
        const found = printExchanges(exchanges);
        const differences = compareExchanges(
          read(`golden/${name}.txt`),
          found,
          read('differences.txt'),
        );
        assert.equal(differences.join('\n'), '');
      });
    }
  }
});
