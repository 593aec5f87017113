/** What the schemas of this API are made of: TypeBox objects that are structural schemas of Kubernetes, too. */
import Type, { type TObject, type TProperties, type TUnsafe } from 'typebox';

/** A rule in CEL that the API server checks. */
export interface Rule {
  readonly rule: string;
  readonly message: string;
  /** Of the field, from where the rule stands, such as `.size`. */
  readonly fieldPath?: string;
}

export function object<P extends TProperties>(
  description: string,
  properties: P,
  rules: readonly Rule[] = [],
  options: Readonly<Record<string, unknown>> = {},
): TObject<P> {
  const validations = rules.length === 0 ? {} : { 'x-kubernetes-validations': rules };
  return Type.Object(properties, { description, ...validations, ...options });
}

/** One of some words. */
export function choice<const W extends readonly string[]>(
  description: string,
  words: W,
  initial?: W[number],
): TUnsafe<W[number]> {
  const base = { type: 'string', enum: words, description };
  return Type.Unsafe<W[number]>(initial === undefined ? base : { ...base, default: initial });
}

/** A list in which each name is there once. */
export function listByName<T extends TObject>(description: string, items: T, maxItems: number) {
  return Type.Array(items, {
    description,
    maxItems,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
  });
}

/** Something of Kubernetes itself that is passed on as it is. */
export function passedOn<T>(description: string): TUnsafe<T> {
  return Type.Unsafe<T>({
    type: 'object',
    description,
    'x-kubernetes-preserve-unknown-fields': true,
  });
}

export function textMap(description: string) {
  return Type.Unsafe<Record<string, string>>({
    type: 'object',
    description,
    additionalProperties: { type: 'string' },
    maxProperties: 64,
  });
}

/** Part of names of objects. */
export const LABEL = '^[a-z]([-a-z0-9]*[a-z0-9])?$';
/** Of bytes, as Kubernetes writes them. */
export const QUANTITY = '^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$';
/** Of time, as Kubernetes writes it. */
export const DURATION = '^([0-9]+(h|m|s|ms))+$';

export const condition = object('One aspect of the state, as `kubectl wait` reads it.', {
  type: Type.String({ maxLength: 64 }),
  status: choice('Whether it is so.', ['True', 'False', 'Unknown']),
  reason: Type.String({ description: 'One word for programs.', maxLength: 128 }),
  message: Type.String({ description: 'For people: what, why, what to do.', maxLength: 4096 }),
  lastTransitionTime: Type.String({
    format: 'date-time',
    description: 'Since when `status` is so.',
  }),
  observedGeneration: Type.Integer({
    format: 'int64',
    description: 'Of the spec that this is about.',
  }),
});

export const conditions = Type.Array(condition, {
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
  maxItems: 32,
});
