import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { History, type Operation } from './history.ts';
import {
  CAS_REGISTER,
  type CasInput,
  type CasOutput,
  checkLinearizable,
  withoutTraceless,
} from './linearizability.ts';
import { SeededRandom } from './random.ts';

type CasOperation = Operation<CasInput, CasOutput>;

function op(
  input: CasInput,
  output: CasOutput | undefined,
  call: number,
  end = Number.POSITIVE_INFINITY,
): CasOperation {
  const outcome = end === Number.POSITIVE_INFINITY ? 'unknown' : 'ok';
  return { client: 0, key: 'k', input, output, outcome, call, end };
}

const write = (value: number, call: number, end?: number) =>
  op({ kind: 'write', value }, end === undefined ? undefined : {}, call, end);
const read = (value: number | null, call: number, end: number) =>
  op({ kind: 'read' }, { value }, call, end);
const cas = (
  expected: number | null,
  value: number,
  applied: boolean | undefined,
  call: number,
  end?: number,
) =>
  op({ kind: 'cas', expected, value }, applied === undefined ? undefined : { applied }, call, end);

function verdict(...operations: CasOperation[]): string {
  return checkLinearizable(operations, CAS_REGISTER).kind;
}

const GOOD = 'linearizable';
const BAD = 'not-linearizable';

test('one after another', () => {
  assert.equal(verdict(), GOOD);
  assert.equal(verdict(read(null, 0, 1), write(1, 2, 3), read(1, 4, 5)), GOOD);
  assert.equal(verdict(write(1, 0, 1), read(null, 2, 3)), BAD, 'a lost write');
  assert.equal(verdict(write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)), BAD, 'a stale read');
  assert.equal(verdict(read(1, 0, 1), write(1, 2, 3)), BAD, 'a read of the future');
});

test('at the same time', () => {
  assert.equal(verdict(write(1, 0, 5), read(null, 1, 2), read(1, 3, 4)), GOOD);
  assert.equal(verdict(write(1, 0, 5), read(1, 1, 2), read(null, 3, 4)), BAD, 'back again');
  assert.equal(verdict(write(1, 0, 3), write(2, 1, 4), read(2, 5, 6), read(2, 7, 8)), GOOD);
  assert.equal(verdict(write(1, 0, 3), write(2, 1, 4), read(2, 5, 6), read(1, 7, 8)), BAD);
});

test('conditional writes', () => {
  assert.equal(verdict(cas(null, 1, true, 0, 3), cas(null, 2, false, 1, 2)), GOOD);
  assert.equal(verdict(cas(null, 1, true, 0, 3), cas(null, 2, true, 1, 2)), BAD, 'both applied');
  assert.equal(verdict(cas(null, 1, false, 0, 1)), BAD, 'none applied');
  const told = op({ kind: 'cas', expected: 5, value: 6 }, { applied: false, value: 7 }, 2, 3);
  assert.equal(verdict(cas(null, 1, true, 0, 1), told), BAD, 'it met another value');
});

test('what is not known may happen at any time later, or never', () => {
  const unknown = cas(null, 1, undefined, 0);
  assert.equal(verdict(unknown, read(null, 1, 2)), GOOD);
  assert.equal(verdict(unknown, read(1, 1, 2)), GOOD);
  assert.equal(verdict(unknown, read(null, 1, 2), read(1, 3, 4)), GOOD);
  assert.equal(verdict(unknown, read(1, 1, 2), read(null, 3, 4)), BAD);
  assert.equal(verdict(write(1, 0), read(1, 1, 2), write(2, 3, 4), read(1, 5, 6)), BAD, 'twice');
  const failed: CasOperation = { ...write(1, 0, 1), outcome: 'failed' };
  assert.equal(verdict(failed, read(1, 2, 3)), BAD);
  assert.equal(verdict(failed, read(null, 2, 3)), GOOD);
});

test('what is wrong is named; what takes too long is said to', () => {
  const history = [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)];
  const found = checkLinearizable(history, CAS_REGISTER);
  assert.ok(found.kind === 'not-linearizable');
  assert.deepEqual(found.longest, history.slice(0, 2));
  assert.deepEqual(found.stuck, [history[2]]);
  assert.equal(checkLinearizable(history, CAS_REGISTER, 1).kind, 'undecided');
});

/** A history of clients of a true register, each operation taking effect at a moment of its own. */
function simulate(seed: number, count: number): CasOperation[] {
  const random = new SeededRandom(seed);
  const history = new History();
  let state: number | null = null;
  type Step = { at: number; run: () => void };
  const steps: Step[] = [];
  for (let i = 0; i < count; i++) {
    const input: CasInput = random.chance(0.4)
      ? { kind: 'read' }
      : random.chance(0.3)
        ? { kind: 'write', value: random.below(3) }
        : {
            kind: 'cas',
            expected: random.chance(0.3) ? null : random.below(3),
            value: random.below(3),
          };
    const called = random.between(0, count);
    const effect = called + random.between(0, 4);
    const returned = effect + random.between(0, 4);
    const lost = random.chance(0.1);
    let output: CasOutput = {};
    let open = { ok: (_: CasOutput) => {}, unknown: () => {} };
    steps.push({
      at: called,
      run: () => {
        open = history.begin<CasOutput>('cas', i, 'k', input);
      },
    });
    steps.push({
      at: effect,
      run: () => {
        if (input.kind === 'read') output = { value: state };
        else if (input.kind === 'write') state = input.value;
        else {
          output = { applied: input.expected === state };
          if (input.expected === state) state = input.value;
        }
      },
    });
    steps.push({ at: returned, run: () => (lost ? open.unknown() : open.ok(output)) });
  }
  for (const { run } of steps.sort((a, b) => a.at - b.at)) run();
  return history.byKey<CasInput, CasOutput>('cas').get('k') ?? [];
}

test('every history of a true register is found to be one', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 80 }), (seed, count) => {
      assert.equal(checkLinearizable(simulate(seed, count), CAS_REGISTER).kind, GOOD);
    }),
    { numRuns: 150 },
  );
});

/** Tries every order: slow and plainly right. */
function bruteForce(operations: readonly CasOperation[], state: number | null): boolean {
  const open = operations.filter(({ end }) => end !== Number.POSITIVE_INFINITY);
  if (open.length === 0) return true;
  const firstEnd = Math.min(...open.map(({ end }) => end));
  return operations.some((operation, index) => {
    if (operation.call > firstEnd) return false;
    const next = CAS_REGISTER.step(state, operation.input, operation.output);
    return next !== null && bruteForce(operations.toSpliced(index, 1), next.state);
  });
}

test('damaged histories are judged as trying all orders judges them', () => {
  let bad = 0;
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 2, max: 7 }), (seed, count) => {
      const random = new SeededRandom(seed, 'damage');
      const history = simulate(seed, count).map((operation): CasOperation => {
        if (operation.output === undefined || !random.chance(0.3)) return operation;
        const { applied } = operation.output;
        if (applied !== undefined) return { ...operation, output: { applied: !applied } };
        return { ...operation, output: { value: random.below(3) } };
      });
      const expected = bruteForce(history, null);
      if (!expected) bad++;
      assert.equal(verdict(...history), expected ? GOOD : BAD);
    }),
    { numRuns: 500 },
  );
  assert.ok(bad > 20);
});

test('a long history with many clients takes no time', () => {
  const history = simulate(11, 3000);
  assert.equal(checkLinearizable(history, CAS_REGISTER).kind, GOOD);
});

test('what left no trace does not change the verdict', () => {
  const small = fc.integer({ min: 0, max: 3 });
  const known = fc.option(small, { nil: null });
  const operation = fc.oneof(
    known.map((value) => ({ input: { kind: 'read' } as CasInput, output: { value } as CasOutput })),
    fc.record({ expected: known, value: small, met: known, applied: fc.boolean() }).map((one) => {
      const { expected, value, met, applied } = one;
      const input: CasInput = { kind: 'cas', expected, value };
      const output: CasOutput = applied ? { applied } : { applied, value: met };
      return { input, output };
    }),
  );
  const timed = fc.record({
    operation,
    call: fc.nat(20),
    length: fc.nat(6),
    returns: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(timed, { maxLength: 7 }), (all) => {
      const history = all.map(({ operation: { input, output }, call, length, returns }, i) => {
        const start = call + i / 100;
        return returns
          ? op(input, output, start, start + length + 0.005)
          : op(input, undefined, start);
      });
      assert.equal(verdict(...withoutTraceless(history)), verdict(...history));
    }),
    { seed: 1, numRuns: 2000 },
  );
});
