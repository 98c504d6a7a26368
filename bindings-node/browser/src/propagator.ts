import { type BaggageMember, parseBaggage, writeBaggage } from './baggage.js';
import { type Context, cutTracestate, type HeaderValue, parseTraceparent, parseTracestate } from './context.js';
import { type Counts, count } from './errors.js';

export type HeaderList = readonly (readonly [name: string, value: HeaderValue])[];

/** What flows from extraction to injection: a span context and baggage, either of which may be absent. */
export interface Propagated {
  context?: Context;
  baggage?: readonly BaggageMember[];
}

export const valuesOf = (headers: HeaderList, name: string): HeaderValue[] =>
  headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);

/** Reads traceparent and tracestate. A fault is counted once (NG-16). */
export function readContext(traceparents: HeaderValue[], tracestates: HeaderValue[], counts: Counts = {}): Context | undefined {
  let traceparent: string | undefined;
  try {
    traceparent = parseTraceparent(traceparents);
  } catch {
    count(counts, 'context_invalid');
  }
  if (!traceparent) return undefined;
  try {
    const tracestate = parseTracestate(tracestates);
    return tracestate ? { traceparent, tracestate } : { traceparent };
  } catch {
    count(counts, 'dropped_tracestate');
    return { traceparent };
  }
}

/** Reads a context from header fields; what is invalid or absent leaves `local` as it was (PR-1). */
export function extract(headers: HeaderList, local: Propagated = {}): Propagated {
  const context = readContext(valuesOf(headers, 'traceparent'), valuesOf(headers, 'tracestate'));
  const { members } = parseBaggage(valuesOf(headers, 'baggage'));
  return { ...local, ...(context && { context }), ...(members.length && { baggage: members }) };
}

/** Writes the header fields of a context (PR-2). */
export function inject({ context, baggage = [] }: Propagated): Record<string, string> {
  const headers: Record<string, string> = {};
  if (context) headers.traceparent = context.traceparent;
  const tracestate = context?.tracestate && cutTracestate(context.tracestate);
  if (tracestate) headers.tracestate = tracestate;
  const written = writeBaggage(baggage).baggage;
  if (written) headers.baggage = written;
  return headers;
}
