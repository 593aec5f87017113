import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterState, NodeInfo } from '../cluster/cluster-state.ts';
import { EMPTY_CLUSTER } from '../cluster/commands.ts';
import { gridToken } from '../cluster/grid.ts';
import { familyName, type Schema, type TableDef } from '../schema/schema.ts';
import { GivenUp } from './given-up.ts';
import type { StreamStores } from './ports.ts';

const table = (name: string) => ({ keyspace: 'ks', name, id: name, generation: 0 }) as TableDef;
const TABLES = [table('t'), table('u')];

function schemaWith(factor: number): Schema {
  const replication = { class: 'SimpleStrategy', replication_factor: String(factor) };
  const tables = new Map(TABLES.map((one) => [one.name, one]));
  return {
    keyspaces: new Map([['ks', { name: 'ks', replication, tables }]]),
  } as unknown as Schema;
}

function stateOf(count: number): ClusterState {
  const nodes = Array.from({ length: count }, (_, i) => {
    const node = { hostId: `n${i}`, datacenter: 'dc1', rack: `r${i}`, state: 'normal' };
    return { ...node, tokens: [gridToken((i * 0x10000) / count)] } as unknown as NodeInfo;
  });
  return {
    ...{ ...EMPTY_CLUSTER, epoch: 9, topologyEpoch: 9 },
    nodes: new Map(nodes.map((node) => [node.hostId, node])),
  };
}

/** A node of three; each of its tables has something in each range. @param onClear called after each range that is cleared */
function world(schema: Schema, onClear: (world: { schema: Schema; state: ClusterState }) => void) {
  const now = { schema, state: stateOf(3) };
  const cleared: number[] = [];
  const families = new Map(TABLES.map((one, i) => [familyName(one), i]));
  const store = {
    families: () => families,
    iterator: () => ({ nextAsync: async () => 1, close: () => {} }),
    clearRange: async (family: number) => {
      cleared.push(family);
      onClear(now);
    },
  };
  let errors = 0;
  const givenUp = new GivenUp({
    hostId: 'n0',
    stores: { count: 1, store: () => store } as unknown as StreamStores,
    clock: {
      nowMillis: () => 0,
      after: (_millis, run) => {
        queueMicrotask(run);
        return () => {};
      },
    },
    logger: { debug: () => {}, error: () => errors++ },
    state: () => now.state,
    schema: () => now.schema,
  });
  const run = async () => {
    givenUp.clear();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(errors, 0);
    return cleared;
  };
  return { run };
}

test('what is not its own is cleared, in all tables', async () => {
  assert.deepEqual(new Set(await world(schemaWith(1), () => {}).run()), new Set([0, 1]));
  assert.deepEqual(await world(schemaWith(3), () => {}).run(), []);
});

test('other tables that come meanwhile change nothing', async () => {
  const all = await world(schemaWith(1), (now) => {
    now.schema = schemaWith(1);
  }).run();
  assert.deepEqual(new Set(all), new Set([0, 1]));
});

test('nothing more is cleared when ranges may be its own again', async () => {
  const moreReplicas = world(schemaWith(1), (now) => {
    now.schema = schemaWith(2);
  });
  assert.deepEqual(await moreReplicas.run(), [0]);
  const moving = world(schemaWith(1), (now) => {
    now.state = { ...now.state, topologyEpoch: 10 };
  });
  assert.deepEqual(await moving.run(), [0]);
});
