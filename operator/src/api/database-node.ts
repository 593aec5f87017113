/** `DatabaseNode`: one node of a cluster. The operator makes it; people read it and may set two fields. */
import Type, { type Static } from 'typebox';
import { choice, conditions, LABEL, object, passedOn } from './schema.ts';

export const nodeSpec = object(
  'What the node is.',
  {
    cluster: Type.String({ description: 'Name of its DatacenterCluster.', maxLength: 253 }),
    datacenter: Type.String({ pattern: LABEL, maxLength: 20 }),
    rack: Type.String({ pattern: LABEL, maxLength: 20 }),
    replaces: Type.Optional(
      Type.String({ description: 'Host id of the dead node whose place it takes.', maxLength: 36 }),
    ),
    replace: Type.Boolean({
      description: 'Set it: the node is taken for dead, and another takes its place.',
      default: false,
    }),
    remove: Type.Boolean({
      description: 'Set it: when there are nodes too many, this one leaves first.',
      default: false,
    }),
  },
  [
    {
      rule: 'self.cluster == oldSelf.cluster && self.datacenter == oldSelf.datacenter && self.rack == oldSelf.rack',
      message: 'a node stays where it is: set remove, and another one is made elsewhere',
    },
    {
      rule: "(has(self.replaces) ? self.replaces : '') == (has(oldSelf.replaces) ? oldSelf.replaces : '')",
      message: 'replaces cannot change',
    },
  ],
);

export const NODE_PHASES = [
  'Pending',
  'Starting',
  'Joining',
  'Ready',
  'NotReady',
  'Leaving',
  'Left',
  'Stopped',
] as const;

export const nodeStatus = object('What the node says, and its peers say of it.', {
  observedGeneration: Type.Optional(Type.Integer({ format: 'int64' })),
  phase: Type.Optional(choice('Where it is on its way.', NODE_PHASES)),
  hostId: Type.Optional(
    Type.String({ description: 'Its identity in the ring. Once known it does not change.' }),
  ),
  volume: Type.Optional(
    Type.String({
      description:
        'UID of its PersistentVolumeClaim, from before its pod is made the first time. No other is ever taken for it.',
    }),
  ),
  address: Type.Optional(Type.String({ description: 'Where it is now.' })),
  tokens: Type.Optional(Type.Integer()),
  version: Type.Optional(
    Type.String({ description: 'Of the database, with which it was started last.' }),
  ),
  progress: Type.Optional(Type.String({ description: 'Of what streams to it.' })),
  downSince: Type.Optional(
    Type.String({ format: 'date-time', description: 'Since when its peers see it down.' }),
  ),
  settings: Type.Optional(
    Type.String({
      description:
        'Hash of the settings that it has taken while it runs (?: it is being told), and which start of which pod has taken them.',
    }),
  ),
  made: Type.Optional(
    passedOn<Record<string, unknown>>(
      'What its pod is made of: what it comes back with while changes are held back (spec.update of the cluster).',
    ),
  ),
  conditions: Type.Optional(conditions),
});

export type NodeSpec = Static<typeof nodeSpec>;
export type NodeStatus = Static<typeof nodeStatus>;
export type NodePhase = (typeof NODE_PHASES)[number];
