/** What the charts hold of the types: copies of the definitions, and what a cluster's values may be. */
import { customResourceDefinitions } from '../api/crds.ts';
import { clusterSpec } from '../api/datacenter-cluster.ts';

interface Schema {
  readonly properties?: Readonly<Record<string, { readonly default?: unknown }>>;
  readonly required?: readonly string[];
}

/** Not of JSON Schema, or not of use to Helm. */
function isLeftOut(name: string): boolean {
  return name.startsWith('x-kubernetes-') || name === 'default';
}

/** As JSON Schema: without what only Kubernetes knows, strict about names; what has a default need not be given. */
function asJsonSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(asJsonSchema);
  if (schema === null || typeof schema !== 'object') return schema;
  const kept = Object.entries(schema).filter(([name]) => !isLeftOut(name));
  const { properties, required = [] } = schema as Schema;
  if (properties === undefined) {
    return Object.fromEntries(kept.map(([name, value]) => [name, asJsonSchema(value)]));
  }
  const needed = required.filter((name) => properties[name]?.default === undefined);
  return {
    ...Object.fromEntries(kept.filter(([name]) => name !== 'properties' && name !== 'required')),
    additionalProperties: false,
    ...(needed.length === 0 ? {} : { required: needed }),
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, value]) => [name, asJsonSchema(value)]),
    ),
  };
}

const WIDTH = 100;

/** As the formatter of this repository writes it: lists of texts stand on one line if there is room. */
function formatted(value: unknown): string {
  const text = JSON.stringify(value, null, 2).replace(
    /^(.*)\[\n([^[\]{}]*)\n\s*\](,?)$/gm,
    (whole: string, before: string, items: string, after: string) => {
      const line = `${before}[${items.trim().replace(/\n\s*/g, ' ')}]${after}`;
      return line.length <= WIDTH ? line : whole;
    },
  );
  return `${text}\n`;
}

function clusterValuesSchema(): string {
  const spec: unknown = JSON.parse(JSON.stringify(clusterSpec));
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of ilion-cluster',
    $comment: 'Generated from operator/src/api by `npm run crds`.',
    type: 'object',
    additionalProperties: false,
    required: ['spec'],
    properties: {
      global: { type: 'object' },
      name: { type: 'string', maxLength: 40 },
      spec: asJsonSchema(spec),
      test: {
        type: 'object',
        additionalProperties: false,
        properties: { image: { type: 'string' } },
      },
    },
  };
  return formatted(schema);
}

/** Paths below helm/ and what is there. */
export function chartFiles(): ReadonlyMap<string, string> {
  const copies = [...customResourceDefinitions()].map(
    ([name, text]) => [`ilion-operator/files/crds/${name}`, text] as const,
  );
  return new Map([...copies, ['ilion-cluster/values.schema.json', clusterValuesSchema()]]);
}
