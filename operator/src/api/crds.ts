/** The CustomResourceDefinitions, as crds/ has them: `npm run crds` writes them, a test compares. */
import type { TSchema } from 'typebox';
import { stringify } from 'yaml';
import { nodeSpec, nodeStatus } from './database-node.ts';
import { clusterSpec, clusterStatus } from './datacenter-cluster.ts';
import { LABEL } from './schema.ts';

export const GROUP = 'ilion.dev';
export const VERSION = 'v1alpha1';

interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  /** Above 0: only with `-o wide`. */
  readonly priority?: number;
}

interface Definition {
  readonly kind: string;
  readonly plural: string;
  readonly short: string;
  /** Longest name: others are made from it, of Services among them. */
  readonly nameMax: number;
  readonly spec: TSchema;
  readonly status: TSchema;
  readonly subresources: Readonly<Record<string, unknown>>;
  readonly columns: readonly Column[];
}

const AGE: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

const DEFINITIONS: readonly Definition[] = [
  {
    kind: 'DatacenterCluster',
    plural: 'datacenterclusters',
    short: 'dcc',
    nameMax: 40,
    spec: clusterSpec,
    status: clusterStatus,
    subresources: {
      status: {},
      scale: {
        specReplicasPath: '.spec.replicas',
        statusReplicasPath: '.status.replicas',
        labelSelectorPath: '.status.selector',
      },
    },
    columns: [
      { name: 'Ready', type: 'integer', jsonPath: '.status.ready' },
      { name: 'Desired', type: 'integer', jsonPath: '.status.desired' },
      { name: 'State', type: 'string', jsonPath: '.status.state' },
      { name: 'Progress', type: 'string', jsonPath: '.status.progress' },
      { name: 'Version', type: 'string', jsonPath: '.status.version' },
      AGE,
    ],
  },
  {
    kind: 'DatabaseNode',
    plural: 'databasenodes',
    short: 'dbn',
    nameMax: 63,
    spec: nodeSpec,
    status: nodeStatus,
    subresources: { status: {} },
    columns: [
      { name: 'Cluster', type: 'string', jsonPath: '.spec.cluster' },
      { name: 'DC', type: 'string', jsonPath: '.spec.datacenter' },
      { name: 'Rack', type: 'string', jsonPath: '.spec.rack' },
      { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
      { name: 'Progress', type: 'string', jsonPath: '.status.progress' },
      { name: 'Host id', type: 'string', jsonPath: '.status.hostId', priority: 1 },
      { name: 'Version', type: 'string', jsonPath: '.status.version', priority: 1 },
      { name: 'Address', type: 'string', jsonPath: '.status.address', priority: 1 },
      AGE,
    ],
  },
];

function manifest({
  kind,
  plural,
  short,
  nameMax,
  spec,
  status,
  subresources,
  columns,
}: Definition): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [short],
        categories: ['ilion'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources,
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: {
                  type: 'object',
                  properties: { name: { type: 'string', maxLength: nameMax, pattern: LABEL } },
                },
                spec,
                status,
              },
            },
          },
        },
      ],
    },
  };
}

interface ObjectSchema {
  readonly default: Readonly<Record<string, unknown>>;
  readonly properties: Readonly<Record<string, { readonly default?: unknown }>>;
}

/**
 * Fills an object's default with those of its fields: the API server holds it to the schema and its rules as it stands,
 * and refuses the definition when a field is missing, default or not.
 */
function withWholeDefault(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (!('default' in value && 'properties' in value)) return value;
  const { default: given, properties } = value as ObjectSchema;
  const fields = Object.entries(properties).filter(([, field]) => field.default !== undefined);
  const filled = Object.fromEntries(fields.map(([name, field]) => [name, field.default]));
  return { ...value, default: { ...filled, ...given } };
}

/** File names in crds/ and what they hold. */
export function customResourceDefinitions(): ReadonlyMap<string, string> {
  return new Map(
    DEFINITIONS.map((definition) => {
      // Without TypeBox' own marks.
      const plain: unknown = JSON.parse(JSON.stringify(manifest(definition), withWholeDefault));
      const text = stringify(plain, { lineWidth: 120, aliasDuplicateObjects: false });
      return [
        `${GROUP}_${definition.plural}.yaml`,
        `# Generated from operator/src/api by \`npm run crds\`.\n${text}`,
      ];
    }),
  );
}
