import { NEVER } from './bytes.js';
import type { Message } from './envelope.js';
import type { ErrorKind } from './errors.js';
import type { Inbox } from './inbox.js';
import { Measure, type MetricsOptions, type Outcome } from './metrics.js';
import type { Attributes } from './plans.js';

export type StreamKind = 'call' | 'transfer';

export interface SpanEvent {
  name: string;
  at: number;
  attributes: Attributes;
}

/** What waits for a reader. */
export class Queue {
  unread_ = 0;
  unreadBytes_ = 0;
  /** Since when what is unread is at a bound. */
  fullSince_ = NEVER;
  /** Whether nobody took anything for too long (FL-3). */
  overflowed_ = false;
  /** When its stream had its last message. */
  lastAt_ = NEVER;
}

/** One call or transfer, at one of its sides. */
export class Stream extends Queue {
  id_ = 0;
  /** The number of the next message that goes out. */
  nextOut_ = 0;
  method_: string | undefined;
  ownOpen_: boolean;
  peerOpen_: boolean;
  /** A message without content, in the form that was last sent. */
  empty_: Message = '';
  /** Set once it ended: the kind that acts raise afterwards. */
  ended_: ErrorKind | undefined;
  /** Where a page's chunks wait for their reader. */
  reader_: Inbox | undefined;
  readonly sent_: Measure;
  readonly received_: Measure;
  private nextIn_ = 0;
  /** The last 64 numbers, each in its place. */
  private readonly seen_: number[] = [];

  constructor(
    readonly own_: boolean,
    readonly kind_: StreamKind,
    readonly bare_: boolean,
    options: MetricsOptions,
  ) {
    super();
    this.ownOpen_ = own_ || kind_ === 'call';
    this.peerOpen_ = !own_ || kind_ === 'call';
    this.sent_ = new Measure(options);
    this.received_ = new Measure(options);
  }

  /** Starts the clock of both directions. */
  start_(at: number): void {
    this.sent_.start_(at);
    this.received_.start_(at);
  }

  /** Notes the number of a message from the peer (ST-5); gives the counter that it raises and by how much. */
  note_(seq: number): [counter: string, by: number] {
    const expected = this.nextIn_;
    const known = !seq || this.seen_[seq % 64] === seq;
    if (seq >= expected - 64) this.seen_[seq % 64] = seq;
    if (seq < expected) return [known ? 'repeat' : 'reorder', 1];
    this.nextIn_ = seq + 1;
    return ['gap', seq - expected];
  }

  /** What is set on the span at its end (SP-12), and the stalls of both directions (SP-15). */
  report_(outcome: Outcome, failure?: string): [attributes: Attributes, events: SpanEvent[]] {
    const attributes: Attributes = { ...(failure && { 'error.type': failure }), 'websocket.stream.outcome': outcome };
    const events: SpanEvent[] = [];
    for (const [direction, measure] of [
      ['sent', this.sent_],
      ['received', this.received_],
    ] as const) {
      const summary = measure.summary_();
      if (summary.chunks)
        for (const name in summary) attributes[`websocket.stream.${direction}.${name}`] = summary[name] as number;
      for (const { chunk, interval, at } of measure.stalls_) {
        events.push({
          name: 'websocket.stream.stall',
          at,
          attributes: {
            'websocket.stream.direction': direction,
            'websocket.stream.interval': interval / 1e9,
            'websocket.stream.chunk': chunk,
          },
        });
      }
    }
    return [attributes, events];
  }
}
