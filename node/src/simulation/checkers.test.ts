import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CounterInput,
  type CounterOutput,
  checkAgreement,
  checkBatches,
  checkConvergence,
  checkCounter,
  checkLogs,
  checkRegister,
  type RegisterInput,
  type RegisterOutput,
} from './checkers.ts';
import { History } from './history.ts';

/** `w5` writes 5 at timestamp 5, `d6` deletes at 6, `r5` reads 5, `r-` nothing; `?` after a write: not known. */
function register(...steps: readonly string[]): string[] {
  const history = new History();
  for (const step of steps) {
    const timestamp = Number.parseInt(step.slice(1), 10);
    const value = String(timestamp);
    const input: RegisterInput =
      step[0] === 'r'
        ? { kind: 'read' }
        : { kind: 'write', value: step[0] === 'w' ? value : null, timestamp };
    const open = history.begin<RegisterOutput>('register', 1, 'k', input);
    if (step.endsWith('?')) open.unknown();
    else if (step === 'r-') open.ok({ read: null });
    else open.ok(step[0] === 'r' ? { read: { value, timestamp } } : {});
  }
  const operations = history.byKey<RegisterInput, RegisterOutput>('register').get('k') ?? [];
  return checkRegister('k', operations);
}

test('registers: nothing lost, nothing made up, nothing taken back', () => {
  assert.deepEqual(register('r-', 'w1', 'r1', 'w5', 'w3', 'r5', 'd7', 'r-', 'w8', 'r8'), []);
  assert.match(register('w1', 'r-')[0], /lost the write of 1/);
  assert.match(register('w1', 'w2', 'r1')[0], /lost the write of 2/);
  assert.match(register('w1', 'r4')[0], /never written/);
  assert.deepEqual(register('w1', 'w2?', 'r1', 'r2'), []);
  assert.match(register('w1', 'w2?', 'r2', 'r1')[0], /came after one of 2/);
  assert.match(register('w1', 'd2', 'r1')[0], /lost the write of 2/);
  assert.match(register('d2', 'w3', 'r-')[0], /lost the write of 3/);
  assert.deepEqual(register('w1', 'd2?', 'r-', 'r-'), []);
});

function counter(...steps: readonly string[]): string[] {
  const history = new History();
  for (const step of steps) {
    const number = Number.parseInt(step.slice(1), 10);
    const input: CounterInput = step[0] === 'r' ? { kind: 'read' } : { kind: 'add', delta: number };
    const open = history.begin<CounterOutput>('counter', 1, 'k', input);
    if (step.endsWith('?')) open.unknown();
    else if (step.endsWith('!')) open.failed();
    else open.ok(step[0] === 'r' ? { value: number } : {});
  }
  return checkCounter('k', history.byKey<CounterInput, CounterOutput>('counter').get('k') ?? []);
}

test('counters are exact, but for what is not known', () => {
  assert.deepEqual(counter('+1', '+2', 'r3', '+4!', 'r3'), []);
  assert.deepEqual(counter('+1', '+5?', 'r1', 'r6'), []);
  assert.equal(counter('+1', '+5?', 'r3').length, 1);
  assert.equal(counter('+1', 'r2').length, 1, 'twice');
  assert.equal(counter('+1', 'r0').length, 1, 'lost');
  assert.deepEqual(counter('+1', '+-3', 'r-2'), []);
});

test('replicas, batches, logs, agreement', () => {
  const replica = (name: string, entries: Record<string, string>) => ({
    name,
    entries: new Map(Object.entries(entries)),
  });
  const replicas = [replica('a', { k: '1', l: '2' }), replica('b', { k: '1' }), replica('c', {})];
  assert.deepEqual(
    checkConvergence(replicas, (key) => (key === 'k' ? ['a', 'b'] : ['a'])),
    [],
  );
  assert.deepEqual(
    checkConvergence(replicas, () => ['b', 'c']),
    ['k: b has 1, c has nothing'],
  );
  const batch = (acknowledged: boolean, ...parts: boolean[]) => ({
    name: 'b',
    acknowledged,
    parts,
  });
  assert.deepEqual(checkBatches([batch(false, false, false), batch(true, true, true)]), []);
  assert.equal(checkBatches([batch(false, true, false), batch(true, false, false)]).length, 2);
  const log = (...entries: string[]) => new Map(entries.map((entry, i) => [i, entry]));
  const logs = new Map([
    ['a', log('x', 'y')],
    ['b', log('x')],
  ]);
  assert.deepEqual(checkLogs(logs), []);
  assert.equal(checkLogs(new Map([...logs, ['c', log('x', 'z')]])).length, 1);
  const versions = new Map([
    ['a', '1'],
    ['b', '1'],
  ]);
  assert.deepEqual(checkAgreement('schema', versions), []);
  assert.equal(checkAgreement('schema', new Map([...versions, ['c', '2']])).length, 1);
});
