/** Conditions keep the time of their last change. */
import type { Static } from 'typebox';
import type { condition } from '../api/schema.ts';
import type { Blocked } from './actions.ts';

export type Condition = Static<typeof condition>;

export interface Assertion {
  readonly type: string;
  readonly status: Condition['status'];
  readonly reason: string;
  readonly message: string;
}

/** A longer one is refused with all of its status: of the first names and words there is enough for people. */
const MESSAGE_MAX = 2048;

export function isTrue(type: string, reason: string, message = ''): Assertion {
  return { type, status: 'True', reason, message };
}

export function isFalse(type: string, reason: string, message = ''): Assertion {
  return { type, status: 'False', reason, message };
}

/** False while something is in the way, with all that is; else what is given. */
export function unlessBlocked(
  type: string,
  blocked: readonly Blocked[],
  otherwise: Assertion,
): Assertion {
  if (blocked.length === 0) return otherwise;
  const messages = [...new Set(blocked.map(({ message }) => message))];
  return isFalse(type, blocked[0].reason, messages.join('\n'));
}

/** @param old those that there are */
export function withTimes(
  assertions: readonly Assertion[],
  old: readonly Condition[] | undefined,
  { generation, nowMillis }: { readonly generation: number; readonly nowMillis: number },
): Condition[] {
  return assertions.map((one) => {
    const before = old?.find(({ type }) => type === one.type);
    const since =
      before !== undefined && before.status === one.status
        ? before.lastTransitionTime
        : showTime(nowMillis);
    const message =
      one.message.length > MESSAGE_MAX ? `${one.message.slice(0, MESSAGE_MAX)}…` : one.message;
    return { ...one, message, lastTransitionTime: since, observedGeneration: generation };
  });
}

/** To the second, as Kubernetes has it. */
export function showTime(millis: number): string {
  return new Date(millis).toISOString().replace(/\.\d+Z$/, 'Z');
}
