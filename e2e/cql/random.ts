/**
 * Random statements against two servers: `node e2e/cql/random.ts HOST PORT HOST PORT [seed] [rounds]`. Every round
 * makes a table, writes and deletes with timestamps of which many are equal, then reads it in many ways; what the
 * servers answer must be the same. A round can be repeated from its seed, which is printed with each difference.
 */
import { Client } from './client.ts';
import { comparable } from './compare.ts';
import { createRandom, makeRound } from './random-statements.ts';
import { runStep, type Step } from './script.ts';

const [hostA, portA, hostB, portB, seed = '1', rounds = '10'] = process.argv.slice(2);

async function open(host: string, port: string): Promise<Client> {
  const client = await Client.open(host, Number(port), 5);
  await client.query(
    "CREATE KEYSPACE IF NOT EXISTS random_cql WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  );
  await client.query('USE random_cql');
  return client;
}

const clients = [await open(hostA, portA), await open(hostB, portB)] as const;
let statements = 0;
let differences = 0;
let errors = 0;

async function both(step: Step): Promise<string[]> {
  const answers = await Promise.all(clients.map((client) => runStep(client, step)));
  return answers.map((answer) => comparable(`${answer.join('\n')}\n`));
}

for (let round = 0; round < Number(rounds); round++) {
  const own = Number(seed) + round;
  const steps = makeRound(createRandom(own));
  for (const step of steps) {
    const [a, b] = await both(step);
    if (steps.indexOf(step) === 0) continue;
    statements++;
    if (a.startsWith('!')) errors++;
    // Cassandra's own failures say nothing: over pages it cannot group by empty clustering values, nor where
    // there are no clustering columns.
    if (a === b || /^! (0000|1300|000a) /m.test(a)) continue;
    differences++;
    const extra = step.pageSize === null ? '' : ` (page ${step.pageSize})`;
    console.log(`seed ${own}${extra}\n> ${step.text}\nfirst\n${a}second\n${b}`);
    if (process.env['STOP'] === '1') {
      const done = steps.slice(0, steps.indexOf(step));
      console.log(done.map(({ text }) => `${text};`).join('\n'));
      process.exit(1);
    }
  }
}
console.log(`${statements} statements, ${errors} of them refused, ${differences} differences`);
for (const client of clients) client.close();
