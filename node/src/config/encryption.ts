/** Encryption between nodes, as the options say it and as Cassandra's `server_encryption_options` do. */
import type { OptionName } from './options.ts';
import type { InternodeEncryption } from './settings.ts';

/** An option's text, and the line, variable or flag that has it; `default` if none. */
export interface GivenText {
  readonly text: string;
  readonly where: string;
}

/** What is wrong with the options, and where. */
export interface EncryptionProblem {
  readonly where: string;
  readonly message: string;
}

/** The part of `server_encryption_options` that there is here, by the options that it stands for. */
export const SERVER_ENCRYPTION_OPTIONS: ReadonlyMap<string, OptionName> = new Map([
  ['internode_encryption', 'internode_encryption'],
  ['certificate', 'internode_certificate'],
  ['private_key', 'internode_key'],
  ['certificate_authority', 'internode_authority'],
  ['require_client_auth', 'internode_client_auth'],
  ['require_endpoint_verification', 'internode_endpoint_verification'],
]);

const FILES = ['internode_certificate', 'internode_key', 'internode_authority'] as const;

/** @returns null: not encrypted */
export function internodeEncryption(
  given: (name: OptionName) => GivenText,
): InternodeEncryption | EncryptionProblem | null {
  const { text: mode, where } = given('internode_encryption');
  if (mode === 'dc' || mode === 'rack') {
    const message = `internode_encryption is '${mode}', which is not there: use all, by which every link between nodes is encrypted`;
    return { where, message };
  }
  if (mode !== 'all' && mode !== 'none') {
    return { where, message: `internode_encryption is '${mode}', but must be one of none, all` };
  }
  if (mode === 'none') {
    const set = FILES.find((name) => given(name).text !== '');
    if (set === undefined || where !== 'default') return null;
    const message = `${set} needs internode_encryption: all, or none if it is not to be used`;
    return { where: given(set).where, message };
  }
  const missing = FILES.find((name) => given(name).text === '');
  if (missing !== undefined) {
    return { where, message: `internode_encryption: all needs ${missing}, too` };
  }
  for (const name of ['internode_client_auth', 'internode_endpoint_verification'] as const) {
    const { text, where: at } = given(name);
    if (text === 'true' || text === 'false') continue;
    return { where: at, message: `${name} is '${text}', but must be one of true, false` };
  }
  return {
    certificateFile: given('internode_certificate').text,
    keyFile: given('internode_key').text,
    authorityFile: given('internode_authority').text,
    mutual: given('internode_client_auth').text === 'true',
    verifyAddress: given('internode_endpoint_verification').text === 'true',
  };
}
