import { allow, type BaggageMember, writeBaggage } from '../baggage.js';
import { type Context, cutTracestate } from '../context.js';
import { type Counts, count } from '../errors.js';
import { type Pair, read } from '../headers.js';
import { type HeaderList, valuesOf } from './bytes.js';
import { parseBaggage, readContext } from './context.js';
import type { Plan } from './plans.js';

/** What travels beside a payload through a broker (CA-2). `sent` is Unix nanoseconds in decimal. */
export interface Carried {
  context?: Context;
  baggage?: readonly BaggageMember[];
  session?: string;
  sent?: string;
}

/** Writes the headers beside a payload, in their order (CA-6). */
export function toHeaders({ context, baggage = [], session, sent }: Carried, baggageOut: readonly string[] = []): Pair[] {
  const headers: [string, string | undefined][] = [
    ['traceparent', context?.traceparent],
    ['tracestate', context?.tracestate && cutTracestate(context.tracestate)],
    ['baggage', writeBaggage(allow(baggage, baggageOut))],
    ['session', session && read('session', session)],
    ['sent', sent],
  ];
  return headers.filter((pair): pair is [string, string] => Boolean(pair[1]));
}

/** Reads the headers beside a payload; what is invalid or repeated is absent (CA-5, CA-6). */
export function fromHeaders(headers: HeaderList, baggageIn: readonly string[] = []): Carried & { counts: Counts } {
  const counts: Counts = {};
  const context = readContext(valuesOf(headers, 'traceparent'), valuesOf(headers, 'tracestate'), counts);
  const result: Carried & { counts: Counts } = { counts: {} };
  if (counts.context_invalid) count(result.counts, 'context_invalid');
  if (context) result.context = context;
  const baggage = baggageIn.length ? allow(parseBaggage(valuesOf(headers, 'baggage')).members, baggageIn) : [];
  if (baggage.length) result.baggage = baggage;
  for (const name of ['session', 'sent'] as const) {
    const [value, second] = valuesOf(headers, name);
    if (typeof value === 'string' && second === undefined && read(name, value)) result[name] = value;
  }
  return result;
}

/** Plans the span of sending to a broker (CA-3, CA-7). */
export function planSend(destination = '', session = ''): Plan {
  return {
    name: destination ? `send ${destination}` : 'websocket send',
    kind: 'PRODUCER',
    parent: 'current',
    links: [],
    attributes: session ? { 'websocket.session.id': session } : {},
  };
}

/** Plans the span of processing items from a broker. One item is no batch; with `asChild` its span is the parent (CA-3, CA-4). */
export function planProcess(destination: string, items: readonly Carried[], now: string, asChild = false): Plan {
  const [item] = items;
  const attributes: Plan['attributes'] = {};
  if (items.length !== 1 || !item) attributes['messaging.batch.message_count'] = items.length;
  else {
    if (item.session) attributes['websocket.session.id'] = item.session;
    if (item.sent) attributes['websocket.queue.wait'] = Math.max(Number(BigInt(now) - BigInt(item.sent)), 0) / 1e9;
  }
  return {
    name: destination ? `process ${destination}` : 'websocket process',
    kind: 'CONSUMER',
    parent: asChild && items.length === 1 && item?.context ? { remote: item.context } : 'root',
    links: items.flatMap(({ context }) => (context ? [{ ...context, remote: true }] : [])),
    attributes,
  };
}
