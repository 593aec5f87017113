/** One step of Paxos to all replicas that take part, over when enough have agreed or enough can agree no more. */
import type { NodeInfo } from '../cluster/cluster-state.ts';

/** What one replica said. */
export interface Vote<T> {
  readonly node: NodeInfo;
  readonly answer: T;
}

export interface Votes<T> {
  readonly agreed: readonly Vote<T>[];
  readonly refused: readonly Vote<T>[];
  /** Have not answered, or failed: nobody knows what they did. */
  readonly unknownCount: number;
}

/**
 * @param ask never throws at once
 * @param agrees whether an answer counts for `required`
 */
export function gatherVotes<T>(
  nodes: readonly NodeInfo[],
  required: number,
  ask: (node: NodeInfo) => Promise<T>,
  agrees: (answer: T) => boolean,
): Promise<Votes<T>> {
  return new Promise((resolve) => {
    const agreed: Vote<T>[] = [];
    const refused: Vote<T>[] = [];
    let failed = 0;
    const look = () => {
      const pending = nodes.length - agreed.length - refused.length - failed;
      if (agreed.length < required && agreed.length + pending >= required) return;
      const unknownCount = pending + failed;
      resolve({ agreed: [...agreed], refused: [...refused], unknownCount });
    };
    for (const node of nodes) {
      ask(node).then(
        (answer) => {
          (agrees(answer) ? agreed : refused).push({ node, answer });
          look();
        },
        () => {
          failed++;
          look();
        },
      );
    }
    look();
  });
}
