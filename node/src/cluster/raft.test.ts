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
