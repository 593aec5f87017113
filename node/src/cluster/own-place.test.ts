import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwnPlaceError, requireOwnPlace } from './own-place.ts';
import { testNode } from './testing/nodes.ts';

test('a member starts where it is, and nowhere else', () => {
  const node = testNode(1);
  requireOwnPlace(undefined, node);
  requireOwnPlace(node, node);
  const refused = (known: typeof node, self: Partial<typeof node>, why: RegExp) =>
    assert.throws(
      () => requireOwnPlace(known, { ...node, ...self }),
      (error) => error instanceof OwnPlaceError && why.test(error.message),
    );
  const { datacenter, rack } = node;
  refused(
    node,
    { datacenter: 'x' },
    new RegExp(`data_center is 'x', .* '${datacenter}' .* Set data_center back to '${datacenter}'`),
  );
  refused(node, { rack: 'y' }, new RegExp(`rack is 'y', .*Set rack back to '${rack}'`));
  refused({ ...node, state: 'left' }, {}, /has left its cluster for good/);
});
