import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applySchemaChange, schemaChangeOf } from '../cluster/schema-change.ts';
import { CqlError } from '../common/errors.ts';
import { EMPTY_SCHEMA } from '../schema/schema.ts';
import { type SchemaJson, schemaFromJson, schemaToJson } from '../schema/schema-json.ts';
import { SchemaAuthority, type TellSchema } from './schema-authority.ts';
import { withoutSystemKeyspaces, withSystemKeyspaces } from './virtual/definitions.ts';

/** What all nodes agree on, as the metadata log keeps it. */
class Agreement {
  schema: SchemaJson = schemaToJson(EMPTY_SCHEMA);
  proposals = 0;
  private ids = 0;

  /** A node that hears of nothing but what it proposes or asks for. */
  node(changesMax = 8): SchemaAuthority & { readonly steps: readonly number[] } {
    const steps: number[] = [];
    const newest = () => withSystemKeyspaces(schemaFromJson(this.schema));
    const tell: TellSchema = async (step) => {
      if (step !== null) steps.push(step.schema.epoch);
      await new Promise((resolve) => setImmediate(resolve));
    };
    let running: Promise<void> = Promise.resolve();
    let next: Promise<void> | null = null;
    // All who ask while one is followed are followed together, as a node does it.
    const follow = () => {
      next ??= running.then(() => {
        next = null;
        running = authority.follow(newest(), tell);
        return running;
      });
      return next;
    };
    const authority: SchemaAuthority = new SchemaAuthority(withSystemKeyspaces(EMPTY_SCHEMA), {
      stores: [],
      changesMax,
      agree: async (base, next) => {
        this.proposals++;
        await null;
        const outcome = applySchemaChange(this.schema, schemaChangeOf(base, next));
        if ('schema' in outcome) this.schema = outcome.schema;
        await follow();
        return 'schema' in outcome;
      },
      refresh: follow,
      settled: async () => {},
      save: async () => {},
      newId: () => `00000000-0000-4000-8000-${String(this.ids++).padStart(12, '0')}`,
      nowMicros: () => 0,
      datacenters: () => new Map([['dc1', 3]]),
    });
    return Object.assign(authority, { steps });
  }
}

const KEYSPACE =
  "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";

test('tables made at one time on several nodes are all there, after hardly more proposals', async () => {
  const agreement = new Agreement();
  const nodes = [agreement.node(), agreement.node(), agreement.node()];
  await nodes[0].apply(KEYSPACE, null);
  const made = Array.from({ length: 60 }, (_, i) =>
    nodes[i % 3].apply(`CREATE TABLE ks.t${i} (k int PRIMARY KEY)`, null),
  );
  const results = await Promise.all(made);
  assert.ok(results.every(({ event }) => event?.change === 'CREATED'));
  assert.equal(agreement.schema.keyspaces[0].tables.length, 60);
  assert.equal(agreement.proposals, 61);
  const [{ current, steps }] = nodes;
  assert.ok(steps.length < 40, `${steps.length} steps`);
  assert.ok(current.keyspaces.get('ks')?.tables.has('t0'));
  assert.equal(withoutSystemKeyspaces(current).keyspaces.size, 1);
});

test('of those who make the same, one does, and the others are told', async () => {
  const agreement = new Agreement();
  const nodes = [agreement.node(), agreement.node()];
  await nodes[0].apply(KEYSPACE, null);
  const make = (i: number, what: string) => nodes[i % 2].apply(`CREATE TABLE ${what}`, null);
  const all = await Promise.allSettled(
    Array.from({ length: 10 }, (_, i) => make(i, 'ks.t (k int PRIMARY KEY)')),
  );
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const one of all) {
    if (one.status === 'fulfilled') continue;
    assert.ok(one.reason instanceof CqlError);
    assert.match(one.reason.message, /already existing table "t"/);
  }
  const quiet = await Promise.all(
    Array.from({ length: 10 }, (_, i) => make(i, 'IF NOT EXISTS ks.u (k int PRIMARY KEY)')),
  );
  assert.equal(quiet.filter(({ event }) => event !== null).length, 1);
});

test('what another node has made is there, although this one has not heard of it', async () => {
  const agreement = new Agreement();
  const [first, second] = [agreement.node(), agreement.node()];
  await first.apply(KEYSPACE, null);
  await second.apply('CREATE TABLE ks.t (k int PRIMARY KEY)', null);
  await first.apply('DROP TABLE ks.t', null);
  await assert.rejects(second.apply('DROP TABLE ks.t', null), /doesn't exist/);
});

test('alone, one change comes after the other', async () => {
  const agreement = new Agreement();
  const node = agreement.node(1);
  await node.apply(KEYSPACE, null);
  await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      node.apply(`CREATE TABLE IF NOT EXISTS ks.t${i % 5} (k int PRIMARY KEY)`, null),
    ),
  );
  assert.equal(agreement.proposals, 6);
});
