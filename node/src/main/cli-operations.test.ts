import assert from 'node:assert/strict';
import { test } from 'node:test';
import { showOperations } from './cli-operations.ts';

const GAINER = {
  hostId: 'h4',
  address: '127.0.0.4:7000',
  done: false,
  bytesDone: 3 << 20,
  bytesTotal: 12 << 20,
  filesDone: 3,
  filesTotal: 12,
  rangesDone: 4,
  rangesTotal: 16,
  wholeBytes: 3 << 20,
  seconds: 1.5,
  problem: '',
};

test('what moves, and how far it is', () => {
  assert.equal(
    showOperations({ operations: [], streamBytesPerSecond: 0 }),
    'Nothing moves in the ring.',
  );
  const done = {
    ...GAINER,
    address: '127.0.0.5:7000',
    done: true,
    bytesDone: 12 << 20,
    filesDone: 12,
    rangesDone: 16,
  };
  const stuck = {
    ...GAINER,
    address: '127.0.0.6:7000',
    bytesDone: 0,
    bytesTotal: 0,
    seconds: 0,
    problem: 'the disk is full',
  };
  const operation = {
    id: 'o1',
    kind: 'replace',
    hostId: 'h4',
    address: '127.0.0.4:7000',
    replaces: 'h2',
    phase: 'streaming',
    gainers: [GAINER, done, stuck],
    waits: 'data is on its way',
  };
  assert.equal(
    showOperations({ operations: [operation], streamBytesPerSecond: 0 }),
    [
      'replace of h4 (127.0.0.4:7000) in place of h2: streaming, operation o1',
      '  waits: data is on its way',
      '  127.0.0.4:7000  [#####...............] 25 %   3.0 MiB of 12.0 MiB   3/12 files   4/16 ranges   2.0 MiB/s  ETA 4s',
      '  127.0.0.5:7000  [####################] 100 %  12.0 MiB of 12.0 MiB  12/12 files  16/16 ranges  8.0 MiB/s  done',
      '  127.0.0.6:7000  [#####...............] 25 %   0 B of 0 B            3/12 files   4/16 ranges   0.0 MiB/s  waits: the disk is full',
    ].join('\n'),
  );
});
