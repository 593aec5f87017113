import assert from 'node:assert/strict';
import { test } from 'node:test';
import { helpText, OPTIONS, OptionError, readOptions } from './options.ts';

test('flags come before the environment, and both before what is without them', () => {
  const environment = {
    ILION_OPERATOR_IMAGE: 'ilion:1',
    ILION_OPERATOR_NAMESPACES: 'a,b,a',
    ILION_OPERATOR_HTTP_PORT: '1',
  };
  const options = readOptions(['--http-port', '2', '--log-level=debug'], environment, false);
  assert.equal(options.image, 'ilion:1');
  assert.deepEqual(options.namespaces, ['a', 'b']);
  assert.equal(options.httpPort, 2);
  assert.equal(options.logLevel, 'debug');
  assert.equal(options.logFormat, 'json');
  assert.equal(options.leaderElection, true);
  assert.equal(options.certificateSettleMillis, 3_600_000);
  assert.deepEqual(readOptions([], { ILION_OPERATOR_IMAGE: 'i' }, true).namespaces, []);
});

test('what is wrong is named, with what it must be', () => {
  const image = ['--image', 'i'];
  const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [[], /^--image \(ILION_OPERATOR_IMAGE\) is needed; it must be the name of an image$/],
    [[...image, '--nonsense', '1'], /^--nonsense is not an option: --help shows them$/],
    [[...image, 'word'], /^word is not an option/],
    [[...image, '--http-port'], /^--http-port needs a value$/],
    [[...image, '--http-port', 'x'], /is "x"; it must be a port$/],
    [[...image, '--namespaces', 'A'], /names of namespaces, by commas$/],
    [[...image, '--leader-election', 'yes'], /true or false$/],
  ];
  for (const [args, says] of wrong) {
    assert.throws(
      () => readOptions(args, {}, false),
      (error) => error instanceof OptionError && says.test(error.message),
      String(says),
    );
  }
});

test('help names every option', () => {
  for (const { name } of OPTIONS) assert.ok(helpText().includes(`--${name}\n`));
});
