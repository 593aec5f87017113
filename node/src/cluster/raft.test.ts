import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  NoProgress,
  OpenRaftNode,
  RaftWorld,
  RuleBroken,
  type World,
} from './testing/raft-world.ts';

const SEEDS = 200;
/** Leaders crash often. */
const HARD = { nodes: 3, steps: 2000, trouble: 0.5, leaderTrouble: 5 };

/** The first seed that finds a rule broken; null: none does. */
function firstBroken(world: Omit<World, 'seed'>, seeds: number): number | null {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      new RaftWorld({ ...world, seed }).run();
    } catch (error) {
      if (error instanceof RuleBroken) return seed;
      if (!(error instanceof NoProgress)) throw error;
    }
  }
  return null;
}

test('rules hold and progress is made in random worlds', () => {
  let agreed = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new RaftWorld({ seed, nodes: 3 + (seed % 3), steps: 800 });
    world.run();
    agreed += world.agreedLast;
  }
  assert.ok(agreed > SEEDS * 40, `${agreed} entries were agreed`);
});

test('rules hold while leaders crash', () => {
  for (let seed = 1; seed <= SEEDS; seed++) new RaftWorld({ ...HARD, seed }).run();
});

test('rules hold while voters come and go', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    new RaftWorld({ seed, nodes: 6, steps: 800, changesVoters: true }).run();
  }
});

test('a vote that is forgotten in a crash is found', () => {
  const world: Omit<World, 'seed'> = {
    nodes: 3,
    steps: 1000,
    trouble: 4,
    keep: (state, before) => ({ ...state, votedFor: before.votedFor, term: before.term }),
  };
  assert.notEqual(firstBroken(world, 60), null);
});

test('messages that go out before what they promise is on disk are found', () => {
  assert.notEqual(firstBroken({ nodes: 3, steps: 1000, trouble: 4, sendsEarly: true }, 60), null);
});

test('entries of older terms that are committed by counting are found', () => {
  class Broken extends OpenRaftNode {
    protected override mayCommit(): boolean {
      return true;
    }
  }
  const world: Omit<World, 'seed'> = {
    ...HARD,
    diskMillis: 100,
    appendEntriesMax: 1,
    create: (start, options) => new Broken(start, options),
  };
  assert.notEqual(firstBroken(world, 40), null);
});

test('an append that does not check what comes before is found', () => {
  class Broken extends OpenRaftNode {
    protected override matches(prevIndex: number): boolean {
      return prevIndex <= this.state.lastIndex;
    }
  }
  const world: Omit<World, 'seed'> = {
    nodes: 3,
    steps: 500,
    trouble: 3,
    create: (start, options) => new Broken(start, options),
  };
  assert.notEqual(firstBroken(world, 60), null);
});

test('several changes of voters at a time are found', () => {
  class Broken extends OpenRaftNode {
    protected override mayChangeVoters(): boolean {
      return true;
    }
  }
  const world: Omit<World, 'seed'> = {
    nodes: 6,
    steps: 800,
    trouble: 4,
    changesVoters: true,
    create: (start, options) => new Broken(start, options),
  };
  assert.notEqual(firstBroken(world, 100), null);
});

test('a snapshot of which another leader sends the rest is the one or the other', () => {
  const snapshot = { index: 1, term: 1, voters: ['a', 'b', 'c'], data: new Uint8Array(0) };
  const hardState = { term: 1, votedFor: '', commit: 1 };
  const node = new OpenRaftNode(
    { snapshot, entries: [], hardState },
    {
      ...{ hostId: 'c', heartbeatMillis: 100, electionMillis: 1_000, retryMillisMax: 1_000 },
      ...{ appendBytesMax: 100, appendEntriesMax: 10, unappliedBytesMax: 1_000 },
      random: () => 0.5,
    },
  );
  node.tick(0);
  const send = (from: string, term: number, offset: number, text: string) => {
    const voters = ['a', 'b', 'c'];
    const position = { term, index: 9, lastTerm: 1, voters, totalBytes: 4, offset };
    node.step(from, { kind: 'snapshot', ...position, data: Buffer.from(text) });
    const ready = node.ready();
    node.advance();
    return ready;
  };
  send('a', 2, 0, 'aa');
  const ready = send('b', 3, 0, 'bb');
  assert.deepEqual(ready?.messages[0].message, {
    ...{ kind: 'snapshot-answer', term: 3, index: 9, offset: 2 },
  });
  assert.equal(String(send('b', 3, 2, 'BB')?.snapshot?.data), 'bbBB');
});
