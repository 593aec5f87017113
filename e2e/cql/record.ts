/**
 * Records what a server answers to the corpus: `node e2e/cql/record.ts HOST PORT [part of a name]`. The golden files
 * come from Apache Cassandra 5.0.9. With `--compare` as first argument nothing is written: differences are printed.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from './client.ts';
import { compareExchanges } from './compare.ts';
import { printExchanges, runScript } from './script.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const compares = process.argv[2] === '--compare';
const [host, port, part = ''] = process.argv.slice(compares ? 3 : 2);

let count = 0;
for (const file of globSync(join(HERE, 'corpus/*.cql')).sort()) {
  const name = basename(file, '.cql');
  if (!name.includes(part)) continue;
  const golden = join(HERE, 'golden', `${name}.txt`);
  const texts: string[] = [];
  for (const version of [5, 4] as const) {
    const client = await Client.open(host, Number(port), version);
    const source = readFileSync(file, 'utf8');
    texts.push(printExchanges(await runScript(client, `corpus_${name}`, source)));
    client.close();
  }
  if (texts[0] !== texts[1]) {
    console.log(`${name}: v5 and v4 differ\n${compareExchanges(texts[0], texts[1]).join('\n')}`);
  }
  if (!compares) {
    writeFileSync(golden, texts[0]);
    console.log(`${name}: recorded`);
    continue;
  }
  const differences = compareExchanges(readFileSync(golden, 'utf8'), texts[0]);
  count += differences.length;
  if (differences.length > 0) console.log(`== ${name}\n${differences.join('\n')}`);
}
if (compares) console.log(`${count} differences`);
