// How the protocol's JSON writes messages, bodies, contexts, plans and summaries.

import { wirespan } from './package.mjs';

const { parseTraceparent, parseTracestate, TraceState } = wirespan;

export const bytesOf = ({ base64 }) => Buffer.from(base64, 'base64');
/** A header's value: a text, or bytes that need not be one. */
export const valueOf = (value) => (typeof value === 'string' ? value : bytesOf(value));
export const pairsOf = (headers = []) => headers.map(([name, value]) => [name, valueOf(value)]);

/** A message as bytes, and whether it is binary. */
export function messageOf({ text, text_base64, binary }) {
  if (text !== undefined) return [Buffer.from(text), false];
  return binary === undefined ? [bytesOf({ base64: text_base64 }), false] : [bytesOf({ base64: binary }), true];
}

export function showMessage(bytes, binary) {
  if (binary) return { binary: bytes.toString('base64') };
  const text = bytes.toString();
  return Buffer.from(text).equals(bytes) ? { text } : { text_base64: bytes.toString('base64') };
}

/** What was delivered: text that travelled inside a JSON string, or bytes of the message. */
export const showPayload = (payload, binary) =>
  typeof payload === 'string' ? { text: payload } : showMessage(payload, binary);

/** A body as `send` and `wrap` take it, and their options. */
export function bodyOf({ text, json, binary, none }) {
  if (text !== undefined) return [text, {}];
  if (json !== undefined) return [json, { json: true }];
  return none === undefined ? [bytesOf({ base64: binary }), {}] : [undefined, { binary: none === 'binary' }];
}

export function contextOf(context) {
  if (context === undefined) return undefined;
  const { traceparent, tracestate } = typeof context === 'string' ? { traceparent: context } : context;
  const spanContext = parseTraceparent(traceparent);
  if (tracestate !== undefined) spanContext.traceState = new TraceState(parseTracestate(tracestate));
  return spanContext;
}

export function showContext(spanContext) {
  if (spanContext === undefined) return undefined;
  const { traceId, spanId, traceFlags, traceState } = spanContext;
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  return without({ traceparent, tracestate: traceState?.serialize() });
}

/** A plan without its span; `isRemote` tells which links are spans of a peer. */
export function showPlan({ name, kind, parent, remote, links, attributes }) {
  return without({
    name,
    kind,
    parent: parent === 'remote' ? { remote: showContext(remote) } : parent,
    links: links.map((link) => ({ ...showContext(link), ...(link.isRemote && { remote: true }) })),
    attributes,
  });
}

const INTERVALS = ['avg', 'min', 'max', 'p50', 'p90', 'p95', 'p99'];

export function showSummary(summary) {
  const interval = (which) => summary[`interval${which[0].toUpperCase()}${which.slice(1)}`];
  return {
    chunks: summary.chunks,
    bytes: summary.bytes,
    time_to_first_chunk: summary.timeToFirstChunk,
    time_to_last_chunk: summary.timeToLastChunk,
    rate: summary.rate,
    intervals: summary.intervals,
    ...Object.fromEntries(INTERVALS.map((which) => [`interval.${which}`, interval(which)])),
    stalls: summary.stalls,
    stall_time: summary.stallTime,
    clock_back: summary.clockBack,
    outcome: summary.outcome,
    relative_error: summary.relativeError,
  };
}

/** Counts under the names of the counters. */
export const counts = (named) => without(Object.fromEntries(Object.entries(named).map(([name, n]) => [name, Number(n)])));

/** Leaves out what is absent, empty or zero. */
export function without(object) {
  const empty = (value) =>
    value === undefined || value === null || value === 0 || value === '' || value === false ||
    (typeof value === 'object' && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(object).filter(([, value]) => !empty(value)));
}
