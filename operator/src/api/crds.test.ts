import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { customResourceDefinitions } from './crds.ts';
import { NODE_SETTINGS } from './node-config.ts';

const DIRECTORY = fileURLToPath(new URL('../../../crds/', import.meta.url));

test('crds/ is what the types say: `npm run crds` writes it', () => {
  const made = customResourceDefinitions();
  const files = readdirSync(DIRECTORY).filter((name) => name.endsWith('.yaml'));
  assert.deepEqual(files.sort(), [...made.keys()].sort());
  for (const [name, text] of made) assert.equal(readFileSync(`${DIRECTORY}${name}`, 'utf8'), text);
});

/** What a structural schema must not have, by the rules of apiextensions/v1. */
function flawsOf(schema: unknown, path: string): string[] {
  if (Array.isArray(schema) || schema === null || typeof schema !== 'object') return [];
  const node = schema as Readonly<Record<string, unknown>>;
  const flaws: string[] = [];
  if (node['type'] === undefined && node['x-kubernetes-int-or-string'] !== true) {
    flaws.push(`${path} has no type`);
  }
  for (const key of ['anyOf', 'oneOf', 'allOf', 'not', 'const', '$ref', '$id', 'readOnly']) {
    if (key in node) flaws.push(`${path} has ${key}`);
  }
  if (node['properties'] !== undefined && node['additionalProperties'] !== undefined) {
    flaws.push(`${path} has properties and additionalProperties`);
  }
  if (node['type'] === 'string' && node['x-kubernetes-validations'] !== undefined) {
    if (node['maxLength'] === undefined) flaws.push(`${path} has a rule and no bound`);
  }
  if (node['type'] === 'array' && node['maxItems'] === undefined) {
    flaws.push(`${path} is a list without a bound: rules on it would cost too much`);
  }
  for (const [name, one] of Object.entries((node['properties'] as object | undefined) ?? {})) {
    flaws.push(...flawsOf(one, `${path}.${name}`));
  }
  if (node['items'] !== undefined) flaws.push(...flawsOf(node['items'], `${path}[]`));
  return flaws;
}

test('schemas are structural and bounded', () => {
  for (const text of customResourceDefinitions().values()) {
    const { spec } = parse(text) as {
      readonly spec: { readonly versions: { readonly schema: { openAPIV3Schema: object } }[] };
    };
    assert.deepEqual(flawsOf(spec.versions[0].schema.openAPIV3Schema, ''), []);
  }
});

test('settings of the database that the operator decides are not in the spec', () => {
  for (const name of ['seeds', 'listenAddress', 'dataDirectory', 'internodePort', 'rack']) {
    assert.equal(NODE_SETTINGS.has(name), false, name);
  }
  assert.ok(NODE_SETTINGS.has('readRequestTimeout'));
  assert.ok(NODE_SETTINGS.has('commitlogSync'));
});
