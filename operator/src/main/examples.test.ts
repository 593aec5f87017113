import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Value } from 'typebox/value';
import { parse } from 'yaml';
import { clusterSpec } from '../api/datacenter-cluster.ts';
import type { Rule } from '../api/schema.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly default?: unknown;
  readonly 'x-kubernetes-validations'?: readonly Rule[];
}
type Fields = Readonly<Record<string, unknown>>;

/** As the API server fills it in. */
function withDefaults(value: unknown, schema: Schema): unknown {
  const { properties, items } = schema;
  if (Array.isArray(value)) return value.map((one) => withDefaults(one, items ?? {}));
  if (value === null || typeof value !== 'object' || properties === undefined) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const [name, field] of Object.entries(properties)) {
    const one = filled[name] ?? field.default;
    if (one !== undefined) filled[name] = withDefaults(one, field);
  }
  return filled;
}

/** Fields that the schema does not know. */
function unknownFields(value: unknown, schema: Schema, path: string): string[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return [];
    return value.flatMap((one, i) => unknownFields(one, items, `${path}[${i}]`));
  }
  const { properties } = schema;
  if (value === null || typeof value !== 'object' || properties === undefined) return [];
  return Object.entries(value).flatMap(([name, one]) =>
    properties[name] === undefined
      ? [`${path}.${name}`]
      : unknownFields(one, properties[name], `${path}.${name}`),
  );
}

/**
 * A rule about one state in JavaScript: the part of CEL that the rules use, in which a field that is missing is only asked
 * for by has().
 */
function holds(rule: string, self: unknown): boolean {
  const script = rule
    .replace(/has\(([\w.]+)\)/g, '($1 !== undefined)')
    .replace(/\.all\((\w+), /g, '.every(($1) => ')
    .replace(/\.map\((\w+), /g, '.map(($1) => ')
    .replace(/\.sum\(\)/g, '.reduce((a, b) => a + b, 0)')
    .replace(/size\(([\w.]+)\)/g, '$1.length');
  return Function('self', `return ${script};`)(self) === true;
}

/** Rules that are broken; those about a change are the API server's. */
function broken(value: unknown, schema: Schema, path: string): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((one, i) => broken(one, schema.items ?? {}, `${path}[${i}]`));
  }
  if (value === null || typeof value !== 'object') return [];
  const rules = (schema['x-kubernetes-validations'] ?? []).filter(
    ({ rule }) => !rule.includes('oldSelf'),
  );
  const own = rules
    .filter(({ rule }) => !holds(rule, value))
    .map(({ message }) => `${path}: ${message}`);
  const fields = Object.entries(schema.properties ?? {});
  return [
    ...own,
    ...fields.flatMap(([name, one]) => broken((value as Fields)[name], one, `${path}.${name}`)),
  ];
}

/** All that is wrong with a spec, after defaults. */
function flawsOf(given: unknown): string[] {
  const schema: Schema = JSON.parse(JSON.stringify(clusterSpec));
  const spec = withDefaults(given, schema);
  return [
    ...unknownFields(given, schema, 'spec').map((path) => `${path} is unknown`),
    ...Value.Errors(clusterSpec, spec).map(
      ({ instancePath, message }) => `${instancePath}: ${message}`,
    ),
    ...broken(spec, schema, 'spec'),
  ];
}

test('examples are what the API takes', () => {
  const files = globSync('examples/*.yaml', { cwd: ROOT });
  assert.ok(files.length >= 3);
  for (const file of files) {
    const { apiVersion, kind, spec } = parse(readFileSync(`${ROOT}${file}`, 'utf8')) as Fields;
    assert.deepEqual([apiVersion, kind], ['ilion.dev/v1alpha1', 'DatacenterCluster'], file);
    assert.deepEqual(flawsOf(spec), [], file);
  }
});

test('what is wrong would be found', () => {
  const wrong: readonly (readonly [spec: Fields, says: RegExp])[] = [
    [{}, /either replicas/],
    [{ replicas: 3, datacenters: [{ name: 'a', replicas: 1 }] }, /either replicas/],
    [{ replicas: -1 }, /replicas/],
    [{ replicas: 3, nonsense: 1 }, /spec\.nonsense is unknown/],
    [{ replicas: 3, racks: [{ name: 'a', replicas: 1 }, { name: 'b' }] }, /all of them/],
    [{ replicas: 3, racks: [{ name: 'a', replicas: 1 }] }, /come to the replicas/],
    [{ replicas: 3, tls: { mode: 'Secret' } }, /secretName is needed/],
    [{ replicas: 3, storage: { size: 'big' } }, /storage/],
  ];
  for (const [spec, says] of wrong) assert.match(flawsOf(spec).join('\n'), says);
  assert.deepEqual(flawsOf({ replicas: 3 }), []);
});
