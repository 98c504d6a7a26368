export { type BaggageMember, parseBaggage, writeBaggage } from './baggage.js';
export { textOf } from './bytes.js';
export { type Carried, fromHeaders, planProcess, planSend, toHeaders } from './carry.js';
export { Connection, type Received, type SendOptions } from './connection.js';
export { type Context, cutTracestate, parseTraceparent, parseTracestate } from './context.js';
export { type Body, convertHead, type Message, type Recognition, type Unwrapped, unwrap, wrap } from './envelope.js';
export { type Counts, ERROR_KINDS, type ErrorKind, type Reason, Refused, WirespanError } from './errors.js';
export type { ClientSetup, ConnectionEvent, ServerSetup, SpanName } from './handshake.js';
export { Message as ReceivedMessage } from './message.js';
export { type Outcome, type Stall, StreamMetrics, type Summary } from './metrics.js';
export type { Options } from './options.js';
export type { Attributes, Link, Plan, SpanKind } from './plans.js';
export { extract, inject, type Propagated } from './propagator.js';
export { Registry } from './registry.js';
export type { Api } from './spans.js';
export type { Stream } from './stream.js';
export {
  Call,
  type ConnectOptions,
  connect,
  type Handler,
  type Sendable,
  type SendParameters,
  TracedConnection,
} from './websocket.js';
