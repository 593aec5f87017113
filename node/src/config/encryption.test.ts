import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, loadSettings } from './load.ts';

const machine = { cores: 2, memoryBytes: 8 * 2 ** 30, isTerminal: false };

function encryption(text: string) {
  const file = { name: 'ilion.yaml', text: `listen_address: 10.0.0.1\n${text}` };
  return loadSettings({ file, environment: {}, flags: new Map() }, machine).settings.cluster
    ?.encryption;
}

test('encryption between nodes, by its options or as Cassandra has them', () => {
  assert.equal(encryption(''), null);
  const expected = {
    certificateFile: 'n.pem',
    keyFile: 'n.key',
    authorityFile: 'ca.pem',
    mutual: true,
    verifyAddress: false,
  };
  const files = 'internode_certificate: n.pem\ninternode_key: n.key\ninternode_authority: ca.pem\n';
  assert.deepEqual(encryption(`internode_encryption: all\n${files}`), expected);
  assert.equal(encryption(`internode_encryption: none\n${files}`), null);
  const nested = `server_encryption_options:
  internode_encryption: all
  certificate: n.pem
  private_key: n.key
  certificate_authority: ca.pem
  require_client_auth: false
  require_endpoint_verification: true
`;
  assert.deepEqual(encryption(nested), { ...expected, mutual: false, verifyAddress: true });
});

test('what would not encrypt, or not as it is meant, is refused', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      'internode_encryption: dc\n',
      /line 2: internode_encryption is 'dc', which is not there: use all/,
    ],
    ['internode_encryption: yes\n', /must be one of none, all/],
    [
      'internode_encryption: all\n',
      /line 2: internode_encryption: all needs internode_certificate/,
    ],
    ['internode_key: k\n', /line 2: internode_key needs internode_encryption: all/],
    [
      'internode_encryption: all\ninternode_certificate: c\ninternode_key: k\ninternode_authority: a\ninternode_client_auth: maybe\n',
      /line 6: internode_client_auth is 'maybe'/,
    ],
    [
      'server_encryption_options:\n  internode_encryption: all\n  keystore: k.jks\n',
      /line 4: server_encryption_options.keystore is not known: .*certificate, private_key/,
    ],
    ['server_encryption_options: all\n', /line 2: server_encryption_options must have options/],
  ];
  for (const [text, expected] of cases) {
    assert.throws(
      () => encryption(text),
      (error) => error instanceof ConfigError && expected.test(error.message),
      text,
    );
  }
});
