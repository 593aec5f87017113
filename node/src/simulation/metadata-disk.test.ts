import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MetadataFiles } from '../cluster/ports.ts';
import type { RaftEntry } from '../cluster/raft-types.ts';
import { MemoryMetadataDisk } from './metadata-disk.ts';
import { SeededRandom } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { VirtualDisk } from './virtual-disk.ts';

const data = new Uint8Array(0);

function entry(index: number, term = 1): RaftEntry {
  return { index, term, kind: 'command', data };
}

const START: MetadataFiles = {
  snapshot: { index: 0, term: 0, voters: ['a'], data },
  entries: [],
  hardState: { term: 1, votedFor: 'a', commit: 0 },
};

function newDisk(seed: number) {
  const scheduler = new Scheduler();
  const disk = new VirtualDisk(scheduler, new SeededRandom(seed));
  const settle = async (promise: Promise<unknown>) => {
    await scheduler.runUntil(scheduler.now + 100);
    await promise;
  };
  return { scheduler, disk, settle };
}

test('entries are appended, replaced from an index on, and found again', async () => {
  const { disk, settle } = newDisk(1);
  const files = new MemoryMetadataDisk(disk);
  await settle(files.replace(START));
  await settle(files.append([entry(1), entry(2), entry(3)], null));
  await settle(files.append([entry(2, 2)], { term: 2, votedFor: 'b', commit: 1 }));
  await settle(files.append([], { term: 3, votedFor: '', commit: 1 }));
  disk.crash('power');
  const found: (MetadataFiles | null)[] = [];
  await settle(new MemoryMetadataDisk(disk).load().then((loaded) => found.push(loaded)));
  assert.deepEqual(found[0]?.entries, [entry(1), entry(2, 2)]);
  assert.deepEqual(found[0]?.hardState, { term: 3, votedFor: '', commit: 1 });
});

test('a crash leaves a beginning of what was being appended, one or the other of what replaces', async () => {
  const lengths = new Set<number>();
  const snapshots = new Set<number | undefined>();
  for (let seed = 0; seed < 50; seed++) {
    const first = newDisk(seed);
    const files = new MemoryMetadataDisk(first.disk);
    await first.settle(files.replace(START));
    let done = false;
    void files.append([entry(1), entry(2)], null).then(() => {
      done = true;
    });
    first.disk.crash('power');
    await first.scheduler.runUntil(1000);
    assert.equal(done, false, 'the dead hear nothing');
    lengths.add(first.disk.metadata?.entries.length ?? -1);
    const second = newDisk(seed);
    void new MemoryMetadataDisk(second.disk).replace(START);
    second.disk.crash('power');
    snapshots.add(second.disk.metadata?.entries.length);
  }
  assert.deepEqual([...lengths].sort(), [0, 1, 2]);
  assert.deepEqual(snapshots, new Set([undefined, 0]));
});
