import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Parsed, parseArguments, UsageError } from './cli-arguments.ts';

function parsed(line: string): Parsed {
  return parseArguments(line === '' ? [] : line.split(' '));
}

function command(line: string) {
  const found = parsed(line);
  assert.ok('flags' in found);
  return { name: found.name, flags: Object.fromEntries(found.flags), operands: found.operands };
}

test('flags with =, with a value after them, without a value; operands anywhere', () => {
  assert.deepEqual(command('start --workers 2 --rack=r=1 --client-key='), {
    name: 'start',
    flags: { workers: '2', rack: 'r=1', 'client-key': '' },
    operands: [],
  });
  assert.deepEqual(command('flush shop --json orders --admin 10.0.0.1:9043'), {
    name: 'flush',
    flags: { json: '', admin: '10.0.0.1:9043' },
    operands: ['shop', 'orders'],
  });
  assert.deepEqual(command('drop-snapshot a').operands, ['a']);
});

test('help and version', () => {
  for (const line of ['', 'help', '--help', '-h', 'start --help', 'flush a b c -h']) {
    assert.deepEqual(parsed(line), { name: 'help' });
  }
  for (const line of ['--version', 'version', '-V']) {
    assert.deepEqual(parsed(line), { name: 'version' });
  }
});

test('what is not understood is named', () => {
  const cases: [string, RegExp][] = [
    ['strat', /^unknown command strat: /],
    ['--port 1', /^unknown flag --port: /],
    ['status -v', /^ilion status: unknown flag -v$/],
    ['status --workers=1', /^ilion status: unknown flag --workers=1$/],
    ['start --rack', /^ilion start: --rack needs a value$/],
    ['start --rack --workers 1', /^ilion start: --rack needs a value$/],
    ['start --rack a --rack=b', /^ilion start: --rack is given twice$/],
    ['status --json=yes', /^ilion status: --json takes no value$/],
    ['start now', /^ilion start: 'now' is one argument too many$/],
    ['flush a b c', /^ilion flush: 'c' is one argument too many$/],
    ['drop-snapshot', /^ilion drop-snapshot needs the name of a snapshot$/],
  ];
  for (const [line, message] of cases) {
    assert.throws(
      () => parsed(line),
      (error) => error instanceof UsageError && message.test(error.message),
      line,
    );
  }
});
