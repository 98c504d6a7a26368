import { type BaggageMember, writeBaggage } from '../baggage.js';
import { type Context, cutTracestate } from '../context.js';
import { type HeaderList, valuesOf } from './bytes.js';
import { parseBaggage, readContext } from './context.js';

/** What flows from extraction to injection: a span context and baggage, either of which may be absent. */
export interface Propagated {
  context?: Context;
  baggage?: readonly BaggageMember[];
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
  const written = writeBaggage(baggage);
  if (written) headers.baggage = written;
  return headers;
}
