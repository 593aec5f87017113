/** What an API server does with an object before it takes it: defaults, the structural schema, unknown fields, CEL rules. */

/** Of a CustomResourceDefinition, as far as ours go. */
export interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly default?: unknown;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly {
    readonly rule: string;
    readonly message: string;
    readonly fieldPath?: string;
  }[];
}

export type Path = readonly (string | number)[];

export interface Problem {
  readonly path: Path;
  readonly message: string;
}

/** @throws anything: the rule cannot be evaluated */
export type Evaluate = (rule: string, self: unknown, oldSelf: unknown) => boolean;

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** `spec.racks[0].name`. */
export function showPath(path: Path): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`))
    .join('');
}

export function withDefaults(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? value : value.map((one) => withDefaults(items, one));
  }
  if (!isFields(value)) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const given = filled[name] ?? structuredClone(field.default);
    if (given !== undefined) filled[name] = withDefaults(field, given);
  }
  return filled;
}

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isFields,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  integer: Number.isInteger,
  number: (value) => typeof value === 'number',
};

function limitsOf(schema: Schema, value: unknown): string | null {
  const { minimum, maximum, pattern, minLength, maxLength, maxItems } = schema;
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    return `must be one of ${schema.enum.join(', ')}`;
  }
  if (typeof value === 'number') {
    if (value < (minimum ?? value)) return `must be at least ${minimum}`;
    if (value > (maximum ?? value)) return `must be at most ${maximum}`;
  }
  if (typeof value === 'string') {
    if (value.length < (minLength ?? 0)) return `must have at least ${minLength} characters`;
    if (value.length > (maxLength ?? value.length))
      return `must have at most ${maxLength} characters`;
    if (pattern !== undefined && !new RegExp(pattern, 'u').test(value)) {
      return `must match ${pattern}`;
    }
  }
  const count = Array.isArray(value)
    ? value.length
    : isFields(value)
      ? Object.keys(value).length
      : 0;
  const countMax = maxItems ?? schema.maxProperties ?? count;
  return count > countMax ? `must have at most ${countMax} entries` : null;
}

function near(name: string, known: readonly string[]): string {
  const lower = name.toLowerCase();
  const found = known.find((one) => {
    const other = one.toLowerCase();
    return other.startsWith(lower.slice(0, 4)) || lower.includes(other) || other.includes(lower);
  });
  return found === undefined ? `there are ${known.join(', ')}` : `did you mean ${found}?`;
}

function ofFields(schema: Schema, value: Fields, path: Path): readonly Problem[] {
  const { properties, additionalProperties, required = [] } = schema;
  const missing = required
    .filter((name) => value[name] === undefined)
    .map((name) => ({ path: [...path, name], message: 'is needed' }));
  const inside = Object.entries(value).flatMap(([name, one]): readonly Problem[] => {
    const field = properties?.[name] ?? additionalProperties;
    if (field !== undefined) return problemsOf(field, one, [...path, name]);
    if (schema['x-kubernetes-preserve-unknown-fields'] === true) return [];
    const message = `is not known: ${near(name, Object.keys(properties ?? {}))}`;
    return [{ path: [...path, name], message }];
  });
  return [...missing, ...inside];
}

function ofItems(schema: Schema, value: readonly unknown[], path: Path): Problem[] {
  const { items } = schema;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const seen = new Set<string>();
  return value.flatMap((one, i): Problem[] => {
    const key = isFields(one) ? keys.map((name) => String(one[name])).join('/') : '';
    const isTwice = keys.length > 0 && seen.has(key);
    seen.add(key);
    const twice = { path: [...path, i], message: `${keys.join('/')} '${key}' is there twice` };
    return [
      ...(isTwice ? [twice] : []),
      ...(items === undefined ? [] : problemsOf(items, one, [...path, i])),
    ];
  });
}

/** @param value with its defaults */
export function problemsOf(schema: Schema, value: unknown, path: Path): readonly Problem[] {
  const { type } = schema;
  if (type !== undefined && !(TYPES[type]?.(value) ?? true)) {
    const article = /^[aeiou]/.test(type) ? 'an' : 'a';
    return [{ path, message: `must be ${article} ${type}, not ${JSON.stringify(value)}` }];
  }
  const beyond = limitsOf(schema, value);
  if (beyond !== null) return [{ path, message: `is ${JSON.stringify(value)}, but ${beyond}` }];
  if (Array.isArray(value)) return ofItems(schema, value, path);
  return isFields(value) ? ofFields(schema, value, path) : [];
}

/** The one of the old list that the new one's entry continues; undefined: none. */
function oldEntry(schema: Schema, entry: unknown, old: unknown): unknown {
  const keys = schema['x-kubernetes-list-map-keys'];
  if (keys === undefined || !Array.isArray(old) || !isFields(entry)) return undefined;
  return old.find((one) => isFields(one) && keys.every((key) => one[key] === entry[key]));
}

/**
 * What the rules say; those about `oldSelf` only where there is an old value.
 * @param old undefined: the object is new
 */
export function brokenRules(
  schema: Schema,
  { value, old }: { readonly value: unknown; readonly old: unknown },
  path: Path,
  evaluate: Evaluate,
): readonly Problem[] {
  const own = (schema['x-kubernetes-validations'] ?? []).flatMap(
    ({ rule, message, fieldPath = '' }): Problem[] => {
      if (old === undefined && rule.includes('oldSelf')) return [];
      const field = fieldPath === '' ? [] : fieldPath.slice(1).split('.');
      return evaluate(rule, value, old) ? [] : [{ path: [...path, ...field], message }];
    },
  );
  const below = (part: Schema | undefined, at: string | number, one: unknown, was: unknown) =>
    part === undefined ? [] : brokenRules(part, { value: one, old: was }, [...path, at], evaluate);
  if (Array.isArray(value)) {
    const inside = value.flatMap((one, i) =>
      below(schema.items, i, one, oldEntry(schema, one, old)),
    );
    return [...own, ...inside];
  }
  if (!isFields(value)) return own;
  const before = isFields(old) ? old : {};
  const inside = Object.entries(value).flatMap(([name, one]) =>
    below(schema.properties?.[name], name, one, before[name]),
  );
  return [...own, ...inside];
}
