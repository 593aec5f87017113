import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeInfo } from '../cluster/cluster-state.ts';
import { LinkError, type Links, type Peer } from '../internode/links.ts';
import { refuseTwin, TwinError } from './twin.ts';

const self: NodeInfo = {
  hostId: '5f0e2f6c-6f0c-4b53-9a0f-0d8f3a1b2c3d',
  address: '10.0.0.2',
  controlPort: 7000,
  dataPort: 7001,
  datacenter: 'dc1',
  rack: 'r1',
  rpcAddress: '10.0.0.2',
  rpcPort: 9042,
  tokens: [],
  state: 'normal',
  releaseVersion: '0.1.0',
};
const before: NodeInfo = { ...self, address: '10.0.0.1' };

function linksThat(end: LinkError | null, asked: Peer[] = []): Links {
  return {
    call: (to, _verb, _body, _timeoutMillis, sink) => {
      asked.push(to);
      if (end === null) sink.answered(new Uint8Array(0));
      else sink.failed(end);
    },
    handle: () => {},
    latencyMillis: () => null,
  };
}

test('a node does not start where its host id is alive elsewhere', async () => {
  const asked: Peer[] = [];
  await assert.rejects(refuseTwin(linksThat(null, asked), before, self), (error) => {
    assert.ok(error instanceof TwinError);
    assert.match(error.message, new RegExp(`${self.hostId}, is alive at 10.0.0.1:7000`));
    return true;
  });
  assert.deepEqual(asked, [before]);
  await assert.rejects(refuseTwin(linksThat(new LinkError('FAILED', '')), before, self), TwinError);
});

test('a node starts elsewhere when nobody, or another node, is where it was', async () => {
  for (const code of ['UNREACHABLE', 'REFUSED', 'TIMEOUT'] as const) {
    await refuseTwin(linksThat(new LinkError(code, '')), before, self);
  }
});

test('who is new, or where it was, asks nobody', async () => {
  const asked: Peer[] = [];
  for (const known of [undefined, self]) await refuseTwin(linksThat(null, asked), known, self);
  await refuseTwin(linksThat(null, asked), { ...self, dataPort: 7005 }, self);
  assert.deepEqual(asked, []);
});
