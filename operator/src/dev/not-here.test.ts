import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notHere } from './not-here.ts';

test('certificates of others are refused with the field and the cure', () => {
  assert.equal(notHere({ tls: { mode: 'Operator' } }), null);
  assert.equal(notHere({ tls: { mode: 'None' } }), null);
  for (const mode of ['Secret', 'CertManager'] as const) {
    const refusal = notHere({ tls: { mode } }) ?? '';
    assert.match(refusal, new RegExp(`^spec\\.tls\\.mode: is '${mode}', .*: take Operator`));
  }
});
