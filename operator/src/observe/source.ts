/** Where objects are read from: the API server itself, or what watches have brought of it. */
import type { Key } from '../ports/kube.ts';
import type { Kind, Kinds } from '../ports/kube-objects.ts';

export interface Source {
  get<K extends Kind>(kind: K, key: Key): Promise<Kinds[K] | null>;
  list<K extends Kind>(
    kind: K,
    namespace: string,
    labels: Readonly<Record<string, string>>,
  ): Promise<readonly Kinds[K][]>;
}
