/** What can be done about a cluster. */
import type { DatabaseNode, DatacenterCluster, Metadata } from '../api/objects.ts';
import type { PodMarks, Precondition } from '../ports/kube.ts';
import type { Claim, DisruptionBudget, Draft, Pod, Service } from '../ports/kube-objects.ts';
import type { EnsureKeyspaceRequest } from '../ports/nodes.ts';

/** What an action is about, for events. */
export type Subject = DatabaseNode | DatacenterCluster;

interface Told {
  readonly about: Subject;
  /** One word for programs. */
  readonly reason: string;
  /** For people. */
  readonly note: string;
}

export type Action = Told &
  (
    | { readonly do: 'apply'; readonly kind: 'Service'; readonly object: Draft<Service> }
    /** One after another, and none after one that has failed. */
    | { readonly do: 'apply-budgets'; readonly objects: readonly Draft<DisruptionBudget>[] }
    | {
        readonly do: 'apply';
        readonly kind: 'PersistentVolumeClaim';
        readonly object: Draft<Claim>;
      }
    | { readonly do: 'create'; readonly kind: 'Pod'; readonly object: Draft<Pod> }
    | { readonly do: 'create'; readonly kind: 'DatabaseNode'; readonly object: Draft<DatabaseNode> }
    | {
        readonly do: 'delete';
        readonly kind: 'Pod' | 'PersistentVolumeClaim' | 'DatabaseNode';
        readonly metadata: Metadata;
        readonly precondition: Precondition;
      }
    | { readonly do: 'annotate'; readonly pod: PodMarks }
    /** Records who starts the cluster; empty: nobody yet. Refused if the cluster object has changed since. */
    | { readonly do: 'choose-first'; readonly uid: string }
    | { readonly do: 'remove-node'; readonly hostId: string; readonly dead: boolean }
    | {
        readonly do: 'configure';
        readonly hostId: string;
        /** IP of its pod. */
        readonly address: string;
        readonly settings: Readonly<Record<string, string>>;
        /** As it stands in the status from before it is told. */
        readonly unknown: string;
        /** As it stands in the status when they are taken. */
        readonly taken: string;
      }
    | {
        readonly do: 'ensure-keyspace';
        readonly keyspace: EnsureKeyspaceRequest;
        /** In the view. */
        readonly key: string;
      }
    | { readonly do: 'cancel'; readonly operationId: string; readonly hostId: string }
  );

/** What stands in the way of a step. */
export interface Blocked {
  /** One word for programs. */
  readonly reason: string;
  /** What, why, what to do. */
  readonly message: string;
}

/** What one step of a decision comes to. */
export interface Step {
  readonly actions: readonly Action[];
  readonly blocked: readonly Blocked[];
  /** Sets of host ids: whether they may stop has to be known to go on. */
  readonly asks: readonly (readonly string[])[];
}

export const NOTHING: Step = { actions: [], blocked: [], asks: [] };

export function step(part: Partial<Step>): Step {
  return { ...NOTHING, ...part };
}

export function blocked(reason: string, message: string): Step {
  return step({ blocked: [{ reason, message }] });
}

export function together(steps: readonly Step[]): Step {
  return {
    actions: steps.flatMap(({ actions }) => actions),
    blocked: steps.flatMap((one) => one.blocked),
    asks: steps.flatMap(({ asks }) => asks),
  };
}

/** Deletes this very object. @param exact only if it has not changed since it was read */
export function deletion(
  kind: 'Pod' | 'PersistentVolumeClaim' | 'DatabaseNode',
  { metadata }: { readonly metadata: Metadata },
  told: Told,
  exact = false,
): Action {
  const { uid, resourceVersion } = metadata;
  const precondition = exact ? { uid, resourceVersion } : { uid };
  return { do: 'delete', kind, metadata, precondition, ...told };
}
