/** Links that tell of each step of a request, so that a process can be made to die right there. */
import { LinkHub, type LinkHubOptions } from '../internode/link-hub.ts';
import { type AnswerSink, type Peer, type RequestHandler, Verb } from '../internode/links.ts';

/** asks: a request was sent; answers: a request of a peer was answered; hears: the answer has come. */
export type Moment = `${'asks' | 'answers' | 'hears'} ${keyof typeof Verb}` | typeof LEARNS_SWITCH;

/** A node has it in its log that a range is to be read elsewhere; its workers have not heard of it. */
export const LEARNS_SWITCH = 'learns of a switch';

const VERB_NAMES = new Map<Verb, string>(Object.entries(Verb).map(([name, verb]) => [verb, name]));

export class WatchedLinks extends LinkHub {
  private readonly moment: (moment: string) => void;

  /** @param moment hears of each `Moment`, after it */
  constructor(options: LinkHubOptions, moment: (moment: string) => void) {
    super(options);
    this.moment = moment;
  }

  override call(
    to: Peer,
    verb: Verb,
    body: Uint8Array,
    timeoutMillis: number,
    sink: AnswerSink,
  ): void {
    super.call(to, verb, body, timeoutMillis, {
      answered: (answer) => {
        sink.answered(answer);
        this.tell('hears', verb);
      },
      failed: (error) => sink.failed(error),
    });
    this.tell('asks', verb);
  }

  override handle(verb: Verb, handler: RequestHandler): void {
    super.handle(verb, (from, body, responder) => {
      handler(from, body, {
        answer: (answer) => {
          responder.answer(answer);
          this.tell('answers', verb);
        },
        fail: (code, message) => responder.fail(code, message),
      });
    });
  }

  private tell(what: string, verb: Verb): void {
    this.moment(`${what} ${VERB_NAMES.get(verb)}`);
  }
}
