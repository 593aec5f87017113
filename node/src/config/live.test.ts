import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveSettings, SettingsRefusedError } from './live.ts';
import { type Loaded, loadSettings } from './load.ts';
import { OPTIONS } from './options.ts';

const machine = { cores: 2, memoryBytes: 8 * 2 ** 30, isTerminal: false };

function live(text: string, environment: Readonly<Record<string, string>> = {}) {
  const file = { name: 'ilion.yaml', text };
  const applied: Loaded[] = [];
  const load = (told: ReadonlyMap<string, string> = new Map()) =>
    loadSettings({ file, environment, flags: new Map(), told }, machine);
  const settings = new LiveSettings(load(), {
    load,
    apply: async (loaded) => void applied.push(loaded),
  });
  const value = (name: string) => settings.list().find((one) => one.name === name);
  return { file, settings, applied, value };
}

function refused(expected: RegExp) {
  return (error: unknown) => error instanceof SettingsRefusedError && expected.test(error.message);
}

test('the file is read again, and what has changed in it counts', async () => {
  const { file, settings, applied, value } = live('log_level: info\nrack: r1\n');
  assert.deepEqual(await settings.reload(), []);
  file.text = 'rack: r1\nwrite_request_timeout: 3s\nlog_level: debug\n';
  assert.deepEqual(await settings.reload(), [
    { name: 'write_request_timeout', before: '2s', after: '3s' },
    { name: 'log_level', before: 'info', after: 'debug' },
  ]);
  assert.equal(settings.current.settings.timeouts.writeMs, 3000);
  assert.equal(applied.at(-1)?.settings.logLevel, 'debug');
  assert.deepEqual(value('log_level'), {
    ...{ name: 'log_level', value: 'debug', origin: 'ilion.yaml line 3', change: 'hot' },
  });
});

test('what a node is told comes before the file, until it is taken back', async () => {
  const { file, settings, value } = live('log_level: warn\n', { ILION_DRAIN_TIMEOUT: '1s' });
  const told = (text: string) =>
    settings.reload(new Map(text.split(' ').map((one) => one.split('=') as [string, string])));
  await told('log_level=error drain_timeout=2s');
  file.text = 'log_level: debug\n';
  assert.deepEqual(await settings.reload(), []);
  assert.equal(value('log_level')?.origin, 'reload');
  await told('log_level= drain_timeout=default');
  assert.equal(value('log_level')?.value, 'debug');
  assert.equal(value('drain_timeout')?.value, '10s');
  await told('drain_timeout=');
  assert.deepEqual(value('drain_timeout'), {
    ...{ name: 'drain_timeout', value: '1s', origin: 'ILION_DRAIN_TIMEOUT', change: 'hot' },
  });
});

test('all or nothing: what is unknown, impossible or for a start is named, and nothing changes', async () => {
  const { file, settings, applied } = live('rack: r1\n');
  const reload = (values: Readonly<Record<string, string>>) =>
    settings.reload(new Map(Object.entries(values)));
  await assert.rejects(
    reload({ log_level: 'debug', rack: 'r2', rak: 'x', shards: '2' }),
    refused(/^rack takes effect at a start only: .*; rak is not an option: .*; shards takes/),
  );
  await assert.rejects(
    reload({ log_level: 'debug', drain_timeout: 'soon' }),
    refused(/^reload: drain_timeout is 'soon', but must be a time/),
  );
  file.text = 'log_level: debug\nrack: r2\n';
  await assert.rejects(
    reload({}),
    refused(/^ilion\.yaml line 2: rack was 'r1' and is 'r2', but takes effect at a start only/),
  );
  file.text = 'log_level: [\n';
  await assert.rejects(reload({}), refused(/^ilion\.yaml line/));
  assert.deepEqual(applied, []);
  assert.equal(settings.current.settings.logLevel, 'info');
});

test('every option says how it changes, and auto says what it has become', () => {
  const { settings, value } = live('');
  assert.equal(settings.list().length, OPTIONS.length);
  assert.equal(value('workers')?.value, 'auto (2)');
  assert.equal(value('cache_size')?.value, 'auto (122MiB)');
});
