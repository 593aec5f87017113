import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryApi } from '../memory/memory-api.ts';
import { StateFile, StateFileError } from './state-file.ts';

function apiWith(file: StateFile): MemoryApi {
  const api: MemoryApi = new MemoryApi({
    nowMillis: () => 0,
    newUid: (kind, count) => `${kind}-${count}`,
    deliver: (run) => run(),
    onGone: () => {},
    onChange: (kind) => file.follow(api, kind, assert.ifError),
  });
  return api;
}

test('what is there is found again, but for pods, and what was applied can be taken back', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ilion-state-'));
  try {
    const file = new StateFile(directory);
    assert.equal(file.load(), null);
    const api = apiWith(file);
    const metadata = { name: 'a', namespace: 'd' };
    const kind = { apiVersion: 'v1', kind: 'Service' };
    await api.apply('Service', { ...kind, metadata, spec: { one: 1, two: 2 } });
    await api.create('Pod', { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [] } });
    const again = apiWith(file);
    again.restore(file.load() ?? assert.fail('nothing is kept'));
    assert.deepEqual(again.all('Pod'), []);
    assert.equal(again.find('Service', 'a', 'd')?.metadata.uid, 'Service-1');
    await again.apply('Service', { ...kind, metadata, spec: { one: 1 } });
    assert.deepEqual(again.find('Service', 'a', 'd')?.spec, { one: 1 });
    const { resourceVersion: newer } = again.find('Service', 'a', 'd')?.metadata ?? {};
    const { resourceVersion: older } = api.find('Service', 'a', 'd')?.metadata ?? {};
    assert.ok(Number(newer) > Number(older));
    writeFileSync(join(directory, 'state.json'), '{"format":99}');
    assert.throws(() => file.load(), StateFileError);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
