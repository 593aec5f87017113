import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CqlError } from '../common/errors.ts';
import { decodePagingState, encodePagingState } from './paging-state.ts';

const position = fc.record(
  {
    partition: fc.uint8Array({ minLength: 9, maxLength: 40 }).map((b) => Buffer.from(b)),
    clustering: fc.option(fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b))),
  },
  { noNullPrototype: true },
);
const rowsLeft = fc.nat({ max: 0x7fffffff });
const state = fc.record(
  { limitLeft: rowsLeft, partitionLimitLeft: rowsLeft, position },
  { noNullPrototype: true },
);

test('a paging state comes back as it was', () => {
  fc.assert(
    fc.property(state, (one) => {
      assert.deepEqual(decodePagingState(encodePagingState(one)), one);
    }),
  );
});

test('a damaged paging state is refused', () => {
  fc.assert(
    fc.property(state, fc.nat(), fc.integer({ min: 1, max: 255 }), (one, at, flip) => {
      const bytes = encodePagingState(one);
      bytes[at % bytes.length] ^= flip;
      assert.throws(() => decodePagingState(bytes), CqlError);
      assert.throws(() => decodePagingState(bytes.subarray(0, at % bytes.length)), CqlError);
    }),
  );
});
