/**
 * Is there an order of the operations on one object, each at one moment between its call and its return, in which a plain
 * object would have given the same outputs? Source: Wing & Gong, Testing and Verifying Concurrent Objects (1993), with the
 * memory of visited configurations of Lowe, Testing for Linearizability (2017).
 */
import type { Operation } from './history.ts';

/** A plain object. States are values: `step` makes new ones. */
export interface SequentialModel<State, Input, Output> {
  readonly initial: State;
  /**
   * @param output undefined: not known, anything may have come out
   * @returns the state afterwards; null: this output cannot come from this state
   */
  step(state: State, input: Input, output: Output | undefined): { readonly state: State } | null;
  /** Equal for equal states, different for different ones. */
  keyOf(state: State): string;
}

export type Verdict<Input, Output> =
  | { readonly kind: 'linearizable' }
  /** Gave up: too many orders to try. */
  | { readonly kind: 'undecided'; readonly steps: number }
  /** `longest`: the most operations that could be put in order; `stuck`: those that nothing could follow with. */
  | {
      readonly kind: 'not-linearizable';
      readonly longest: readonly Operation<Input, Output>[];
      readonly stuck: readonly Operation<Input, Output>[];
    };

/** A call or a return, in a list from which operations are taken out and put back. */
interface Node {
  readonly operation: number;
  readonly isCall: boolean;
  /** Of a call: its return; null: never. */
  matching: Node | null;
  before: Node | null;
  after: Node | null;
}

const STEPS_MAX = 2_000_000;

function nodeOf(operation: number, isCall: boolean): Node {
  return { operation, isCall, matching: null, before: null, after: null };
}

/** The list's head, which is no event. */
function buildList(operations: readonly Operation[]): Node {
  const events: { time: number; node: Node }[] = [];
  for (const [index, { call, end }] of operations.entries()) {
    const callNode = nodeOf(index, true);
    events.push({ time: call, node: callNode });
    if (end === Number.POSITIVE_INFINITY) continue;
    const returnNode = nodeOf(index, false);
    callNode.matching = returnNode;
    events.push({ time: end, node: returnNode });
  }
  events.sort((a, b) => a.time - b.time);
  const head = nodeOf(-1, false);
  let last = head;
  for (const { node } of events) {
    last.after = node;
    node.before = last;
    last = node;
  }
  return head;
}

function takeOut(node: Node): void {
  if (node.before !== null) node.before.after = node.after;
  if (node.after !== null) node.after.before = node.before;
}

function putBack(node: Node): void {
  if (node.before !== null) node.before.after = node;
  if (node.after !== null) node.after.before = node;
}

/** Which operations are in order already. */
class Chosen {
  private readonly words: Uint16Array;

  constructor(count: number) {
    this.words = new Uint16Array((count + 15) >> 4);
  }

  flip(index: number): void {
    this.words[index >> 4] ^= 1 << (index & 15);
  }

  key(): string {
    return String.fromCharCode(...this.words);
  }
}

/** Judges the operations on one key; those that failed did nothing. */
export function checkLinearizable<State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: SequentialModel<State, Input, Output>,
  stepsMax = STEPS_MAX,
): Verdict<Input, Output> {
  const operations = history.filter(({ outcome }) => outcome !== 'failed');
  // An operation that never returned may also never have happened: only what returned must find its place.
  let mustReturn = operations.filter(({ end }) => end !== Number.POSITIVE_INFINITY).length;
  const head = buildList(operations);
  const chosen = new Chosen(operations.length);
  const visited = new Set<string>();
  const stack: { call: Node; state: State }[] = [];
  let longest: number[] = [];
  let stuckAt = 0;
  let state = model.initial;
  let at = head.after;
  for (let steps = 0; mustReturn > 0; steps++) {
    if (steps > stepsMax) return { kind: 'undecided', steps };
    if (at?.isCall === true) {
      const { input, output } = operations[at.operation];
      const next = model.step(state, input, output);
      if (next !== null) {
        chosen.flip(at.operation);
        const key = `${chosen.key()} ${model.keyOf(next.state)}`;
        if (!visited.has(key)) {
          visited.add(key);
          stack.push({ call: at, state });
          if (stack.length > longest.length) longest = stack.map(({ call }) => call.operation);
          state = next.state;
          takeOut(at);
          if (at.matching !== null) {
            takeOut(at.matching);
            mustReturn--;
          }
          at = head.after;
          continue;
        }
        chosen.flip(at.operation);
      }
      at = at.after;
      continue;
    }
    // A return whose call found no place, or the end of the list: take back the last choice.
    if (at !== null) stuckAt = Math.max(stuckAt, operations[at.operation].end);
    const last = stack.pop();
    if (last === undefined) {
      return {
        kind: 'not-linearizable',
        longest: longest.map((index) => operations[index]),
        stuck: operations.filter(
          ({ call, end }, index) => call < stuckAt && end >= stuckAt && !longest.includes(index),
        ),
      };
    }
    ({ state } = last);
    const { call } = last;
    chosen.flip(call.operation);
    if (call.matching !== null) {
      putBack(call.matching);
      mustReturn++;
    }
    putBack(call);
    at = call.after;
  }
  return { kind: 'linearizable' };
}

export type CasInput =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly value: number | null }
  /** `expected` null: IF NOT EXISTS. */
  | { readonly kind: 'cas'; readonly expected: number | null; readonly value: number | null };
/**
 * Without what never returned and left no trace: reads, and writes of values that nobody met. If one of those had been
 * applied nothing that returned could come after it, so that it may as well never have happened.
 * @param history refusals tell the value that they met
 */
export function withoutTraceless(
  history: readonly Operation<CasInput, CasOutput>[],
): readonly Operation<CasInput, CasOutput>[] {
  let kept = history.filter(({ input, outcome }) => outcome === 'ok' || input.kind !== 'read');
  for (;;) {
    const met = new Set<number | null | undefined>();
    for (const { input, outcome, output } of kept) {
      if (outcome === 'ok') met.add(output?.value);
      const mayApply = outcome === 'unknown' || output?.applied === true;
      if (input.kind === 'cas' && mayApply) met.add(input.expected);
    }
    const next = kept.filter(
      ({ input, outcome }) =>
        outcome !== 'unknown' || input.kind === 'read' || met.has(input.value),
    );
    if (next.length === kept.length) return kept;
    kept = next;
  }
}

/** A read's value, or whether a conditional write was applied (with the value that it met, if it tells). */
export interface CasOutput {
  readonly applied?: boolean;
  readonly value?: number | null;
}

/** One register with conditional writes: what LWT on one row is. */
export const CAS_REGISTER: SequentialModel<number | null, CasInput, CasOutput> = {
  initial: null,
  step: (state, input, output) => {
    switch (input.kind) {
      case 'read':
        return output === undefined || output.value === state ? { state } : null;
      case 'write':
        return { state: input.value };
      case 'cas': {
        const applies = input.expected === state;
        // What never returned and changes nothing does not have to be anywhere.
        if (output === undefined && !applies) return null;
        if (output !== undefined && output.applied !== applies) return null;
        const told = output?.value;
        if (!applies && told !== undefined && told !== state) return null;
        return { state: applies ? input.value : state };
      }
    }
  },
  keyOf: String,
};
