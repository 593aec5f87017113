/** On which machines a volume can be: local ones are on one, those of a zone are on all of it. */
import type { Machine, NodeExpression, NodeTerm, Pod, Volume } from '../ports/kube-objects.ts';

/** As in selectors. @param given the value of the label; undefined: there is none */
export function holds(
  { key, operator, values = [] }: NodeExpression,
  given: string | undefined,
): boolean {
  switch (operator) {
    case 'In':
      return given !== undefined && values.includes(given);
    case 'NotIn':
      return given === undefined || !values.includes(given);
    case 'Exists':
      return given !== undefined;
    case 'DoesNotExist':
      return given === undefined;
    case 'Gt':
      return Number(given) > Number(values[0]);
    case 'Lt':
      return Number(given) < Number(values[0]);
    default:
      throw new TypeError(`the operator ${operator} of ${key} is not known`);
  }
}

function fits({ matchExpressions = [], matchFields = [] }: NodeTerm, machine: Machine): boolean {
  const { labels, name } = machine.metadata;
  return (
    matchExpressions.every((one) => holds(one, labels?.[one.key])) &&
    matchFields.every((one) => holds(one, one.key === 'metadata.name' ? name : undefined))
  );
}

/** @returns names; null: any */
export function homesOf({ spec }: Volume, machines: readonly Machine[]): readonly string[] | null {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms;
  if (terms === undefined || terms.length === 0) return null;
  return machines
    .filter((machine) => terms.some((term) => fits(term, machine)))
    .map(({ metadata }) => metadata.name)
    .sort();
}

/** The scheduler has looked, and found nothing. */
export function findsNoPlace(pod: Pod | null): boolean {
  if (pod === null || pod.spec.nodeName !== undefined) return false;
  return (
    pod.status?.conditions?.some(
      ({ type, status }) => type === 'PodScheduled' && status === 'False',
    ) === true
  );
}
