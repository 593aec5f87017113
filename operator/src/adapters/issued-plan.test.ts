import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBelievedBy } from './certificate-plan.ts';
import { type IssuedLeaf, planCopies, planTrust, type Trust } from './issued-plan.ts';
import { makeIntermediate } from './testing/authorities.ts';
import { issue, type KeyPair, makeAuthority } from './x509.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const DAY = 86_400_000;
const NAMES = { common: 'n', dns: ['n'], addresses: [] };
const TIMES = { settleMillis: 1_000 };
const [a, b] = [await makeAuthority('a', NOW, 100), await makeAuthority('b', NOW, 100)];
const [ofA, ofB] = [await issue(a, NAMES, NOW, 9), await issue(b, NAMES, NOW, 9)];
const [A, B] = [a.certificate, b.certificate];

const leaf = (
  shown: KeyPair | null,
  bundle: readonly string[],
  issued: KeyPair | null,
  authorities: readonly string[] = [],
): IssuedLeaf => ({
  ...{ secret: 'n-tls', names: NAMES },
  found: shown === null ? null : { pair: shown, bundle: bundle.join('') },
  issued: issued === null ? null : { pair: issued, authorities },
});
const trust = (change: Partial<Trust>): Trust => ({
  ...{ shown: [A], announced: [], unused: [], settledSince: null },
  ...change,
});

test('an authority that a copy needs stays, though its issuer shows it no more', () => {
  const both = trust({ shown: [A, B] });
  const moved = leaf(ofB, [A, B], ofB, [B]);
  // What was issued for it is gone, and nobody issues anything now.
  const left = leaf(ofA, [A, B], null);
  assert.equal(planTrust(both, [moved, left], NOW, TIMES), null);
  const unused = { ...both, unused: [A] };
  assert.deepEqual(planTrust(both, [moved], NOW, TIMES), unused);
  // It had begun to be forgotten.
  const settled = { ...unused, settledSince: NOW - 2_000 };
  assert.deepEqual(planTrust(settled, [moved, left], NOW, TIMES), both);
  assert.deepEqual(planTrust(settled, [moved], NOW, TIMES), trust({ shown: [B] }));
});

test('one that is used again while it is forgotten has its time again', () => {
  const leaving = trust({ shown: [A, B], unused: [A], settledSince: NOW - 2_000 });
  const again = leaf(ofB, [A, B], ofA, [A]);
  const next = planTrust(leaving, [again, leaf(ofB, [A, B], ofB, [B])], NOW, TIMES);
  assert.deepEqual(next, trust({ shown: [A, B] }));
});

test('nothing of an authority is shown before all believe it, but in the place of what nobody takes', () => {
  const told = trust({ announced: [B], settledSince: NOW - 500 });
  const waiting = leaf(ofA, [A, B], ofB, [B]);
  assert.equal(planTrust(told, [waiting], NOW, TIMES), null);
  assert.deepEqual(planCopies(told, [waiting], NOW), []);
  assert.deepEqual(planCopies(told, [leaf(null, [], ofB, [B])], NOW), []);
  const [step] = planCopies(told, [waiting], NOW + 10 * DAY);
  assert.equal(step.pair, ofB);
  const later = planTrust(told, [waiting], NOW + 500, TIMES);
  assert.deepEqual(later, trust({ shown: [A, B] }));
});

test('time counts from when all have been told', () => {
  const told = trust({ announced: [B] });
  const late = leaf(ofA, [A], ofA, [A]);
  assert.equal(planTrust(told, [leaf(ofA, [A, B], ofB, [B]), late], NOW, TIMES), null);
  assert.equal(planCopies(told, [late], NOW)[0].bundle, A + B);
  const marked = planTrust(told, [leaf(ofA, [A, B], ofB, [B])], NOW, TIMES);
  assert.deepEqual(marked, { ...told, settledSince: NOW });
});

test('what was known of authorities is lost: only those are sure by which copies are believed', () => {
  const found = planTrust(null, [leaf(ofA, [A, B], ofB, [B])], NOW, TIMES);
  assert.deepEqual(found, trust({ announced: [B] }));
  assert.equal(planTrust(null, [leaf(null, [], null)], NOW, TIMES), null);
  assert.deepEqual(planTrust(null, [leaf(null, [], ofB, [B])], NOW, TIMES), trust({ shown: [B] }));
});

test('a chain is believed by its root alone', async () => {
  const between = await makeIntermediate(a, 'between', NOW, 100);
  const pair = await issue(between, NAMES, NOW, 9);
  const chain = pair.certificate + between.certificate;
  assert.ok(isBelievedBy(chain, [A]));
  assert.ok(isBelievedBy(pair.certificate, [between.certificate, A]));
  assert.ok(!isBelievedBy(chain, [between.certificate]));
  assert.ok(!isBelievedBy(pair.certificate, [A]));
  assert.ok(!isBelievedBy(chain, [B]));
  assert.ok(!isBelievedBy('', [A]));
});
