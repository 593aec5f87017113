/** `DatacenterCluster`: what people write. */
import Type, { type Static } from 'typebox';
import { nodeConfig } from './node-config.ts';
import {
  choice,
  conditions,
  DURATION,
  LABEL,
  listByName,
  object,
  passedOn,
  QUANTITY,
  textMap,
} from './schema.ts';

export const NODES_MAX = 1_000;

const placement = {
  nodeSelector: Type.Optional(textMap('Labels that a Kubernetes node must have.')),
  tolerations: Type.Optional(
    Type.Array(passedOn<Record<string, unknown>>('As in a pod.'), { maxItems: 32 }),
  ),
};

const rack = object('A rack: nodes that may fail together.', {
  name: Type.String({ pattern: LABEL, maxLength: 20 }),
  replicas: Type.Optional(
    Type.Integer({
      description: 'Nodes of this rack. Without it the nodes of the datacenter are spread evenly.',
      minimum: 0,
      maximum: NODES_MAX,
    }),
  ),
  zone: Type.Optional(
    Type.String({ description: 'Value of topology.kubernetes.io/zone.', maxLength: 63 }),
  ),
  ...placement,
});

const rackRules = [
  {
    rule: '!has(self.racks) || self.racks.all(r, has(r.replicas)) || self.racks.all(r, !has(r.replicas))',
    message: 'racks: either all of them have replicas, or none',
    fieldPath: '.racks',
  },
  {
    rule: '!has(self.racks) || !has(self.replicas) || !self.racks.all(r, has(r.replicas)) || self.racks.map(r, r.replicas).sum() == self.replicas',
    message: 'racks: their replicas must come to the replicas of the datacenter',
    fieldPath: '.racks',
  },
];

const racks = Type.Optional(
  listByName('Racks; without any the datacenter is one rack, `rack1`.', rack, 16),
);

const autogrow = object(
  'Volumes that get full grow, one step at a time, each by itself, and never shrink. Their StorageClass has to allow it.',
  {
    max: Type.String({ description: 'No volume grows beyond.', pattern: QUANTITY, maxLength: 32 }),
    step: Type.Optional(
      Type.String({
        description: 'By so much. Without it: percent.',
        pattern: QUANTITY,
        maxLength: 32,
      }),
    ),
    percent: Type.Optional(
      Type.Integer({
        description: 'By so much of what it has. Without step and percent: 20.',
        minimum: 1,
        maximum: 200,
      }),
    ),
    threshold: Type.Integer({
      description: 'Percent of the file system in use, as nodes say, from which it grows.',
      minimum: 10,
      maximum: 95,
      default: 80,
    }),
  },
  [
    {
      rule: '!has(self.step) || !has(self.percent)',
      message: 'either step or percent',
      fieldPath: '.step',
    },
  ],
);

const storage = object(
  'The volume of each node.',
  {
    className: Type.Optional(
      Type.String({ description: 'A StorageClass; without it the default one.', maxLength: 253 }),
    ),
    size: Type.String({
      description: 'It can grow, and not shrink.',
      pattern: QUANTITY,
      maxLength: 32,
      default: '10Gi',
    }),
    autogrow: Type.Optional(autogrow),
  },
  [
    {
      rule: "quantity(self.size).compareTo(quantity('0')) > 0",
      message: 'size must be above 0',
      fieldPath: '.size',
    },
    {
      rule: '!has(self.autogrow) || quantity(self.autogrow.max).compareTo(quantity(self.size)) >= 0',
      message: 'autogrow.max must not be below size',
      fieldPath: '.autogrow',
    },
    {
      rule: 'quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0',
      message: 'storage cannot shrink: move the data to other nodes and remove these',
      fieldPath: '.size',
    },
    {
      rule: "(has(self.className) ? self.className : '') == (has(oldSelf.className) ? oldSelf.className : '')",
      message: 'className cannot change: volumes stay where they are',
      fieldPath: '.className',
    },
  ],
);

const resources = object('Of each node. A node sizes its caches from its limits.', {
  requests: Type.Optional(textMap('cpu, memory')),
  limits: Type.Optional(textMap('cpu, memory')),
});

const datacenter = object(
  'A datacenter: what NetworkTopologyStrategy counts replicas in.',
  {
    name: Type.String({ pattern: LABEL, maxLength: 20 }),
    replicas: Type.Integer({
      description: 'Nodes of this datacenter.',
      minimum: 0,
      maximum: NODES_MAX,
    }),
    racks,
  },
  rackRules,
);

const keyspace = object('A keyspace that there is to be.', {
  name: Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$', maxLength: 48 }),
  replication: Type.Unsafe<Record<string, number>>({
    type: 'object',
    description: 'Replicas by datacenter (NetworkTopologyStrategy).',
    additionalProperties: { type: 'integer', minimum: 1, maximum: 9 },
    minProperties: 1,
    maxProperties: 16,
  }),
  durableWrites: Type.Boolean({ default: true }),
});

const issuerRef = object(
  'An issuer of cert-manager that knows its authority, such as one of type CA or Vault (not SelfSigned, not ACME).',
  {
    name: Type.String({ minLength: 1, maxLength: 253 }),
    kind: Type.String({
      description: 'Issuer (of the same namespace), ClusterIssuer, or a kind of another group.',
      minLength: 1,
      maxLength: 63,
      default: 'Issuer',
    }),
    group: Type.String({
      description: 'Of the kind.',
      minLength: 1,
      maxLength: 253,
      default: 'cert-manager.io',
    }),
  },
  [
    {
      rule: "self.group != 'cert-manager.io' || self.kind in ['Issuer', 'ClusterIssuer']",
      message: 'kind must be Issuer or ClusterIssuer',
      fieldPath: '.kind',
    },
  ],
);

const tls = object(
  'Certificates for links between nodes and for calls of the operator.',
  {
    mode: choice(
      'Operator: the operator makes an authority and renews what it signs. Secret: a secret of yours has the authority. CertManager: cert-manager issues and renews all certificates. None: nothing is encrypted.',
      ['Operator', 'Secret', 'CertManager', 'None'],
      'Operator',
    ),
    secretName: Type.Optional(
      Type.String({
        description: 'For mode Secret: has tls.crt and tls.key of an authority.',
        maxLength: 253,
      }),
    ),
    issuerRef: Type.Optional(issuerRef),
  },
  [
    {
      rule: "self.mode != 'Secret' || has(self.secretName)",
      message: 'secretName is needed with mode Secret',
      fieldPath: '.secretName',
    },
    {
      rule: "self.mode != 'CertManager' || has(self.issuerRef)",
      message: 'issuerRef is needed with mode CertManager',
      fieldPath: '.issuerRef',
    },
  ],
);

const update = object('How changes that need a restart go through the nodes.', {
  maxUnavailable: Type.Integer({
    description:
      'Nodes of one rack that may be down for it at one time, if every range keeps its quorum.',
    minimum: 1,
    maximum: 100,
    default: 1,
  }),
  paused: Type.Boolean({ description: 'Nodes stay as they are.', default: false }),
  canary: Type.Optional(
    Type.Integer({
      description: 'Only so many nodes get the change, until this is taken away.',
      minimum: 1,
      maximum: NODES_MAX,
    }),
  ),
});

const healing = object('What is done about nodes that are dead.', {
  replaceAfter: Type.String({
    description: 'A node that its peers see down for so long is replaced by a new one; 0s: never.',
    pattern: DURATION,
    default: '10m',
  }),
  maxReplacements: Type.Integer({
    description: 'Nodes that are replaced at one time.',
    minimum: 1,
    maximum: 16,
    default: 1,
  }),
});

const podTemplate = object('What pods get besides.', {
  labels: Type.Optional(textMap('More labels.')),
  annotations: Type.Optional(textMap('More annotations.')),
  ...placement,
  affinity: Type.Optional(passedOn<Record<string, unknown>>('As in a pod.')),
  priorityClassName: Type.Optional(Type.String({ maxLength: 253 })),
  serviceAccountName: Type.Optional(Type.String({ maxLength: 253 })),
  imagePullSecrets: Type.Optional(
    Type.Array(object('A secret.', { name: Type.String({ maxLength: 253 }) }), { maxItems: 16 }),
  ),
  terminationGracePeriodSeconds: Type.Integer({
    description: 'For requests and writes that a node has in hand when it stops.',
    minimum: 5,
    maximum: 3600,
    default: 60,
  }),
});

export const clusterSpec = object(
  'What the cluster is to be.',
  {
    clusterName: Type.Optional(
      Type.String({
        description: "The cluster's name for drivers; without it the name of this object.",
        pattern: '^[A-Za-z0-9][-_A-Za-z0-9 ]*$',
        maxLength: 48,
      }),
    ),
    image: Type.Optional(
      Type.String({
        description: 'Of the database; without it the one that came with the operator.',
        minLength: 1,
        maxLength: 512,
      }),
    ),
    imagePullPolicy: choice('As in a pod.', ['Always', 'IfNotPresent', 'Never'], 'IfNotPresent'),
    replicas: Type.Optional(
      Type.Integer({
        description: 'Nodes, if there is one datacenter: what `kubectl scale` changes.',
        minimum: 0,
        maximum: NODES_MAX,
      }),
    ),
    datacenterName: Type.String({
      description: 'Name of that one datacenter.',
      pattern: LABEL,
      maxLength: 20,
      default: 'dc1',
    }),
    racks,
    datacenters: Type.Optional(
      listByName('Datacenters, in the place of `replicas` and `racks`.', datacenter, 16),
    ),
    contactPoints: Type.Optional(
      Type.Array(Type.String({ maxLength: 253 }), {
        description:
          'ADDRESS or ADDRESS:PORT of nodes of this cluster elsewhere, which these nodes join.',
        maxItems: 16,
      }),
    ),
    storage: Type.Unsafe<Static<typeof storage>>({ ...storage, default: {} }),
    keyspaces: Type.Optional(
      listByName(
        'Keyspaces that are made when there are enough nodes. One that is there otherwise is left as it is, and told of in the condition KeyspacesReady: copies do not move by themselves. None is ever dropped.',
        keyspace,
        64,
      ),
    ),
    resources: Type.Optional(resources),
    config: Type.Optional(Type.Unsafe<Record<string, string | number>>(nodeConfig)),
    tls: Type.Unsafe<Static<typeof tls>>({ ...tls, default: {} }),
    update: Type.Unsafe<Static<typeof update>>({ ...update, default: {} }),
    healing: Type.Unsafe<Static<typeof healing>>({ ...healing, default: {} }),
    joinsAtOnce: Type.Integer({
      description: 'New nodes that may be on their way into the ring at one time.',
      minimum: 1,
      maximum: 16,
      default: 3,
    }),
    stopped: Type.Boolean({
      description: 'No pods; volumes, names and tokens stay.',
      default: false,
    }),
    deletionPolicy: choice(
      'What becomes of the volumes of nodes that have left, and of a cluster that is deleted.',
      ['Retain', 'Delete'],
      'Retain',
    ),
    podTemplate: Type.Unsafe<Static<typeof podTemplate>>({ ...podTemplate, default: {} }),
  },
  [
    {
      rule: 'has(self.replicas) != has(self.datacenters)',
      message: 'either replicas (one datacenter) or datacenters',
      fieldPath: '.replicas',
    },
    {
      rule: '!has(self.datacenters) || !has(self.racks)',
      message: 'racks belong to the datacenters',
      fieldPath: '.racks',
    },
    {
      rule: '!has(self.datacenters) || size(self.datacenters) > 0',
      message: 'at least one datacenter',
      fieldPath: '.datacenters',
    },
    {
      rule: '(has(self.clusterName) ? self.clusterName : "") == (has(oldSelf.clusterName) ? oldSelf.clusterName : "")',
      message: 'clusterName cannot change: nodes refuse data of another cluster',
      fieldPath: '.clusterName',
    },
    {
      rule: 'self.datacenterName == oldSelf.datacenterName',
      message:
        'datacenterName cannot change: replication counts by it. Add a datacenter, rebuild it, take this one away',
      fieldPath: '.datacenterName',
    },
    {
      rule: "(self.tls.mode == 'None') == (oldSelf.tls.mode == 'None') || self.stopped",
      message:
        'tls.mode can change only while the cluster is stopped, if it is or is to be None: links are encrypted on all nodes or on none',
      fieldPath: '.tls',
    },
    ...rackRules,
  ],
);

export const clusterStatus = object('What the cluster is.', {
  observedGeneration: Type.Optional(Type.Integer({ format: 'int64' })),
  state: Type.Optional(Type.String({ description: 'One word.', maxLength: 64 })),
  progress: Type.Optional(
    Type.String({
      description: 'What is going on, such as `join demo-dc1-rack1-x7k2p 62 % 210 MiB/s`.',
    }),
  ),
  ready: Type.Optional(Type.Integer({ description: 'Nodes that serve, as their peers see them.' })),
  desired: Type.Optional(Type.Integer({ description: 'Nodes that there are to be.' })),
  replicas: Type.Optional(Type.Integer({ description: 'DatabaseNodes that there are.' })),
  selector: Type.Optional(Type.String({ description: 'Of the pods.' })),
  version: Type.Optional(Type.String({ description: 'Of the database, the oldest there is.' })),
  firstNode: Type.Optional(
    Type.String({
      description:
        'UID of the DatabaseNode that starts the cluster, or started it. Decided once: no other ever starts a second one.',
    }),
  ),
  clusterId: Type.Optional(Type.String({ description: 'Of the database, as its nodes agree.' })),
  conditions: Type.Optional(conditions),
});

export type ClusterSpec = Static<typeof clusterSpec>;
export type ClusterStatus = Static<typeof clusterStatus>;
export type RackSpec = Static<typeof rack>;
export type DatacenterSpec = Static<typeof datacenter>;
