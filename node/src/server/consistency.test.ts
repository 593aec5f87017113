import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CqlError } from '../common/errors.ts';
import type { ModificationPlan } from '../query/modify.ts';
import type { Schema, TableDef } from '../schema/schema.ts';
import { CONSISTENCY_NAMES } from '../transport/index.ts';
import { checkModification, checkRead, type Replicas, replicasOf } from './consistency.ts';

const TABLE = { keyspace: 'ks', name: 't' } as TableDef;

function replicas(replication: Readonly<Record<string, string>>): Replicas {
  const keyspaces = new Map([['ks', { name: 'ks', replication }]]);
  return replicasOf({ keyspaces } as unknown as Schema, TABLE, 'here');
}

const level = (name: string) => CONSISTENCY_NAMES.indexOf(name);

/** Levels that are refused. */
function refused(check: (consistency: number) => CqlError | null): string[] {
  return CONSISTENCY_NAMES.filter((name) => check(level(name)) !== null);
}

const write = (of: Replicas, parts: Partial<ModificationPlan> = {}, serial = 'SERIAL') =>
  refused((consistency) =>
    checkModification(
      { conditions: null, isCounter: false, ...parts } as ModificationPlan,
      { consistency, serialConsistency: level(serial) },
      of,
    ),
  );
const read = (of: Replicas) => refused((consistency) => checkRead(consistency, of));

test('replicas of each strategy', () => {
  assert.deepEqual(replicas({ class: 'SimpleStrategy', replication_factor: '3' }), {
    all: 3,
    local: 3,
  });
  const network = { class: 'o.a.c.locator.NetworkTopologyStrategy', here: '1', there: '2' };
  assert.deepEqual(replicas(network), { all: 3, local: 1 });
  assert.deepEqual(replicas({ class: 'LocalStrategy' }), { all: 1, local: 1 });
  assert.throws(
    () => replicasOf({ keyspaces: new Map() } as unknown as Schema, TABLE, 'here'),
    (error) => error instanceof CqlError && error.message === 'keyspace ks does not exist',
  );
});

test('one replica serves all levels that ask for one', () => {
  const one = { all: 1, local: 1 };
  assert.deepEqual(read(one), ['ANY', 'TWO', 'THREE', 'EACH_QUORUM']);
  assert.deepEqual(write(one), ['TWO', 'THREE', 'SERIAL', 'LOCAL_SERIAL']);
  assert.deepEqual(write(one, { isCounter: true }), [
    'ANY',
    'TWO',
    'THREE',
    'SERIAL',
    'LOCAL_SERIAL',
  ]);
});

test('the only node is no quorum of three, and nothing local elsewhere', () => {
  assert.deepEqual(read({ all: 3, local: 1 }), [
    'ANY',
    'TWO',
    'THREE',
    'QUORUM',
    'ALL',
    'EACH_QUORUM',
    'SERIAL',
  ]);
  assert.deepEqual(write({ all: 1, local: 0 }), [
    'TWO',
    'THREE',
    'LOCAL_QUORUM',
    'EACH_QUORUM',
    'SERIAL',
    'LOCAL_SERIAL',
    'LOCAL_ONE',
  ]);
});

test('conditions have a level of their own', () => {
  const conditions = {} as ModificationPlan['conditions'];
  assert.equal(write({ all: 1, local: 1 }, { conditions }, 'QUORUM').length, 11);
  assert.equal(write({ all: 3, local: 1 }, { conditions }, 'SERIAL').length, 11);
  assert.deepEqual(write({ all: 3, local: 1 }, { conditions }, 'LOCAL_SERIAL'), [
    'TWO',
    'THREE',
    'QUORUM',
    'ALL',
    'SERIAL',
    'LOCAL_SERIAL',
  ]);
});
