// What a page does without: the codecs, the connection without I/O for either role, carry and metrics, each by itself.

export type { BaggageMember } from './baggage.js';
export { type Context, cutTracestate } from './context.js';
export type { SendOptions, SpanName } from './core.js';
export type { Message } from './envelope.js';
export { type Counts, ERROR_KINDS, type ErrorKind, WirespanError } from './errors.js';
export type { Outcome, Stall } from './metrics.js';
export { always } from './parts/always.js';
export { textOf } from './parts/bytes.js';
export { type Carried, fromHeaders, planProcess, planSend, toHeaders } from './parts/carry.js';
export { type ClientSetup, Connection, type ServerSetup } from './parts/connection.js';
export { parseBaggage, parseTraceparent, parseTracestate, type Reason, Refused, writeBaggage } from './parts/context.js';
export { type Body, convertHead, type Recognition, type Unwrapped, unwrap, wrap } from './parts/envelope.js';
export type { ConnectionEvent } from './parts/events.js';
export { metricsOf, StreamMetrics, type Summary } from './parts/metrics.js';
export type { Options } from './parts/options.js';
export type { Plan, Received } from './parts/plans.js';
export { extract, inject, type Propagated } from './parts/propagator.js';
export { Registry } from './parts/registry.js';
export type { Attributes, Link } from './plans.js';
export type { Stream } from './stream.js';
