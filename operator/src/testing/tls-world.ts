/** What the processes show each other, and believe: Secrets as kubelets bring them, late, and as nodes read them. */
import type { SeededRandom } from '../../../node/src/simulation/random.ts';
import { certificatesIn, isIssuedBy } from '../adapters/certificate-plan.ts';
import { operatorSecretName } from '../adapters/certificate-secrets.ts';
import type { Stored } from '../memory/memory-api.ts';
import { certificateSecretName } from '../ports/certificates.ts';
import type { World } from './world.ts';

/** Kubelets take so long at the most. */
const KUBELET_MILLIS = 60_000;
/** The operator reads its own so often. */
const OPERATOR_MILLIS = 10_000;
/** What is to be waited for. */
export const SETTLE_MILLIS = KUBELET_MILLIS + 15_000;
const OPERATOR = 'the operator';

/** What somebody has. */
interface Held {
  readonly version: string;
  readonly certificate: string;
  readonly believed: readonly string[];
}

interface Holder {
  readonly name: string;
  readonly secret: string;
  readonly lateMillis: number;
}

function textOf(secret: Stored, field: string): string {
  const data = secret['data' as never] as Readonly<Record<string, string>>;
  return Buffer.from(data[field] ?? '', 'base64').toString('utf8');
}

export class TlsWorld {
  private readonly world: World;
  private readonly random: SeededRandom;
  /** By who has it: pods by UID. */
  private readonly held = new Map<string, Held>();
  private readonly coming = new Map<string, number>();
  private readonly known = new Map<string, boolean>();

  constructor(world: World, random: SeededRandom) {
    this.world = world;
    this.random = random;
  }

  private holders(): ReadonlyMap<string, Holder> {
    const { world } = this;
    const all = new Map<string, Holder>();
    const own = { name: OPERATOR, secret: operatorSecretName('demo'), lateMillis: OPERATOR_MILLIS };
    all.set(OPERATOR, own);
    for (const [uid, process] of world.processes) {
      const { name } = process.pod.metadata;
      if (!world.runs(process)) continue;
      all.set(uid, { name, secret: certificateSecretName(name), lateMillis: KUBELET_MILLIS });
    }
    return all;
  }

  /** Whether a node can be started. */
  isThere(node: string): boolean {
    return this.world.api.find('Secret', certificateSecretName(node)) !== undefined;
  }

  tick(): void {
    const holders = this.holders();
    // Without power its memory is lost, and with it what was mounted.
    for (const key of this.held.keys()) if (!holders.has(key)) this.held.delete(key);
    let isNew = false;
    for (const [key, holder] of holders) isNew = this.bring(key, holder) || isNew;
    if (isNew) this.compare(holders);
  }

  /** @returns whether it has something else now */
  private bring(key: string, { secret: name, lateMillis }: Holder): boolean {
    const { api, nowMillis } = this.world;
    const secret = api.find('Secret', name);
    const has = this.held.get(key);
    if (secret === undefined || has?.version === secret.metadata.resourceVersion) return false;
    const due = this.coming.get(key) ?? nowMillis + this.random.between(0, lateMillis);
    this.coming.set(key, due);
    if (has !== undefined && nowMillis < due) return false;
    this.coming.delete(key);
    this.held.set(key, {
      version: secret.metadata.resourceVersion,
      certificate: textOf(secret, 'tls.crt'),
      believed: certificatesIn(textOf(secret, 'ca.crt')),
    });
    return true;
  }

  private isIssued(certificate: string, authority: string): boolean {
    const key = certificate + authority;
    const known = this.known.get(key) ?? isIssuedBy(certificate, authority);
    this.known.set(key, known);
    return known;
  }

  private compare(holders: ReadonlyMap<string, Holder>): void {
    for (const [a, { certificate }] of this.held) {
      for (const [b, { believed }] of this.held) {
        if (a === b || believed.some((authority) => this.isIssued(certificate, authority)))
          continue;
        const [shows, refuses] = [holders.get(a)?.name, holders.get(b)?.name];
        this.world.violations.push(`${refuses} does not believe what ${shows} shows`);
        return;
      }
    }
  }
}
