/** A DatacenterCluster in a file, held to what the API server would hold it to. */
import { type Document, isNode, LineCounter, parse, parseAllDocuments } from 'yaml';
import { customResourceDefinitions } from '../api/crds.ts';
import type { ClusterSpec } from '../api/datacenter-cluster.ts';
import { createRules } from './rules.ts';
import {
  brokenRules,
  type Path,
  type Problem,
  problemsOf,
  type Schema,
  showPath,
  withDefaults,
} from './schema-check.ts';

/** The file cannot be taken; the message names its line and the field. */
export class ClusterFileError extends Error {
  readonly code = 'CLUSTER_FILE';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ClusterFileError';
  }
}

/** What a file says, with all defaults. */
export interface ClusterFile {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: ClusterSpec;
}

const KIND = 'DatacenterCluster';
const API_VERSION = 'ilion.dev/v1alpha1';
const METADATA: Schema = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    namespace: { type: 'string' },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    annotations: { type: 'object', additionalProperties: { type: 'string' } },
  },
  required: ['name'],
};

interface ClusterSchema {
  readonly nameMax: number;
  readonly namePattern: RegExp;
  readonly whole: Schema;
}

/** As the CRD has it. */
function clusterSchema(): ClusterSchema {
  const text = [...customResourceDefinitions().values()].find((one) =>
    one.includes(`kind: ${KIND}\n`),
  );
  const definition = parse(text ?? '') as {
    readonly spec: {
      readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[];
    };
  };
  const [version] = definition.spec.versions;
  const { properties = {} } = version.schema.openAPIV3Schema;
  const name = properties['metadata']?.properties?.['name'];
  return {
    nameMax: name?.maxLength ?? 63,
    namePattern: new RegExp(name?.pattern ?? '', 'u'),
    whole: {
      type: 'object',
      properties: {
        apiVersion: { type: 'string', enum: [API_VERSION] },
        kind: { type: 'string', enum: [KIND] },
        metadata: METADATA,
        spec: properties['spec'] ?? {},
      },
      required: ['apiVersion', 'kind', 'metadata', 'spec'],
    },
  };
}

/** Reads files of one name again and again. */
export class ClusterFileReader {
  private readonly schema = clusterSchema();
  private readonly evaluate = createRules();
  private readonly fileName: string;

  constructor(fileName: string) {
    this.fileName = fileName;
  }

  /** @param old what the cluster is to be until now; null: it is new @throws ClusterFileError */
  read(text: string, old: ClusterSpec | null): ClusterFile {
    const lines = new LineCounter();
    const documents = parseAllDocuments(text, { lineCounter: lines }) as Document[];
    const filled = documents.filter((one) => one.contents !== null || one.errors.length > 0);
    const [document, second] = filled;
    const lineOf = (offset: number | undefined) => lines.linePos(offset ?? 0).line;
    if (document === undefined) throw this.failure(1, `there is no ${KIND} in it`);
    const [error] = filled.flatMap(({ errors }) => errors);
    if (error !== undefined) throw this.failure(lineOf(error.pos[0]), error.message.split('\n')[0]);
    if (second !== undefined) {
      throw this.failure(lineOf(second.range?.[0]), `one ${KIND} is expected, and nothing else`);
    }
    const { whole } = this.schema;
    const value = withDefaults(whole, document.toJS());
    const placed = ({ path, message }: Problem) =>
      this.failure(lineOf(offsetOf(document, path)), `${showPath(path)}: ${message}`);
    const [problem] = [...problemsOf(whole, value, []), ...this.nameProblems(value)];
    if (problem !== undefined) throw placed(problem);
    const { metadata, spec } = value as {
      readonly metadata: Partial<ClusterFile> & { readonly name: string };
      readonly spec: ClusterSpec;
    };
    const specSchema = whole.properties?.['spec'] ?? {};
    const pair = { value: spec, old: old ?? undefined };
    const [broken] = brokenRules(specSchema, pair, ['spec'], this.evaluate);
    if (broken !== undefined) throw placed(broken);
    const { name, labels = {}, annotations = {} } = metadata;
    return { name, labels, annotations, spec };
  }

  private failure(line: number, message: string): ClusterFileError {
    return new ClusterFileError(`${this.fileName} line ${line}: ${message}`);
  }

  private nameProblems(value: unknown): readonly Problem[] {
    const { metadata } = value as { readonly metadata?: { readonly name?: unknown } };
    const name = metadata?.name;
    const { nameMax, namePattern } = this.schema;
    if (typeof name !== 'string' || (namePattern.test(name) && name.length <= nameMax)) return [];
    const message = `is '${name}', but must be at most ${nameMax} small letters, digits and dashes, first a letter`;
    return [{ path: ['metadata', 'name'], message }];
  }
}

/** Of what is there: a field that is missing is in the one around it. */
function offsetOf(document: Document, path: Path): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const found = document.getIn(path.slice(0, length), true);
    if (isNode(found) && found.range) return found.range[0];
  }
  return document.range?.[0];
}
