/** What the statements of a conditional batch are about, and what of it cannot stand together. */
import { invalidRequest } from '../common/errors.ts';
import type { ConditionPlan } from './conditions.ts';
import { type BoundModification, targetsOf } from './modify.ts';

/** The row, or the partition alone, that a statement of a conditional batch is about. */
export interface Target {
  readonly partition: Uint8Array;
  /** Null: the static content, or several rows. */
  readonly point: Uint8Array | null;
}

/** @throws CqlError Invalid: it is about several partitions, or rows by IN */
export function conditionalTarget({ plan, handle, binding }: BoundModification): Target {
  const { partition, clustering } = plan.restrictions;
  const what =
    plan.action === 'insert' || plan.action === 'update'
      ? 'conditional updates'
      : 'conditional deletions';
  if (partition.kind === 'keys' && !partition.isSingle) {
    throw invalidRequest(`IN on the partition key is not supported with ${what}`);
  }
  if (clustering.hasIn) {
    throw invalidRequest(`IN on the clustering key columns is not supported with ${what}`);
  }
  const found = targetsOf(plan, handle, binding);
  const onRow = clustering.isPoints && (handle.keys.clustering.length === 0 || !clustering.isWhole);
  return { partition: found.partitions[0], point: onRow ? (found.points[0] ?? null) : null };
}

/** Refuses conditions of different kinds on one row. @throws CqlError Invalid */
export function checkMixed(
  modifications: readonly BoundModification[],
  targets: readonly Target[],
): void {
  const kinds = new Map<string, ConditionPlan['kind']>();
  for (const [i, { plan }] of modifications.entries()) {
    if (plan.conditions === null) continue;
    const { point } = targets[i];
    const place = point === null ? 'static' : Buffer.from(point).toString('hex');
    const { kind } = plan.conditions;
    const before = kinds.get(place);
    if (before === undefined) kinds.set(place, kind);
    else if (before !== kind) throw mixed(before, kind);
  }
}

function mixed(before: ConditionPlan['kind'], kind: ConditionPlan['kind']): Error {
  if (kind === 'columns') {
    return invalidRequest('Cannot mix IF conditions and IF NOT EXISTS for the same row');
  }
  return invalidRequest(
    before === 'columns'
      ? `Cannot mix IF conditions and IF ${kind === 'exists' ? '' : 'NOT '}EXISTS for the same row`
      : 'Cannot mix IF EXISTS and IF NOT EXISTS conditions for the same row',
  );
}
