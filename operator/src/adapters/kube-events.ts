/** Events for people. They are a courtesy: few at a time, none twice within some minutes, lost if they cannot be sent. */

import type { KubeEvent } from '../ports/kube.ts';
import { KIND_FACTS } from '../ports/kube-objects.ts';

const CONTROLLER = 'ilion.dev/operator';
const NOTE_BYTES_MAX = 1_024;
const INSTANCE_LENGTH_MAX = 128;
const IN_FLIGHT_MAX = 8;
const REMEMBERED_MAX = 1_024;
const SAME_AGAIN_MILLIS = 10 * 60_000;

/** Cuts at a character. */
function cut(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= bytesMax) return text;
  let end = bytesMax - 3;
  while ((bytes[end] & 0xc0) === 0x80) end--;
  return `${bytes.toString('utf8', 0, end)}…`;
}

/** Body of an event of events.k8s.io/v1. */
export function eventBody(event: KubeEvent, instance: string, nowMillis: number): object {
  const { apiVersion, kind, metadata } = event.regarding;
  // Microseconds are part of its form.
  const eventTime = new Date(nowMillis).toISOString().replace('Z', '000Z');
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { generateName: `${metadata.name}-`, namespace: namespaceOf(event) },
    eventTime,
    reportingController: CONTROLLER,
    reportingInstance: instance.slice(0, INSTANCE_LENGTH_MAX),
    action: event.action,
    reason: event.reason,
    type: event.type,
    note: cut(event.note, NOTE_BYTES_MAX),
    regarding: {
      apiVersion,
      kind,
      name: metadata.name,
      ...(metadata.namespace === '' ? {} : { namespace: metadata.namespace }),
      uid: metadata.uid,
    },
  };
}

/** Of what has no namespace they are in `default`. */
function namespaceOf({ regarding }: KubeEvent): string {
  const facts = Object.entries(KIND_FACTS).find(([kind]) => kind === regarding.kind)?.[1];
  return facts?.namespaced === false ? 'default' : regarding.metadata.namespace;
}

/** @param send its failures are swallowed @returns never fails */
export function createEventSender(
  instance: string,
  send: (namespace: string, body: object) => Promise<unknown>,
  nowMillis: () => number = Date.now,
): (event: KubeEvent) => Promise<void> {
  /** When it was sent, oldest first. */
  const sent = new Map<string, number>();
  let inFlight = 0;
  return async (event) => {
    const { regarding, reason, type, note } = event;
    const key = JSON.stringify([regarding.metadata.uid, type, reason, note]);
    const now = nowMillis();
    const before = sent.get(key);
    if (before !== undefined && now - before < SAME_AGAIN_MILLIS) return;
    if (inFlight >= IN_FLIGHT_MAX) return;
    sent.delete(key);
    sent.set(key, now);
    for (const [oldest] of sent) {
      if (sent.size <= REMEMBERED_MAX) break;
      sent.delete(oldest);
    }
    inFlight++;
    try {
      await send(namespaceOf(event), eventBody(event, instance, now));
    } catch {
      // Told in the metrics of calls.
    } finally {
      inFlight--;
    }
  };
}
