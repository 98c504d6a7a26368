import type { Context } from './context.js';
import type { Form } from './envelope.js';
import type { ErrorKind } from './errors.js';
import { type MetricsOptions, type Outcome, StreamMetrics } from './metrics.js';
import type { Attributes, Link } from './plans.js';

export type StreamKind = 'call' | 'transfer';

/** Something that a host makes and ends: a stream's span or one of the connection's. */
export interface SpanEvent {
  name: string;
  at: number;
  attributes: Attributes;
}

/** One call or transfer, at one of its sides. */
export class Stream {
  id = 0;
  context: Context | undefined;
  links: Link[] = [];
  /** The number of the next message that goes out. */
  nextOut = 0;
  ownOpen: boolean;
  peerOpen: boolean;
  lastForm: Form = 'text';
  lastAt: number;
  unread = 0;
  unreadBytes = 0;
  /** Since when its unread chunks are at a bound. */
  fullSince: number | undefined;
  /** Set once it ended: the kind that acts raise afterwards. */
  ended: ErrorKind | undefined;
  outcome: Outcome | undefined;
  failure: string | undefined;
  refused = false;
  readonly sent: StreamMetrics;
  readonly received: StreamMetrics;
  private nextIn = 0;
  private readonly seen = new Set<number>();

  constructor(
    readonly own: boolean,
    readonly kind: StreamKind,
    readonly method: string | undefined,
    readonly bare: boolean,
    at: number,
    options: MetricsOptions,
  ) {
    this.ownOpen = own || kind === 'call';
    this.peerOpen = !own || kind === 'call';
    this.lastAt = at;
    this.sent = new StreamMetrics(options);
    this.received = new StreamMetrics(options);
  }

  /** Notes the number of a message from the peer (ST-5); gives the counter that it raises and by how much. */
  note(seq: number): [counter: 'gap' | 'repeat' | 'reorder', by: number] | undefined {
    const expected = this.nextIn;
    const known = this.seen.has(seq);
    if (seq >= expected - 64) this.seen.add(seq);
    if (seq >= expected) {
      this.nextIn = seq + 1;
      for (const old of this.seen) if (old < this.nextIn - 64) this.seen.delete(old);
      return seq > expected ? ['gap', seq - expected] : undefined;
    }
    return [known || seq === 0 ? 'repeat' : 'reorder', 1];
  }

  get started(): boolean {
    return this.nextOut > 0;
  }

  /** What is set on the span at its end (SP-12). */
  endAttributes(): Attributes {
    const attributes: Attributes = {};
    if (this.failure) attributes['error.type'] = this.failure;
    if (this.outcome) attributes['websocket.stream.outcome'] = this.outcome;
    for (const direction of ['sent', 'received'] as const) {
      if (!this[direction].hasChunks) continue;
      const { intervals, clock_back, relative_error, outcome, ...summary } = this[direction].summary();
      for (const [name, value] of Object.entries(summary)) attributes[`websocket.stream.${direction}.${name}`] = value;
    }
    return attributes;
  }

  /** The stalls of both directions (SP-15). */
  stallEvents(): SpanEvent[] {
    return (['sent', 'received'] as const).flatMap((direction) =>
      this[direction].stallEvents.map(({ chunk, interval, at }) => ({
        name: 'websocket.stream.stall',
        at,
        attributes: {
          'websocket.stream.direction': direction,
          'websocket.stream.interval': interval / 1e9,
          'websocket.stream.chunk': chunk,
        },
      })),
    );
  }
}
