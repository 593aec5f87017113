import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QuietLog } from './quiet-log.ts';

test('a few lines for each address in a while, and a count of the others', () => {
  const lines: string[] = [];
  const note = (message: string, fields: Readonly<Record<string, unknown>>) => {
    lines.push(`${message} ${JSON.stringify(fields)}`);
  };
  let now = 0;
  const quiet = new QuietLog({ info: note, warn: note }, { nowMillis: () => now });
  for (let port = 0; port < 1000; port++) quiet.line('warn', `10.0.0.1:${port}`, 'bad', {});
  assert.equal(lines.length, 5);
  quiet.line('info', '10.0.0.2:1', 'bad', { a: 1 });
  assert.equal(lines.at(-1), 'bad {"a":1,"suppressed":995}');
  for (let host = 0; host < 1000; host++) quiet.line('warn', `10.0.1.${host}:1`, 'bad', {});
  assert.equal(lines.length, 50);
  now = 60_000;
  quiet.line('warn', '10.0.0.1:5', 'bad', {});
  assert.equal(lines.at(-1), 'bad {"suppressed":956}');
});
